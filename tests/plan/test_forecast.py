"""What a run on own images will take: it follows steps, pixels, images and what is there already."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from hkd.cli import Commands
from hkd.data.decoding import encode_png
from hkd.plan.account import Account, account
from hkd.plan.bill import Bill, counted_runs
from hkd.plan.counted import Counts, known, name_of
from hkd.plan.graph import Graph
from hkd.plan.packing import Packed
from hkd.plan.passes import feature_operations
from hkd.plan.runs import Plan
from hkd.plan.speed import of_thread
from hkd.plan.stages import PREPARE
from hkd.report.priced import sentence
from hkd.seeding import numpy_stream
from hkd.settings.origins import ConfigError
from hkd.stages import config as command

OWN = "configs/benchmarks/own.yaml"
ALIKE = Counts(step=9e8, kept=0.0, fixed=0.0, forward=3e8, weights=0.0, trained=0.0, sampled=0.0)


@pytest.fixture
def hours(root, monkeypatch, tmp_path):
    """Hours of one core by stage for the first table of own images, under overrides; every network costs the same."""
    monkeypatch.chdir(root)

    def priced(side: int = 32, images: int = 5000, **overrides: Any) -> dict[str, float]:
        data = {"images": {"resolution": side, "count": images}}
        plan = Plan.load(OWN, {"source": "mine", "data": data, "results": str(tmp_path / "results"), **overrides})
        graph = Graph(plan, [f"{plan.layout.table('table1')}.csv"])
        bill = Bill(plan, lambda *run: ALIKE, lambda *role: feature_operations(plan, *role))
        found = account(plan, graph, bill, lambda *run: ALIKE, of_thread(plan.configs, forked=False), 2)
        return {stage: one["hours"] for stage, one in found.stages.items()}

    return priced


def test_steps_cost_their_operations_at_the_speed_that_was_measured(hours, root):
    short, long = hours(), hours(methods={"edm": {"training": {"steps": 2200}}})
    more = 1000 * 32 * ALIKE.step / of_thread(root / "configs", forked=False).rates["train"] / 3600  # images of a batch
    assert long["train"] - short["train"] == pytest.approx(more)
    assert {kind: long[kind] for kind in long if kind != "train"} == {k: short[k] for k in short if k != "train"}


def test_more_images_cost_more_to_measure_and_larger_ones_only_where_they_are_seen_at_their_own_size(hours):
    small, many, large = hours(), hours(images=50_000), hours(side=64)
    assert many["reference"] > small["reference"]
    assert large["extractor"] > 3 * small["extractor"]
    assert large["features"] < 1.5 * small["features"], "photographs have one size"


def test_what_is_there_is_not_counted(hours, tmp_path, root):
    plan = Plan.load(OWN, {"source": "mine", "results": str(tmp_path / "results")})
    before = hours()
    folder = Path(plan.layout.data("images", "train"))
    folder.mkdir(parents=True)
    for path in PREPARE.work(plan, dataset="images", split="train").files.declared().values():
        Path(path).touch()
    assert before.keys() - hours().keys() == {"prepare"}


def test_nothing_has_to_be_counted_before_make_own_at_its_usual_size(root):
    plan = Plan.load(str(root / OWN), {"source": "mine", "data": {"images": {"resolution": 32}}}, root / "configs")
    graph = Graph(plan, [f"{plan.layout.table('table1')}.csv"], anew=True)
    missing = [run for run in counted_runs(plan, graph) if name_of(plan, *run) not in known(root / "configs")]
    assert missing == [], f"hkd plan --count --card h100 --benchmark {OWN} --config data.images.resolution=32"


def test_cifar10_on_a_cpu_trains_a_teacher_of_each_kind_and_four_students_of_one_to_two_million_weights(root):
    plan = Plan.load(str(root / "configs/benchmarks/cifar10_cpu.yaml"), {"source": "mine"}, root / "configs")
    targets = [f"{plan.layout.table('table1')}.csv", f"{plan.layout.top.of('nearest.csv')}"]
    jobs = Graph(plan, targets, anew=True).jobs.values()
    trained = {work.of["method"].rpartition("/")[2] for work in jobs if work.stage == "train"}
    trained -= {"ddim", "untrained"}  # the one takes DDPM's weights, and makes KD's pairs
    assert trained == {"edm", "ddpm", "kd", "ecm", "regression", "hkd"}
    assert {plan.run("images", f"methods/{name}").network["model_channels"] for name in trained} == {32}


def test_a_damaged_speed_is_refused(tmp_path):
    (tmp_path / "cpu.yaml").write_text("train: 0\nevaluate: 1\nfeatures: 1\nstartup: 1\nforked: 1\n")
    with pytest.raises(ConfigError, match=r"cpu\.yaml:1.*train"):
        of_thread(tmp_path, forked=True)


def test_a_forecast_in_words():
    stages = {"train": {"hours": 1.99}, "features": {"hours": 0.002}, "reference": {"hours": 0.001}}
    found = Account([], stages, Packed(3600.0, 3600.0, 1.0), 1.993, 0.0, 3, 0, 0, [], [])
    assert sentence(found, side=32, images=5000) == (
        "5,000 images of 32 pixels: about 2.0 hours of one core, 60 minutes on two free ones "
        "(training 119, measuring <1 minutes)"
    )
    assert sentence(found, side=8, images=1).startswith("1 image of 8 pixels")


@pytest.fixture
def call(root, monkeypatch, tmp_path):
    monkeypatch.chdir(root)
    commands = Commands()
    command.register(commands)
    words = ["forecast", "--config", f"results={tmp_path / 'results'}"]
    return lambda *more: CliRunner().invoke(commands.app, [*words, *more])


def test_the_command_looks_at_the_images_and_refuses_so_few_that_a_column_could_not_be_made(call, tmp_path):
    folder = tmp_path / "mine"
    folder.mkdir()
    for number in range(65):
        picture = numpy_stream(0, "forecast", number).integers(0, 256, (3, 24, 40)).astype("uint8")
        (folder / f"{number}.png").write_bytes(encode_png(picture))
    done = call("--config", f"source={folder}", "--config", "data.images.resolution=32")
    assert done.exit_code == 0, done.exception
    assert done.output.startswith("65 images of 32 pixels: about ") and "training" in done.output
    (folder / "0.png").unlink()
    done = call("--config", f"source={folder}", "--config", "data.images.resolution=32")
    assert done.exit_code == 1 and done.output == ""
    assert "mine: 64 images, and the column fd_effnet64 needs more than 64; take more" in str(done.exception)


def test_without_images_it_says_how_to_name_them(call):
    done = call()
    assert done.exit_code == 1
    assert "its images are not named; say --config source=PATH" in str(done.exception)
