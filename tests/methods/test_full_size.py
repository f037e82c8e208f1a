"""The settings of the sources as they stand: every full-size network makes one real optimiser step."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from hkd.data.image_set import ImageBatch, one_hot
from hkd.data.image_shape import ImageShape
from hkd.data.trajectories import Trajectories
from hkd.diffusion.schedules import edm_sigmas
from hkd.experiment import build as experiment
from hkd.experiment import finished
from hkd.experiment.perceptual import grader
from hkd.experiment.perceptual import perceptual as distance_of
from hkd.experiment.record import run_document
from hkd.plan.runs import Plan
from hkd.seeding import stream
from hkd.settings.origins import to_yaml
from hkd.settings.sections import Run
from hkd.store.artifacts import save_weights
from hkd.store.atomic import write_text
from hkd.training.trainer import Trainer

pytestmark = pytest.mark.slow

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
METHODS = sorted(path.stem for path in CONFIGS.glob("methods/*.yaml") if path.stem != "ddim")  # DDIM trains nothing
SHAPE = ImageShape(resolution=32, channels=3, label_dim=10)


@pytest.fixture
def full_size(settings, perceptual, tmp_path):
    """A method at full scale with fresh weights; LPIPS, which is a download, is replaced by the small distance."""

    def make(name: str, run: Run | None = None, shape: ImageShape = SHAPE):
        run = run or settings(name)
        training = run.training.model_copy(update={"batch": 1, "warmup_steps": 0})
        run = run.model_copy(update={"training": training, "perceptual_backbone": "cnn"})
        teacher = None
        if run.teacher:
            base = settings(run.teacher.split("/")[1])
            teacher = tmp_path / "weights.safetensors"
            write_text(tmp_path / "config.yaml", to_yaml(run_document(base, SHAPE, seed=0)))
            save_weights(teacher, experiment.method(base, SHAPE, seed=0, parts=None).artefact())
        distance = distance_of(run, perceptual) if run.perceptual else None
        parts = finished.parts(None, teacher, distance, grader(perceptual))
        return experiment.method(run, shape, seed=0, parts=parts), run

    return make


@pytest.fixture
def pairs(write_trajectories, tmp_path) -> Trajectories:
    """One trajectory of 19 states at 32 pixels, whatever its shape: a loss only has to accept it."""
    return one_trajectory(write_trajectories, tmp_path, 32)


def one_trajectory(write_trajectories, folder: Path, side: int) -> Trajectories:
    sigmas = edm_sigmas(18, sigma_min=0.002, sigma_max=80.0, rho=7.0)
    noise = torch.randn((1, 3, side, side), generator=stream(0, "noise"), dtype=torch.float64)
    clean = torch.rand((1, 3, side, side), generator=stream(0, "clean"), dtype=torch.float64) - 0.5
    states = clean[:, None] + sigmas[None, :, None, None, None] * noise[:, None]
    write_trajectories(folder / "pairs", states, sigmas)
    return Trajectories(folder / "pairs")


IN_CI = ("hkd", "kdm")  # the paper's own, and the one with networks of its own


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.ci) if n in IN_CI else n for n in METHODS])
def test_a_full_size_network_makes_one_real_optimiser_step(name, full_size, pairs):
    method, run = full_size(name)
    labels = one_hot(torch.tensor([3]), 10) if run.conditional else None
    if run.feed == "images":
        count = 2 if name == "metric_trained" else 1  # a covariance needs two
        batch = ImageBatch(torch.rand((count, 3, 32, 32), generator=stream(0, "clean")) - 0.5, labels)
    else:
        batch = pairs.batch([0])
        batch = type(batch)(batch.rows, batch.sigmas, batch.scales, labels, batch.device)
    stepped(method, run, batch)


# of the benchmark paper CIFAR-10's networks are those above; the rest have other data sets
ELSEWHERE = [("ffhq64", name) for name in ("ddpm", "edm", "ecm", "hkd")] + [("ffhq256", "edm"), ("ffhq256", "hkd")]


@pytest.mark.parametrize(("name", "method"), ELSEWHERE)
def test_the_networks_of_the_other_benchmarks_make_one_too(name, method, full_size, write_trajectories, tmp_path):
    plan = Plan.load(str(CONFIGS / f"benchmarks/{name}.yaml"), {}, CONFIGS)
    run = plan.run(name, f"methods/{method}")
    side = plan.dataset(name).data.resolution
    built, run = full_size(method, run, ImageShape(side, 3, 0))
    batch = ImageBatch(torch.rand((1, 3, side, side), generator=stream(0, "clean")) - 0.5, None)
    if run.feed != "images":
        batch = one_trajectory(write_trajectories, tmp_path, side).batch([0])
    stepped(built, run, batch)


def stepped(method, run: Run, batch) -> None:
    """Make a step with a batch, and find that every network that is trained has moved."""
    trainer = Trainer(method, run.training, seed=0)
    before = {part: [p.detach().clone() for p in getattr(method, part).parameters()] for part in method.trains}
    method.train()
    facts = trainer.step(batch)
    assert all(value == value for value in facts.values())
    for part, values in before.items():
        assert any(not torch.equal(a, b) for a, b in zip(values, getattr(method, part).parameters(), strict=True))
