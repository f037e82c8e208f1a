"""The graph of jobs from the plan alone: as many as Snakemake counts, and a producer of every figure of the paper."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from hkd.plan.check import check_settings
from hkd.plan.graph import Graph
from hkd.plan.rows import rows
from hkd.plan.runs import Plan
from hkd.settings.origins import ConfigError

ROOT = Path(__file__).resolve().parents[2]
COUNTS = {"cifar10": 350, "cifar10_cheap": 213, "ffhq64": 111, "ffhq256": 84, "paper": 445}
FILES_A_SHARD = 5  # states, record, log, benchmark, and a part while it is made
COLUMNS = ("fid_own", "fid_torch_fidelity", "fid_clean_fid", "fid_pytorch_fid", "fid_edm", "kid")


def plan_of(name: str, **overrides) -> Plan:
    return Plan.load(str(ROOT / f"configs/benchmarks/{name}.yaml"), overrides, ROOT / "configs")


def dry_run(name: str, folder: Path, *targets: str) -> tuple[dict[str, int], str]:
    command = [sys.executable, "-m", "snakemake", "-s", ROOT / "Snakefile", "-n", "--workflow-profile", "none"]
    command += ["--cores", "1", "--configfile", ROOT / f"configs/benchmarks/{name}.yaml", "--", *targets]
    done = subprocess.run([str(part) for part in command], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    table = (done.stdout + done.stderr).split("Job stats:")[1].split("\n\n")[0]
    return {rule: int(count) for rule, count in re.findall(r"^(\w+) +(\d+)$", table, re.MULTILINE)}, done.stderr


@pytest.mark.parametrize("name", COUNTS)
def test_a_benchmark_of_the_paper_is_whole_and_has_its_jobs(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    plan = check_settings(plan_of(name))
    assert sum(Graph(plan).counts.values()) == COUNTS[name]
    assert plan.benchmark.scale == "paper" and plan.benchmark.extractor == "inception"
    for table in plan.tables.values():
        assert set(COLUMNS) <= set(table.columns)
    if name != "ffhq256":
        sampling = plan.run("cifar10", "methods/hkd").sampling
        assert (sampling.n_samples // sampling.ranges, sampling.ranges) == (50_000, 3)


def test_the_tables_on_cifar10_are_few_jobs_and_a_million_trajectories_few_files():
    plan = check_settings(plan_of("cifar10"))
    tables = [f"results/cifar10/{name}.csv" for name in ("table1", "table3", "table4")]
    assert sum(Graph(plan, tables, anew=True).counts.values()) == 314
    sets = {work.of["trajectories"] for work in Graph(plan, anew=True).jobs.values() if "trajectories" in work.of}
    large = [spec for name in sets if (spec := plan.trajectory_set("cifar10", name)).count >= 1_000_000]
    assert large and max(spec.shards for spec in large) * FILES_A_SHARD + 4 <= 300


def test_the_page_on_plans_says_how_many_jobs_there_are(tmp_path, monkeypatch):
    page = (ROOT / "docs/plan.md").read_text()
    assert all(f"{count} of `{name}`" in page for name, count in COUNTS.items())
    monkeypatch.chdir(tmp_path)  # where nothing is made yet
    assert f"{sum(Graph(plan_of('embedded')).counts.values())} of the embedded default" in page


def test_the_path_of_a_paper_benchmark_is_walked_with_a_random_inception_and_without_a_training():
    plan, full = check_settings(plan_of("random_inception")), plan_of("cifar10")
    assert plan.tables["table1"].columns == full.tables["table1"].columns
    sampling = plan.run("shapes16", "shipped/hkd").sampling
    assert (sampling.n_samples, sampling.ranges, plan.benchmark.extractor) == (2001, 3, "random_inception")
    graph = Graph(plan, ["results/random_inception/table1.csv"], anew=True)
    stages = ("prepare", "train", "sample", "reference", "features", "metrics", "table")
    assert graph.counts == dict.fromkeys(stages, 1)
    of = {work.stage: work for work in graph.jobs.values()}
    assert plan.route("shapes16", of["train"].of["method"]) == "shipped"
    assert of["prepare"].definition.settings["reference"] == 2000


@pytest.mark.parametrize(
    "name",
    ["ffhq64", *(pytest.param(n, marks=pytest.mark.slow) for n in (*COUNTS, "embedded", "smoke") if n != "ffhq64")],
)
def test_the_plan_has_exactly_the_jobs_of_a_dry_run_which_names_what_is_absent(name, tmp_path):
    counted, said = dry_run(name, tmp_path)
    counted.pop("total")
    plan = plan_of(name, results=str(tmp_path / "results"))
    assert Graph(plan).counts == counted
    if name == "ffhq64":
        stops = [line for line in said.splitlines() if line.startswith("a real run stops here: ")]
        assert [line.split(": ")[1].split("/")[-1] for line in stops] == [
            "vgg16-397923af.pth",
            "ffhq-64x64.zip",
            "pt_inception-2015-12-05-6726825d.pth",
        ]


def test_the_ablations_stand_on_both_data_sets_with_the_pixel_loss_as_a_row_of_ours():
    plan = plan_of("paper")
    for table, dataset in (("table3", "cifar10"), ("table3_ffhq64", "ffhq64")):
        found = rows(plan, table)
        assert plan.table(table).dataset == dataset
        assert [row.method for row in found][-2:] == ["methods/hkd", "ablations/abl_mse_only"]
        assert (found[-1].category, found[-1].fid) == ("Ablation", None)


def test_both_readings_of_the_length_of_hkd_are_rows():
    plan = plan_of("cifar10")
    found = {row.method: plan.run("cifar10", row.method).training.steps for row in rows(plan, "table1") if row.method}
    assert (found["methods/hkd"], found["ablations/abl_longer"]) == (50_000, 190_000)
    assert plan.run("cifar10", "methods/hkd").training.ema.kind != "constant"


def test_the_cheap_rows_are_the_twelve_that_are_printed_above_the_dear_ones():
    plan = plan_of("cifar10_cheap")
    found = [(row.label, row.nfe) for row in rows(plan, "table1") if row.method]
    assert len(found) == 12 and ("DDIM", 10) in found and ("EDM", 15) in found and ("HKD", 1) in found


FIGURE = re.compile(r"^\| (Figure|Table) [^|]*\| [^|]* \| `(\w+\.pdf)` \| (?:`([^`]*)`|none.*?) \|$", re.MULTILINE)


@pytest.mark.parametrize("name", ["cifar10", "ffhq64"])
def test_every_figure_of_the_paper_has_a_producer(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    listed = FIGURE.findall((ROOT / "paper_figures/README.md").read_text())
    assert [kind for kind, _, _ in listed] == ["Figure"] * 6 + ["Table"] * 2
    plan = plan_of(name)
    for _, file, arrays in listed:
        target = f"paper_figures/{name}/{file}"
        graph = Graph(plan, [target])
        assert next(iter(graph.jobs.values())).outputs["pdf"] == target
        made = [path for work in graph.jobs.values() for path in work.outputs.values()]
        assert not arrays or [path for path in made if path.endswith(f"/{arrays}")], arrays


@pytest.mark.slow
@pytest.mark.ci
def test_snakemake_finds_the_same_producers(tmp_path):
    names = [file for _, file, _ in FIGURE.findall((ROOT / "paper_figures/README.md").read_text())]
    counted, _ = dry_run("ffhq64", tmp_path, *(f"paper_figures/ffhq64/{file}" for file in names))
    assert {f"{Path(file).stem}_figure" for file in names} <= counted.keys()


def test_a_file_that_nothing_makes_is_no_target(smoke_plan):
    with pytest.raises(ConfigError, match="results/nothing: no stage makes this file"):
        Graph(smoke_plan(), ["results/nothing"])


def test_what_is_finished_is_left_out_with_all_that_it_alone_needs(smoke_plan, tmp_path):
    plan = smoke_plan(results=str(tmp_path))
    target = plan.layout.run("shapes8", "methods/ecm", 0).metrics(1)
    before = Graph(plan, [target])
    (features,) = [work for work in before.jobs.values() if work.stage == "features"]
    for path in features.files.declared().values():
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).touch()
    after = Graph(plan, [target])
    assert list(after.finished.values()) == [features]
    assert "features" not in after.counts and after.counts["sample"] == 1, "the metrics read samples too"
    assert Graph(plan, [target], anew=True).counts == before.counts
