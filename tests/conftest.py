"""What the tests of runs share: smoke-sized settings, prepared images, a teacher's weights and its trajectories."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Generator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch

from hkd.data.image_set import ImageShape, write_image_set
from hkd.data.kinds import shapes
from hkd.data.shards import labels_path, shard_name, write_shard
from hkd.data.toy import GaussianData
from hkd.data.trajectories import Trajectories, state_scales
from hkd.diffusion.ode import solve
from hkd.diffusion.schedules import edm_sigmas
from hkd.experiment import build as experiment
from hkd.experiment import finished
from hkd.experiment.feed import batches
from hkd.experiment.networks import feature_network
from hkd.experiment.perceptual import grader
from hkd.experiment.record import run_document
from hkd.methods.distances import PerceptualDistance
from hkd.nets.cnn import FeatureCNN
from hkd.plan.runs import Plan
from hkd.seeding import stream
from hkd.settings.origins import check, to_yaml
from hkd.settings.sections import Run
from hkd.store.artifacts import save_weights
from hkd.store.atomic import sha256, write_json, write_text
from tests.mutations import seen
from tests.trust import compares, copies

ROOT = Path(__file__).resolve().parents[1]
SHAPE = ImageShape(resolution=8, channels=3, label_dim=len(shapes.CLASSES))  # for those that ask
NETWORK = {"model_channels": 8, "channel_mult": [1, 2], "num_blocks": 1, "attn_resolutions": [4]}

if find_spec("hypothesis"):  # which a machine that runs the GPU tests alone need not have
    from hypothesis import settings

    # The same examples every time, so that a red test is red for everybody; HYPOTHESIS_PROFILE=explore draws new ones
    settings.register_profile("repeatable", derandomize=True, deadline=None)
    settings.register_profile("explore", deadline=None, max_examples=500)
    settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """With `-m gpu` read the GPU tests alone: the others load packages that their environment need not have."""
    others = ROOT / "tests/gpu" not in (collection_path, *collection_path.parents, *_below(collection_path))
    return True if config.option.markexpr == "gpu" and others else None


def _below(path: Path) -> list[Path]:
    """Return the folder of the GPU tests, if it lies below a path."""
    return [ROOT / "tests/gpu"] if path in (ROOT / "tests/gpu").parents else []


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None]:
    """Hold every test that passes to its name, which says how many damaged files it reads, and whether it compares."""
    before = seen.copy()
    yield
    said = copies(item.nodeid)
    found = {key: seen[key] - before[key] for key in ("given", "compared")}
    assert found == {"given": said, "compared": said if compares(item.nodeid) else 0}, "use COUNTS of tests/fuzzed.py"


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout."""
    return ROOT


@pytest.fixture(scope="session")
def smoke_plan() -> Callable[..., Plan]:
    """Build the plan of the smoke benchmark with some keys changed."""

    def build(**overrides: Any) -> Plan:
        return Plan.load(str(ROOT / "configs/benchmarks/smoke.yaml"), overrides, ROOT / "configs")

    return build


@pytest.fixture(scope="session")
def tiny_run(smoke_plan: Callable[..., Plan]) -> Callable[..., Run]:
    """Return a run's settings, cut down to 8-pixel images, an 8-channel network and four steps."""

    def build(method: str, scale: str = "embedded", **sections: dict[str, Any]) -> Run:
        training = {"steps": 4, "batch": 4, "warmup_steps": 1, **sections.pop("training", {})}
        network = {**NETWORK, **sections.pop("network", {})}
        changes = {"network": network, "training": training, "sampling": {"n_samples": 4, "batch": 2}, **sections}
        plan = smoke_plan(scale=scale, set=changes)
        layers = plan.run_layers("shapes8", method)
        layers.values["perceptual_backbone"] = "cnn"
        return check(Run, layers)

    return build


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A prepared set of 32 procedural images of 8 pixels, with classes."""
    folder = tmp_path_factory.mktemp("images")
    values = shapes.factors(0, "train", range(32))
    items = zip(shapes.render(values, 8), values["class"].tolist(), strict=True)
    write_image_set(folder, items, count=32, resolution=8, channels=3, label_dim=len(shapes.CLASSES))
    return folder


@pytest.fixture(scope="session")
def teacher(tmp_path_factory: pytest.TempPathFactory, tiny_run: Callable[..., Run]) -> Path:
    """The weights of a tiny EDM, with the config beside them, as `hkd train` leaves them."""
    folder = tmp_path_factory.mktemp("teacher")
    run = tiny_run("methods/edm")
    built = experiment.method(run, SHAPE, seed=3, parts=None)
    state = {}
    for index, (name, value) in enumerate(built.artefact().items()):
        fresh = torch.randn(value.shape, generator=stream(5, "teacher", index)) if value.is_floating_point() else value
        state[name] = value + 0.05 * fresh  # every tensor non-zero, as after training
    document = run_document(run, SHAPE, dataset="shapes8", method="methods/edm", seed=3)
    write_text(folder / "config.yaml", to_yaml(document))
    save_weights(folder / "weights.safetensors", state)
    return folder / "weights.safetensors"


@pytest.fixture(scope="session")
def perceptual(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The weights of a tiny feature network."""
    path = tmp_path_factory.mktemp("perceptual") / "weights.safetensors"
    network = {"width": 4, "image_size": 8, "heads": {"class": 4}, "seed": 2, "features": 8}
    save_weights(path, FeatureCNN(**network).state_dict(), {"network": network, "name": "FD-tiny"})
    return path


@pytest.fixture(scope="session")
def write_trajectories() -> Callable[..., Trajectories]:
    """Store states (n, S, C, H, W) as a finished set of trajectories in two shards, and open it."""

    def write(
        folder: Path,
        states: torch.Tensor,
        sigmas: torch.Tensor,
        sigma_data: float = 0.5,
        classes: torch.Tensor | None = None,
    ) -> Trajectories:
        scaled = states / state_scales(sigmas, sigma_data)[None, :, None, None, None]
        shards = []
        for number, part in enumerate(scaled.chunk(2)):
            path = folder / shard_name(number)
            labels = None if classes is None else classes.chunk(2)[number].numpy()
            write_shard(path, part.to(torch.float16).numpy(), labels)
            shards.append({"file": path.name, "count": len(part), "sha256": sha256(path)})
            if labels is not None:
                shards[-1]["labels_sha256"] = sha256(labels_path(path))
        label_dim = 0 if classes is None else SHAPE.label_dim
        facts = {"sigmas": sigmas.tolist(), "sigma_data": sigma_data, "label_dim": label_dim, "count": len(states)}
        write_json(folder / "manifest.json", {**facts, "network_evals": 0, "shards": shards})
        return Trajectories(folder)

    return write


@pytest.fixture(scope="session")
def gaussian() -> GaussianData:
    """Gaussian images of 8 pixels, whose trajectories are known in closed form."""
    mean = 0.3 * torch.randn((3, 8, 8), generator=stream(0, "mean"), dtype=torch.float64)
    variance = 0.02 + 0.3 * torch.rand((3, 8, 8), generator=stream(0, "variance"), dtype=torch.float64)
    return GaussianData(mean, variance)


@pytest.fixture(scope="session")
def gaussian_trajectories(gaussian: GaussianData) -> tuple[torch.Tensor, torch.Tensor]:
    """16 Heun trajectories of the Gaussian teacher, 18 steps, and their noise levels."""
    sigmas = edm_sigmas(18, sigma_min=0.002, sigma_max=80.0, rho=7.0)
    noise = torch.randn((16, 3, 8, 8), generator=stream(0, "trajectory-noise"))
    return solve(gaussian, noise, sigmas, "heun"), sigmas


@pytest.fixture(scope="session")
def trajectories(
    tmp_path_factory: pytest.TempPathFactory,
    gaussian_trajectories: tuple[torch.Tensor, torch.Tensor],
    write_trajectories: Callable[..., Trajectories],
) -> Path:
    """These trajectories as a finished set."""
    folder = tmp_path_factory.mktemp("trajectories")
    write_trajectories(folder, *gaussian_trajectories)
    return folder


@pytest.fixture(scope="session")
def trajectories_with_classes(
    tmp_path_factory: pytest.TempPathFactory,
    gaussian_trajectories: tuple[torch.Tensor, torch.Tensor],
    write_trajectories: Callable[..., Trajectories],
) -> Path:
    """The same with a class for each, as a conditional teacher's."""
    folder = tmp_path_factory.mktemp("trajectories-with-classes")
    write_trajectories(folder, *gaussian_trajectories, classes=torch.arange(16) % SHAPE.label_dim)
    return folder


@pytest.fixture(scope="session")
def parts(teacher: Path, perceptual: Path) -> experiment.Parts:
    """The finished stages that any method may start from."""
    network = feature_network(perceptual)
    return finished.parts(teacher, teacher, PerceptualDistance(network, network.maps), grader(perceptual))


@pytest.fixture(scope="session")
def build(parts: experiment.Parts) -> Callable[..., Any]:
    """Build the method of a run from those stages."""

    def made(run: Run, seed: int = 0) -> Any:
        chosen = experiment.Parts(
            init=parts.init if run.init else None,
            teacher=parts.teacher if run.teacher else None,
            distance=parts.distance if run.perceptual else None,
            grader=parts.grader,
        )
        return experiment.method(run, SHAPE, seed=seed, parts=chosen)

    return made


@pytest.fixture(scope="session")
def trajectories_of(trajectories: Path, trajectories_with_classes: Path) -> Callable[[Run], Path | None]:
    """Return the set that a run is fed with, of classes where it is told them; None where it is fed with images."""

    def chosen(run: Run) -> Path | None:
        if not run.feed.startswith("trajectories/"):
            return None
        return trajectories_with_classes if run.conditional else trajectories

    return chosen


@pytest.fixture(scope="session")
def feed(images: Path, trajectories_of: Callable[[Run], Path | None]) -> Callable[..., Callable[[int], Any]]:
    """Return the batches of a run's training."""

    def made(run: Run, seed: int = 0) -> Callable[[int], Any]:
        return batches(run, images=images, trajectories=trajectories_of(run), seed=seed, to=torch.device("cpu"))

    return made


@pytest.fixture
def flip_byte() -> Callable[[Path], None]:
    """Change one byte in the middle of a file."""

    def damage(path: Path) -> None:
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 0xFF
        path.write_bytes(bytes(content))

    return damage


@pytest.fixture(scope="session")
def dead_process() -> int:
    """The number of a process that is gone."""
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid
