"""A finished run of HKD whose operators move, all that the studies of single images read, and their commands."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from hkd import __main__ as entry
from hkd import interrupt
from hkd.data.image_set import to_uint8
from hkd.data.image_shape import ImageShape
from hkd.experiment import build as experiment
from hkd.experiment.finished import base
from hkd.experiment.record import run_document
from hkd.experiment.sample import sample_images
from hkd.plan.runs import Plan
from hkd.seeding import stream
from hkd.settings.origins import to_yaml
from hkd.store.artifacts import save_weights
from hkd.store.atomic import write_text
from hkd.store.paths import Layout, RunFiles
from hkd.studies.single_images import FinishedRun, finished
from tests.recorded import record_results

METHOD, SHAPE = "methods/hkd", ImageShape(resolution=8, channels=3, label_dim=0)
CPU = torch.device("cpu")
STUDIES = ("editing", "inpainting", "trajectories")  # as their settings are called
SMALL = {name: {"images": 2, "shown": 2} for name in STUDIES}


@pytest.fixture(scope="session")
def results(tmp_path_factory, tiny_run, teacher, perceptual, images, smoke_plan) -> Path:
    """A results folder with a moved HKD run, its teacher, its perceptual network and its images."""
    root = tmp_path_factory.mktemp("results")
    layout, run = Layout(str(root)), tiny_run(METHOD)
    built = experiment.method(run, SHAPE, seed=0, parts=None)
    state = {}
    for number, (name, value) in enumerate(built.artefact().items()):
        state[name] = value + 0.1 * torch.randn(value.shape, generator=stream(1, "moved", number))
    files = layout.run("shapes8", METHOD, 0)
    write_text(files.config, to_yaml(run_document(run, SHAPE, dataset="shapes8", seed=0)))
    save_weights(files.weights, state)
    shutil.copytree(teacher.parent, layout.run("shapes8", "methods/edm", 0))
    shutil.copytree(perceptual.parent, layout.extractor_folder("shapes8", "perceptual"))
    shutil.copytree(images, layout.data("shapes8", "reference"))
    record_results(smoke_plan(results=str(root)))
    return root


@pytest.fixture
def files(results: Path) -> RunFiles:
    """The files of the run."""
    return Layout(str(results)).run("shapes8", METHOD, 0)


@pytest.fixture
def finished_run(files: RunFiles) -> FinishedRun:
    """The run as live objects."""
    return finished(Path(files.weights), METHOD, 0, CPU)


@pytest.fixture
def study_plan(smoke_plan, results: Path) -> Callable[..., Plan]:
    """Build the plan whose results are these, with two images for every study."""
    return lambda **changes: smoke_plan(**{"results": str(results), "studies": SMALL, **changes})


@pytest.fixture
def hkd(monkeypatch, root, capsys, tmp_path, results) -> Callable[..., tuple[int, str]]:
    """Run a command on the run, or draw a figure; return the exit code and what it says of errors."""
    monkeypatch.chdir(root)
    monkeypatch.delenv("HKD_BENCHMARK", raising=False)
    interrupt.reset()

    def run(command: str, *arguments: Any) -> tuple[int, str]:
        keys = {"results": str(results), "figures": str(tmp_path / "figures")}
        keys |= {f"studies.{name}.{key}": str(value) for name in STUDIES for key, value in SMALL[name].items()}
        own = [word for key, value in keys.items() for word in ("--config", f"{key}={value}")]
        subject = [] if command.startswith("figure") else ["shapes8", METHOD, "--device", "cpu"]
        shared = ["--benchmark", "configs/benchmarks/smoke.yaml", *own]
        words = ["hkd", *command.split(), *subject, *shared, *map(str, arguments)]
        monkeypatch.setattr("sys.argv", words)
        code = entry._run()
        return code, capsys.readouterr().err

    return run


@pytest.fixture
def refused(hkd, tmp_path) -> Callable[..., str]:
    """Run a command that cannot be; return its one line. Outputs are called `x.` and a suffix: none is left."""

    def run(*arguments: Any) -> str:
        code, err = hkd(*(str(tmp_path / word) if str(word).startswith("x.") else word for word in arguments))
        assert code == 1
        assert len(err.strip().splitlines()) == 1 and "Traceback" not in err
        assert not list(tmp_path.glob("x.*"))
        return err

    return run


@pytest.fixture
def picture(tmp_path) -> Path:
    """A picture of 8 pixels."""
    return counted_up(tmp_path / "mine.png", 8)


@pytest.fixture
def samples(files: RunFiles, tiny_run) -> np.ndarray:
    """The one-step samples of the run, as whole numbers."""
    built = base(Path(files.weights))
    images = sample_images(built, tiny_run(METHOD), SHAPE, range(2), seed=0, nfe=1, to=CPU)
    return to_uint8(images).numpy().astype(int)


def counted_up(path: Path, side: int) -> Path:
    """Write a picture whose values count up from 0, one a channel of a pixel."""
    return saved(path, (np.arange(side * side * 3).reshape(side, side, 3) % 256).astype(np.uint8))


def saved(path: Path, array: np.ndarray) -> Path:
    """Write an array as it is, or as a picture."""
    np.save(path, array) if path.suffix == ".npy" else Image.fromarray(array).save(path)
    return path
