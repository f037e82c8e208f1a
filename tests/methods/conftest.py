"""Fixtures of the tests of methods: settings at every scale, tiny bases of the right kind, exact networks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from hkd.data.image_set import ImageBatch, ImageShape
from hkd.data.kinds import shapes
from hkd.experiment import build as experiment
from hkd.experiment import finished
from hkd.experiment.perceptual import grader
from hkd.experiment.perceptual import perceptual as distance_of
from hkd.experiment.record import run_document
from hkd.methods.base import Method
from hkd.methods.evaluations import EvaluationCounter, networks
from hkd.plan.runs import Plan
from hkd.seeding import ImageStreams, stream
from hkd.settings.origins import to_yaml
from hkd.settings.sections import Run
from hkd.store.artifacts import save_weights
from hkd.store.atomic import write_text

SHAPE = ImageShape(resolution=8, channels=3, label_dim=len(shapes.CLASSES))  # for those that ask


@pytest.fixture(scope="session")
def settings(root: Path) -> Callable[..., Run]:
    """Return a run's settings at a scale, as a benchmark that overrides nothing would see them."""

    def resolved(method: str, scale: str = "paper", dataset: str = "cifar10") -> Run:
        overrides = {"scale": scale, "teacher": "train", "extractors": "train"}
        return Plan.load(str(root / "configs/benchmarks/embedded.yaml"), overrides, root / "configs").run(
            dataset, f"methods/{method}"
        )

    return resolved


@pytest.fixture(scope="session")
def base_weights(tmp_path_factory: pytest.TempPathFactory, tiny_run: Callable[..., Run]) -> Callable[[str], Path]:
    """Return the weights of a tiny base run, none of them zero, with the config beside them."""
    made: dict[str, Path] = {}

    def weights(name: str) -> Path:
        if name not in made:
            folder = tmp_path_factory.mktemp("base")
            run = tiny_run(name)
            state = experiment.method(run, SHAPE, seed=3, parts=None).artefact()
            for index, (key, value) in enumerate(state.items()):
                state[key] = value + 0.05 * torch.randn(value.shape, generator=stream(5, name, index))
            document = run_document(run, SHAPE, dataset="shapes8", method=name, seed=3)
            write_text(folder / "config.yaml", to_yaml(document))
            save_weights(folder / "weights.safetensors", state)
            made[name] = folder / "weights.safetensors"
        return made[name]

    return weights


@pytest.fixture(scope="session")
def build(base_weights: Callable[[str], Path], perceptual: Path) -> Callable[..., Method]:
    """Build the method of a run from tiny bases of the kind that its config names."""

    def made(run: Run, seed: int = 0) -> Method:
        chosen = finished.parts(
            base_weights(run.init) if run.init else None,
            base_weights(run.teacher) if run.teacher else None,
            distance_of(run, perceptual) if run.perceptual else None,
            grader(perceptual),
        )
        return experiment.method(run, SHAPE, seed=seed, parts=chosen)

    return made


@pytest.fixture(scope="session")
def trained(build: Callable[..., Method], feed: Callable[..., Any]) -> Callable[..., Method]:
    """Return a method after a few steps of the real training loop."""

    from hkd.training.trainer import Trainer

    def after(run: Run, steps: int = 2) -> Method:
        trainer, batches = Trainer(build(run), run.training, seed=0), feed(run)
        trainer.method.train()
        for step in range(steps):
            facts = trainer.step(batches(step))
            assert all(value == value for value in facts.values())
        return trainer.method.eval()

    return after


@pytest.fixture(scope="session")
def draw() -> Callable[..., Tensor]:
    """Return the images that belong to some indices, and hold the counted evaluations against those asked for."""

    @torch.no_grad()
    def images(method: Method, indices: list[int], nfe: int) -> Tensor:
        streams = ImageStreams(0, indices)
        noise = streams.randn((3, 8, 8))
        with EvaluationCounter(networks(method)) as counter:
            made = method.sample(noise, labels=None, nfe=nfe, streams=streams)
        assert counter.counted == nfe * len(indices)
        return made

    return images


@pytest.fixture(scope="session")
def single_image() -> ImageBatch:
    """Sixteen copies of one image: data whose trajectories are straight lines to it."""
    image = torch.rand((1, 3, 8, 8), generator=stream(0, "image")) - 0.5
    return ImageBatch(image.expand(16, -1, -1, -1).clone(), None)
