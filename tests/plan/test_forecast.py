"""What a run will take, from the plan and measured costs: it follows steps, pixels and what is there already."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from hkd.cli import Commands
from hkd.data.decoding import encode_png
from hkd.plan.forecast import forecast, sentence
from hkd.plan.runs import Plan
from hkd.seeding import numpy_stream
from hkd.settings.origins import check, read_yaml
from hkd.settings.prices import Costs
from hkd.stages import config as command

OWN = "configs/benchmarks/own.yaml"


@pytest.fixture
def minutes(root, monkeypatch, tmp_path):
    """Minutes of the first table of own images under overrides, by kind of work."""
    monkeypatch.chdir(root)

    def priced(side: int = 32, images: int = 5000, **overrides: Any) -> dict[str, float]:
        plan = Plan.load(OWN, {"source": "mine", "results": str(tmp_path / "results"), **overrides})
        return forecast(plan, [f"{plan.layout.table('table1')}.csv"], side=side, images=images)

    return priced


def test_steps_cost_what_they_were_measured_to_cost(minutes, root):
    costs = check(Costs, read_yaml(root / "configs/costs.yaml"))
    short, long = minutes(), minutes(methods={"edm": {"training": {"steps": 2200}}})
    more = 1000 * 32 * costs.step / 60_000  # images of a batch; milliseconds
    assert long["training"] - short["training"] == pytest.approx(more)
    assert {kind: long[kind] for kind in long if kind != "training"} == {k: short[k] for k in short if k != "training"}


def test_four_times_the_pixels_cost_four_times_as_much_but_for_starts_and_measuring(minutes, root):
    costs = check(Costs, read_yaml(root / "configs/costs.yaml"))
    small, large = minutes(), minutes(side=64)
    start = 4 * costs.job / 60_000  # four shards
    kind = "the teacher's trajectories"
    assert large[kind] - start == pytest.approx(4 * (small[kind] - start))
    assert large["measuring"] == pytest.approx(small["measuring"])
    assert minutes(images=10_000)["measuring"] > small["measuring"]


def test_what_is_there_is_not_counted(minutes, tmp_path, root):
    plan = Plan.load(OWN, {"source": "mine", "results": str(tmp_path / "results")})
    before = minutes()
    folder = Path(plan.layout.data("images", "train"))
    folder.mkdir(parents=True)
    from hkd.plan.stages import PREPARE

    for path in PREPARE.work(plan, dataset="images", split="train").files.declared().values():
        Path(path).touch()
    assert before.keys() - minutes().keys() == {"reading the images"}


def test_a_network_of_twice_the_width_costs_twice_as_much(minutes):
    wide = minutes(set={"network": {"model_channels": 48}})
    assert wide["drawing samples"] > 1.8 * minutes()["drawing samples"]


def test_cifar10_on_a_cpu_trains_a_teacher_of_each_kind_and_four_students_of_one_to_two_million_weights(root):
    from hkd.plan.graph import Graph

    plan = Plan.load(str(root / "configs/benchmarks/cifar10_cpu.yaml"), {"source": "mine"}, root / "configs")
    targets = [f"{plan.layout.table('table1')}.csv", f"{plan.layout.top.of('nearest.csv')}"]
    jobs = Graph(plan, targets, anew=True).jobs.values()
    trained = {work.of["method"].rpartition("/")[2] for work in jobs if work.stage == "train"}
    trained.remove("ddim")  # takes DDPM's weights, and makes KD's pairs
    assert trained == {"edm", "ddpm", "kd", "ecm", "regression", "hkd"}
    assert {plan.run("images", f"methods/{name}").network["model_channels"] for name in trained} == {32}
    hours = sum(forecast(plan, targets, side=32, images=50_000).values()) / 60
    assert 4 < hours < 24, "a night on two cores"


def test_a_forecast_in_words():
    said = sentence({"training": 119.6, "measuring": 0.2}, side=32, images=5000)
    assert said == (
        "5,000 images of 32 pixels: about 2.0 hours of one core, 60 minutes on two free ones "
        "(training 120, measuring <1 minutes)"
    )


@pytest.fixture
def call(root, monkeypatch, tmp_path):
    monkeypatch.chdir(root)
    commands = Commands()
    command.register(commands)
    words = ["forecast", "--config", f"results={tmp_path / 'results'}"]
    return lambda *more: CliRunner().invoke(commands.app, [*words, *more])


def test_the_command_looks_at_the_images(call, tmp_path):
    folder = tmp_path / "mine"
    folder.mkdir()
    for number in range(3):
        picture = numpy_stream(0, "forecast", number).integers(0, 256, (3, 24, 40)).astype("uint8")
        (folder / f"{number}.png").write_bytes(encode_png(picture))
    done = call("--config", f"source={folder}", "--config", "data.images.resolution=16")
    assert done.exit_code == 0, done.exception
    assert done.output.startswith("3 images of 16 pixels: about ") and "training" in done.output


def test_without_images_it_says_how_to_name_them(call):
    done = call()
    assert done.exit_code == 1
    assert "its images are not named; say --config source=PATH" in str(done.exception)
