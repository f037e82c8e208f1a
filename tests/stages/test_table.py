"""From features to a table through the commands themselves: what a column holds, and what it refuses to hold."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.main import get_command

from hkd.cli import Commands
from hkd.metrics.scores.frechet import frechet_from_features
from hkd.metrics.scoring import ExtractorFacts
from hkd.plan import rows as planned
from hkd.plan.runs import Plan
from hkd.report.markdown import WIDTH
from hkd.seeding import numpy_stream
from hkd.stages import figure, metrics, table
from hkd.store.artifacts import read_json
from hkd.store.atomic import write_json
from hkd.store.refusals import ArtifactError
from hkd.studies.comparison.plan import COMPARE
from tests.recorded import recorded

COMMANDS = Commands()
metrics.register(COMMANDS)
table.register(COMMANDS)
figure.register(COMMANDS)
COMMAND = get_command(COMMANDS.app)
TINY = ExtractorFacts("FD-tiny", 8, 4, "e" * 64)
COLUMNS = ["fid_own", "fdn"]


def rows_of(*stream: Any, n: int) -> np.ndarray:
    """Features of n images, skewed and not centred."""
    return np.abs(numpy_stream(1, " ".join(map(str, stream))).standard_normal((n, 4))).astype(np.float32)


def stored(plan: Plan, path: Path, arrays: dict[str, np.ndarray], **facts: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **arrays)
    recorded(plan, path, **facts)


def passed(views: dict[str, np.ndarray], extractors: dict[str, ExtractorFacts], text: str) -> dict[str, np.ndarray]:
    """What a pass through the networks leaves of a set of images."""
    about = json.dumps({key: asdict(facts) for key, facts in extractors.items()})
    texts = {"eyes": about, "images_digest": text * 64, "split": "train"}
    return {**views, "n": np.array(len(views["own_A"])), **{key: np.array(value) for key, value in texts.items()}}


class Made:
    """The smoke benchmark with the rows EDM (two of them) and HKD, and features that need no network."""

    def __init__(self, folder: Path, columns: list[str], **changes: Any) -> None:
        rows = {"run": ["methods/edm", "methods/hkd"], "extra": []}
        overrides = {
            "results": str(folder),
            "tables": {"table1": rows | {"columns": columns}, "table3": {"run": [], "extra": [], "columns": columns}},
            **changes,
        }
        self.plan = Plan.load("configs/benchmarks/smoke.yaml", overrides)
        self._options = [f"--config={key}={json.dumps(value)}" for key, value in overrides.items()]
        self.runs = [Path(path) for path in planned.metrics(self.plan, "table1")]

    def call(self, *arguments: str) -> None:
        COMMAND.main(
            [*arguments, "--benchmark", "configs/benchmarks/smoke.yaml", *self._options], "hkd", standalone_mode=False
        )

    def fill(
        self,
        n: Callable[[str], int],
        extractors: dict[str, ExtractorFacts] | None = None,
        images: np.ndarray | None = None,
    ) -> None:
        """Store features of all runs, n(method) images of each, and of 50 real ones."""
        extractors = extractors or {"own": TINY}
        views = [f"{name}_{kind}" for name, kind in (("own", "A"), ("dinov2", "C")) if name in extractors]
        known = {view: rows_of("real", view, n=50) for view in views}
        stored(self.plan, Path(self.plan.layout.reference("shapes8")), passed(known, extractors, "r"))
        for path in self.runs:
            method = path.parts[-5] + "/" + path.parts[-4]
            seed, nfe = int(path.parts[-3].removeprefix("seed")), int(path.stem.removeprefix("nfe"))
            run, count = path.parents[1], n(method)
            arrays = passed({view: rows_of(method, seed, nfe, view, n=count) for view in views}, extractors, "s")
            budget = {"params": 7, "train_images": 8, "network_evals": 9, "train_seconds": 1.0}
            run.mkdir(parents=True, exist_ok=True)
            (run / "weights.safetensors").touch()
            recorded(self.plan, run / "weights.safetensors", route="train", budget=budget)
            stored(
                self.plan,
                run / "samples" / f"nfe{nfe}.npz",
                {"images": np.zeros(1) if images is None else images},
                n=count,
            )
            stored(self.plan, run / "features" / f"nfe{nfe}.npz", arrays)
            self.call("metrics", "shapes8", method, "--nfe", str(nfe), "--seed", str(seed))

    def change(self, path: Path, *keys: str, to: Any) -> None:
        """Change one entry of a finished metrics file, as if it had been measured so."""
        content = read_json(path, "metrics")
        section = content
        for key in keys[:-1]:
            section = section[key]
        assert keys[-1] in section
        section[keys[-1]] = to
        write_json(path, content)
        recorded(self.plan, path)

    def table(self) -> dict[str, list[dict[str, str]]]:
        self.call("table", "table1")
        found: dict[str, list[dict[str, str]]] = {}
        for line in csv.DictReader(Path(f"{self.plan.layout.table('table1')}.csv").read_text().splitlines()):
            if line["seeds"]:
                found.setdefault(line["method"], []).append(line)
        return found

    def refusal(self) -> str:
        with pytest.raises(ArtifactError) as error:
            self.call("table", "table1")
        assert "\n" not in str(error.value)
        return str(error.value)


@pytest.fixture
def benchmark(tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Made]:
    monkeypatch.chdir(root)
    return lambda columns=COLUMNS, **changes: Made(tmp_path, columns, **changes)


PARTS = {
    "preprocessing": "C",
    "name": "clean-fid",
    "computed_by": "clean-fid",
    "resize": "bilinear to 8",
    "value_map": "(x - 127.5) / 127.5",
    "quantisation": "none",
    "layer": "logits",
    "dtype": "float64 features",
    "mean_dtype": "float32",
    "ddof": 0,
    "root": "sqrtm",
    "extractor": "FD-other",
    "extractor_digest": "f" * 64,
    "dim": 5,
    "reference_digest": "q" * 64,
    "reference_split": "test",
    "n_generated": 31,
    "n_reference": 51,
    "ranges": 2,
}


def test_a_tables_text_fits_a_line_and_says_what_its_trainings_took_and_which_row_teaches(benchmark):
    made = benchmark()
    made.fill(lambda method: 30)  # of trainings as older versions recorded them, without processor time
    budget = {"params": 7, "train_images": 8, "network_evals": 9, "train_seconds": 400.0, "train_cpu_seconds": 150.0}
    for seed in made.plan.seeds:
        weights = made.plan.layout.run("shapes8", "methods/hkd", seed).weights
        recorded(made.plan, weights, route="train", budget=budget)
        made.call("metrics", "shapes8", "methods/hkd", "--nfe", "1", "--seed", str(seed))
    rows = made.table()
    known = {name: {(row["train_seconds"], row["train_cpu_seconds"]) for row in rows[name]} for name in rows}
    assert known == {"HKD": {("400", "150")}, "EDM": {("1", "")}}
    text = Path(f"{made.plan.layout.table('table1')}.md").read_text()
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert max(map(len, lines)) <= WIDTH and any(re.match(r"\| HKD .*\| +2\.5 \|", line) for line in lines)
    assert "\nEDM: teacher or starting point of HKD.\n" in text


def test_a_table_says_where_its_verdicts_will_lie(benchmark):
    made = benchmark()
    made.fill(lambda method: 30)
    made.table()
    file = Path(f"{made.plan.layout.table('table1')}.md")
    (link,) = re.findall(r"with its verdict: \[(.*)\]\(.*\), which `hkd compare`", file.read_text())
    assert file.parent / link == COMPARE.work(made.plan).out("table1_markdown")


def test_a_table_refuses_a_column_whose_rows_differ_in_any_part_of_the_protocol(benchmark):
    made = benchmark()
    made.fill(lambda method: 30)
    assert len(made.table()["EDM"]) == 2
    last = made.runs[-1]
    before = last.read_text()
    protocol = read_json(last, "metrics")["protocols"]["fid_own"]
    assert PARTS.keys() == protocol.keys() - {"score", "estimate", "versions"}
    for field, other in PARTS.items():
        if field in ("extractor_digest", "n_reference", "n_generated"):  # stand above the protocols too
            made.change(last, field, to=other)
        made.change(last, "protocols", "fid_own", field, to=other)
        error = made.refusal()
        assert f"{field} is {protocol[field]} and {other}" in error and str(last) in error
        last.write_text(before)
        recorded(made.plan, last)


def test_rows_of_different_numbers_of_images_need_a_column_at_a_common_number(benchmark):
    sizes = {"methods/edm": 30, "methods/hkd": 40}
    changes = {"methods": {"edm": {"sampling": {"n_samples": 30}}, "hkd": {"sampling": {"n_samples": 40}}}}
    made = benchmark(**changes)
    made.fill(sizes.get)
    assert "n_generated is 30 and 40" in made.refusal() and "add the column fdn_common" in made.refusal()
    made = benchmark([*COLUMNS, "fid_common"], **changes)
    made.fill(sizes.get)
    (row,) = made.table()["HKD"]
    real, mine = rows_of("real", "own_A", n=50), rows_of("methods/hkd", 0, 1, "own_A", n=40)
    assert (row["n_samples"], row["n_common"]) == ("40", "30")
    assert float(row["fid_own"]) == pytest.approx(frechet_from_features(mine, real).distance, rel=1e-5)
    assert float(row["fid_common"]) == pytest.approx(frechet_from_features(mine[:30], real).distance, rel=1e-5)


def test_ranges_and_seeds_have_their_mean_spread_and_minimum_in_columns(benchmark):
    columns = ["fid_own", "fid_sd", "fid_min", "fid_range_sd", "fid_range_min"]
    made = benchmark(columns, set={"sampling": {"n_samples": 60, "ranges": 3}}, seeds=2)
    made.fill(lambda method: 60)
    (row,) = made.table()["HKD"]
    real = rows_of("real", "own_A", n=50)
    seeds = [rows_of("methods/hkd", seed, 1, "own_A", n=60).reshape(3, 20, 4) for seed in range(2)]
    values = np.array([[frechet_from_features(part, real).distance for part in parts] for parts in seeds])
    expected = {
        "fid_own": values.mean(),
        "fid_sd": values.mean(axis=1).std(ddof=1),
        "fid_min": values.mean(axis=1).min(),
        "fid_range_sd": np.sqrt(values.var(axis=1, ddof=1).mean()),
        "fid_range_min": values.min(),
    }
    assert {name: float(row[name]) for name in expected} == pytest.approx(expected, rel=1e-5)
    assert row["n_samples"] == "20"


def test_a_spread_over_ranges_needs_ranges(benchmark):
    made = benchmark(["fid_own", "fid_range_min"])
    made.fill(lambda method: 30)
    assert "fid_range_min needs disjoint ranges; set sampling.ranges to 3 or more" in made.refusal()


def test_features_of_random_or_foreign_weights_never_stand_in_a_table_as_fid(benchmark):
    made = benchmark()
    made.fill(lambda method: 30, {"own": ExtractorFacts("FD-random-inception-pool3", 299, 4, "0" * 64, "class")})
    made.table()
    text = Path(f"{made.plan.layout.table('table1')}.md").read_text()
    header = next(line for line in text.splitlines() if line.startswith("| Method"))
    headings = [cell.strip() for cell in header.strip("|").split("|")]
    assert "FD" in headings and {name for name in headings if "FID" in name} == {"Printed FID"}
    assert "features of FD-random-inception-pool3" in text
    for path in made.runs:
        made.change(path, "extractor", to="FID")
    assert "called FID, but its weights are not the published Inception's" in made.refusal()


def test_every_number_of_a_network_below_its_bar_is_marked(benchmark):
    made = benchmark()
    reads = "label 0.190 where guessing has 0.100"
    made.fill(lambda method: 30, {"own": replace(TINY, skill=0.1, reads=reads)})
    (row,) = made.table()["HKD"]
    assert f"network FD-tiny reads held-out {reads}, a share of 0.10 below the bar of 0.5" in row["estimate"]
    assert row["estimate"].startswith("fid_own fdn: ")
    text = Path(f"{made.plan.layout.table('table1')}.md").read_text()
    assert "≈: an estimate" in text and f"reads held-out {reads}" in text


def test_every_number_of_an_unproven_network_says_so(benchmark):
    made = benchmark(["fid_own", "fdn", "fd_dinov2", "kd_dinov2"])
    made.fill(
        lambda method: 30, {"own": TINY, "dinov2": ExtractorFacts("FD-dinov2-vit-s-14", 8, 4, "d" * 64, unproven=True)}
    )
    (row,) = made.table()["HKD"]
    assert "fd_dinov2 kd_dinov2: " in row["estimate"]
    assert "extractor FD-dinov2-vit-s-14 is unproven on its published weights" in row["estimate"]
    text = Path(f"{made.plan.layout.table('table1')}.md").read_text()
    first = next(part for part in text.split("\n\n") if part.startswith("| Method"))
    lines = [line.strip("|").split("|") for line in first.splitlines()]
    k = [cell.strip() for cell in lines[0]].index("FD on dinov2")
    assert all(line[k].strip()[:1] in ("≈", "—", "") for line in lines[2:])
    assert "≈: an estimate" in text and "is unproven on its published weights" in text


def test_a_row_whose_training_diverged_says_so_in_table_and_picture_and_has_no_number(benchmark, tmp_path):
    made = benchmark(columns=["fid_own", "fdn", "fdn_common"])
    made.fill(lambda method: 30, images=np.zeros((4, 3, 8, 8), np.uint8))
    lost = next(path for path in made.runs if "methods/hkd" in str(path))
    made.change(lost, "diverged_at", to=17)
    assert {*made.table()} == {"EDM"}
    lines = csv.DictReader(Path(f"{made.plan.layout.table('table1')}.csv").read_text().splitlines())
    (row,) = (line for line in lines if line["method"] == "HKD")
    assert (row["fdn"], row["comparable"]) == ("", "no")
    assert row["why_not"] == "its training diverged: seed 0 at step 17"
    assert "its training diverged: seed 0 at step 17" in Path(f"{made.plan.layout.table('table1')}.md").read_text()
    made.call("figure", "samples", "table1", "--out", str(tmp_path / "samples.pdf"))
    caption = (tmp_path / "samples.md").read_text()
    assert "- Not shown: HKD, its training diverged: seed 0 at step 17.\n" in caption and "- EDM, 35 NFE" in caption


@pytest.mark.parametrize(("section", "picture"), [("table1", "samples.png"), ("second", "second.png")])
def test_a_page_takes_the_rows_of_a_benchmark_and_draws_their_samples_or_stays_as_it_was(
    benchmark, tmp_path, section, picture
):
    made = benchmark()
    made.fill(lambda method: 30, images=np.arange(4 * 3 * 64, dtype=np.uint8).reshape(4, 3, 8, 8))
    page = tmp_path / "page/README.md"
    page.parent.mkdir()
    page.write_text(f"<!-- {section}:start -->\nold\n<!-- {section}:end -->\n")
    call = ("readme", "--file", str(page), "--section", section)
    samples = made.runs[0].parents[1] / f"samples/{made.runs[0].stem}.npz"
    samples.rename(samples.with_suffix(".away"))
    with pytest.raises(ArtifactError, match=f"{samples}: missing"):
        made.call(*call)
    assert "old" in page.read_text() and not (page.parent / "docs").exists()
    samples.with_suffix(".away").rename(samples)
    made.call(*call)
    assert "| HKD " in page.read_text() and "old" not in page.read_text()
    (drawn,) = (page.parent / "docs").iterdir()
    assert drawn.name == picture
    once = drawn.read_bytes()
    made.call(*call)
    assert drawn.read_bytes() == once


def test_a_page_shows_few_rows_as_the_figure_does_and_many_in_two_blocks(benchmark, tmp_path, monkeypatch):
    made = benchmark()
    made.fill(lambda method: 30, images=np.zeros((4, 3, 8, 8), np.uint8))
    made.call("figure", "samples", "table1", "--out", str(tmp_path / "samples.pdf"))
    page = tmp_path / "README.md"
    page.write_text("<!-- table1:start -->\n<!-- table1:end -->\n")
    made.call("readme", "--file", str(page))
    drawn = tmp_path / "docs/samples.png"
    assert drawn.read_bytes() == (tmp_path / "samples.png").read_bytes()
    monkeypatch.setattr("hkd.figures.samples.ONE_BLOCK", 2)
    made.call("readme", "--file", str(page))
    (wide, high), (width, height) = (Image.open(path).size for path in (drawn, tmp_path / "samples.png"))
    assert wide > width and high < height
    assert "the first 2 of the seed" in Image.open(drawn).text["Description"]
