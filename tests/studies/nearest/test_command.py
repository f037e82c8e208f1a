"""The study by its command, on made images: table, figure, and what it refuses."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from hkd import interrupt
from hkd.cli import Commands
from hkd.data.image_set import write_image_set
from hkd.metrics.measure import reference_arrays, sample_arrays
from hkd.plan.runs import Plan
from hkd.seeding import numpy_stream
from hkd.settings.columns import scores_of
from hkd.store.artifacts import save_arrays, save_weights
from hkd.studies.nearest import command
from hkd.studies.nearest.plan import PART, found_rows, view
from tests.metrics.stand_ins import tiny_extractor
from tests.recorded import record_results

OWN = "configs/benchmarks/own.yaml"


def drawn(n: int, index: int) -> np.ndarray:
    return numpy_stream(5, "own", index).integers(0, 256, (n, 3, 16, 16)).astype(np.uint8)


@pytest.fixture
def overrides(tmp_path: Path) -> dict:
    kept = {"results": f"{tmp_path}/results", "figures": f"{tmp_path}/figures", "source": "mine"}
    return kept | {"set": {"sampling": {"n_samples": 30}}, "studies": {"nearest": {"images": 100, "shown": 3}}}


@pytest.fixture
def plan(root, tmp_path, monkeypatch, overrides) -> Plan:
    """Images, their features, and samples of which those of the last row are copies."""
    monkeypatch.chdir(root)
    interrupt.reset()
    made = Plan.load(OWN, overrides)
    images, names = drawn(150, 0), scores_of(made.table("table1").columns)
    data = made.layout.data("images", "train")
    items = ((image, None) for image in images)
    write_image_set(Path(data), items, count=150, resolution=16, channels=3, label_dim=0, about={})
    eyes = {"own": tiny_extractor(), "effnet": tiny_extractor(dim=80)}
    known = reference_arrays(images, eyes, names, split="train")
    monkeypatch.setattr("hkd.experiment.extractors.extractors", lambda plan, dataset, device: eyes)
    network = Path(made.layout.extractor("images", "metric"))
    save_weights(network, {"pretended": torch.zeros(1)})
    rows = found_rows(made)
    for number, (_, nfe, method) in enumerate(rows):
        files = made.layout.run("images", method, 0)
        samples = images[:30] if number == len(rows) - 1 else drawn(30, 1 + number)
        save_arrays(Path(files.samples(nfe)), {"images": samples})
        save_arrays(Path(files.features(nfe)), sample_arrays(samples, eyes, names, known))
    record_results(made)
    return made


def called(*arguments: str, config: dict) -> object:
    commands = Commands()
    command.register(commands)
    words = [word for key, value in config.items() for word in ("--config", f"{key}={value}")]
    return CliRunner().invoke(commands.app, ["nearest", "--benchmark", OWN, *words, *arguments])


def test_a_row_that_repeats_is_told_from_those_that_paint(plan, overrides):
    config = {key: value for key, value in overrides.items() if key not in ("set", "studies")}
    config |= {"set.sampling.n_samples": 30, "studies.nearest.images": 100, "studies.nearest.shown": 3}
    done = called(config=config)
    assert done.exit_code == 0, done.output
    outputs = PART.work(plan).outputs
    with Path(outputs["table"]).open() as file:
        lines = list(csv.DictReader(file))
    assert [line["method"] for line in lines] == [title for title, _, _ in found_rows(plan)]
    assert [float(line["close"]) for line in lines][-1] == 1.0
    assert all(float(line["close"]) < 0.2 for line in lines[:-1]) and {line["view"] for line in lines} == {"effnet_C"}
    assert "100.0% of 30 samples" in done.output
    caption = Path(outputs["caption"]).read_text()
    assert "100.0% of 30 samples" in caption and "own images" in caption
    assert Path(outputs["png"]).stat().st_size > 5000


def test_without_photographs_distances_are_in_the_own_networks_features(overrides):
    plain = Plan.load("configs/benchmarks/own_plain.yaml", overrides)
    assert view(plain, "images") == "own_A"


def test_drawn_data_are_held_against_the_images_that_were_trained_on(root):
    work = PART.work(Plan.load(str(root / "configs/benchmarks/embedded.yaml"), configs=root / "configs"))
    assert str(work.input("images")) == "results/shapes16/data/train/manifest.json"


def test_a_row_that_is_printed_twice_is_looked_at_once(root):
    plan = Plan.load(str(root / "configs/benchmarks/embedded.yaml"), configs=root / "configs")
    rows, work = found_rows(plan), PART.work(plan)
    assert {"HKD", "HKD, trained in this run"} <= {title for title, _, _ in rows}
    assert len(rows) == len(set(rows)) == len(work.inputs("features")) == len(work.inputs("samples"))
