"""A resolved config to live objects: the one module that knows every part."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from hkd.artifacts import ArtifactError, load_weights, weights_about
from hkd.config import ConfigError, check, digest, from_mapping, read_yaml
from hkd.data.images import ImageSet, one_hot
from hkd.data.trajectories import Trajectories
from hkd.diffusion.schedules import edm_sigmas
from hkd.diffusion.solve import solve
from hkd.methods.base import Method
from hkd.methods.distances import LPIPS, PerceptualDistance
from hkd.nets.config import NetworkConfig, build
from hkd.seeding import ImageStreams, stream, visit
from hkd.settings import PARTS, Data, Run, TrajectorySet
from hkd.source import constructor_arguments
from hkd.weights import BACKBONES, locate


@dataclass(frozen=True)
class ImageShape:
    """What a network must know of a data set."""

    resolution: int
    channels: int
    label_dim: int

    @property
    def chw(self) -> tuple[int, int, int]:
        """(C, H, W) of one image."""
        return (self.channels, self.resolution, self.resolution)


@dataclass(frozen=True)
class Parts:
    """Files of finished stages that a method is built from; None where its config asks for none."""

    init: Path | None = None
    teacher: Path | None = None
    perceptual: Path | None = None


def device(name: str) -> torch.device:
    """Return the device: `auto` is a GPU when there is one, else the CPU."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        return torch.device(name)
    except RuntimeError:
        raise ConfigError(f"device '{name}': expected auto, cpu, cuda or cuda:N") from None


def network(run: Run, shape: ImageShape, seed: int) -> nn.Module:
    """Return the run's network with fresh weights, drawn from the seed."""
    label_dim = shape.label_dim if run.conditional else 0
    config = NetworkConfig(**run.network)
    try:
        return build(config, resolution=shape.resolution, channels=shape.channels, label_dim=label_dim, seed=seed)
    except ValueError as error:
        raise ConfigError(f"network for images of {shape.resolution} pixels: {error}") from None


def untrained_network(run: Run, data: Data) -> Any:
    """Return the network that a run trains, on a device without memory: names and shapes need no data.

    Raises:
        ConfigError: the size of the data set's images is not in its settings, or the run's network is not HKD's.
    """
    if data.resolution is None:
        raise ConfigError(f"data set of {run.title}: its resolution is not set; set data.resolution")
    with torch.device("meta"):
        built = method(run, ImageShape(data.resolution, 3, 0), seed=0, parts=None)
    student = getattr(built, "student", None)
    if not hasattr(student, "latent_names"):
        raise ConfigError(f"{run.title}: has no Koopman operator; name methods/hkd or one of its ablations")
    return student


def method(run: Run, shape: ImageShape, *, seed: int, parts: Parts | None) -> Method:
    """Return the method that a run names.

    Args:
        parts: the finished stages it starts from; None builds it for sampling alone, whose weights follow.
    Raises:
        ConfigError: settings that the method refuses.
    """
    module, _, name = run.target.rpartition(".")
    made: type[Method] = getattr(importlib.import_module(module), name)
    wanted = constructor_arguments(run.target)
    given: dict[str, Any] = {"student": network(run, shape, seed), "total_steps": run.training.steps}
    given["teacher"] = base(parts.teacher).student if parts and parts.teacher else nn.Module()
    given["distance"] = perceptual(run, parts.perceptual) if parts and run.perceptual else None
    try:
        built = made(**{key: value for key, value in given.items() if key in wanted}, **run.params)
    except ValueError as error:
        raise ConfigError(f"{run.title} cannot be built: {error}") from None
    if parts and parts.init:
        built.initialise("student", base(parts.init).student.state_dict())
    for frozen in built.frozen:
        if isinstance(getattr(built, frozen, None), nn.Module):
            getattr(built, frozen).requires_grad_(False)
    return built


def base(weights: Path) -> Any:
    """Return the finished run whose weights lie at `weights`, as a method in evaluation mode."""
    run, shape, about = read_run(weights.with_name("config.yaml"))
    built = method(run, shape, seed=about["seed"], parts=None)
    load(built, weights)
    return built.eval().requires_grad_(False)


def load(built: Method, weights: Path) -> None:
    """Load finished weights into a method.

    Raises:
        ArtifactError: they are weights of another configuration.
    """
    state = load_weights(weights)
    try:
        built.load_artefact(state)
    except RuntimeError as error:
        first = str(error).splitlines()[1].strip() if "\n" in str(error) else str(error)
        raise ArtifactError(
            f"{weights}: not the weights of the config beside it ({first}); train the run again"
        ) from None


def perceptual(run: Run, weights: Path | None) -> PerceptualDistance:
    """Return the perceptual distance of a run: the data set's own small network, or LPIPS from a local backbone.

    Raises:
        ArtifactError: the weights are absent or others than the recorded or published ones.
    """
    if run.perceptual_backbone == "cnn":
        assert weights is not None
        network = feature_network(weights)
        return PerceptualDistance(network, network.maps, run.perceptual_resize)
    name = BACKBONES[run.perceptual_backbone]
    path, backbone = locate(name, run.weights_folder), name.removeprefix("lpips-")
    return LPIPS(backbone, path, run.perceptual_resize, average=run.perceptual_backbone == "piq-vgg")


def feature_network(weights: Path) -> Any:
    """Return a feature network with its finished weights, in evaluation mode."""
    from hkd.nets.cnn import FeatureCNN

    state = load_weights(weights, "extractor")
    built = FeatureCNN(**weights_about(weights)["network"])
    built.load_state_dict(state)
    return built.eval().requires_grad_(False)


def batches(run: Run, *, images: Path, trajectories: Path | None, seed: int, to: torch.device) -> Callable[[int], Any]:
    """Return the feed of a training: step number -> batch. A shuffled visit without end, a function of the step."""
    size = run.training.batch
    if trajectories is not None:
        stored = Trajectories(trajectories)
        stored.verify()
        return lambda step: stored.batch(visit(seed, "order", len(stored), step * size, size), to)
    data = ImageSet(images, use_labels=run.conditional)
    data.verify()

    def batch(step: int) -> Any:
        flips = stream(seed, "flip", step) if run.training.flip else None
        return data.batch(visit(seed, "order", len(data), step * size, size), to, flip=flips)

    return batch


def image_shape(folder: Path) -> ImageShape:
    """Return the shape of a prepared data set."""
    data = ImageSet(folder)
    return ImageShape(data.resolution, data.channels, data.label_dim)


def run_document(run: Run, shape: ImageShape, **about: Any) -> dict[str, Any]:
    """Return what `config.yaml` beside the weights holds: enough to repeat the run."""
    settings = run.model_dump(mode="json")
    return {**about, "shape": asdict(shape), "settings_digest": digest(settings), "run": settings}


def read_run(path: Path) -> tuple[Run, ImageShape, Mapping[str, Any]]:
    """Return the settings, image shape and facts of the run whose `config.yaml` this is."""
    if not path.exists():
        raise ArtifactError(f"{path}: missing; run `hkd train`, or `snakemake --cores all {path}`")
    layers = read_yaml(path)
    try:
        run = check(Run, from_mapping(layers.values["run"], str(path)))
    except (ConfigError, KeyError) as error:
        raise ArtifactError(f"{path}: of another version ({error}); delete {path.parent} and train again") from None
    if odd := sorted(run.params.keys() ^ (constructor_arguments(run.target).keys() - PARTS)):
        raise ArtifactError(
            f"{path}: of another version (params.{odd[0]} is {'not known' if odd[0] in run.params else 'missing'}); "
            f"delete {path.parent} and train again"
        )
    return run, ImageShape(**layers.values["shape"]), layers.values


def ode_levels(spec: TrajectorySet) -> Tensor:
    """Return the noise levels at which a set's solver stops, float64 and descending to 0."""
    assert spec.steps and spec.sigma_min and spec.sigma_max and spec.rho  # checked with the settings
    return edm_sigmas(spec.steps, sigma_min=spec.sigma_min, sigma_max=spec.sigma_max, rho=spec.rho)


def state_levels(spec: TrajectorySet) -> Tensor:
    """Return the noise levels of the states that a set keeps, float64; of a base's own pairs, unit noise and 0."""
    if spec.solver in ("sampler", "adaptive"):
        return torch.tensor([1.0, 0.0], dtype=torch.float64)
    return ode_levels(spec) if spec.keep == "all" else ode_levels(spec)[[0, -1]]


@torch.no_grad()
def solve_states(
    built: Method, spec: TrajectorySet, noise: Tensor, labels: Tensor | None, streams: ImageStreams
) -> Tensor:
    """Return the states (B, S, C, H, W) that a set keeps, from unit noise (B, C, H, W)."""
    if spec.solver == "adaptive":
        return torch.stack((noise, built.solve(noise, labels=labels)), dim=1)
    if spec.solver == "sampler":
        assert spec.steps
        return torch.stack((noise, built.sample(noise, labels=labels, nfe=spec.steps, streams=streams)), dim=1)
    network = getattr(built, built.samples_with[0])
    states = solve(lambda x, sigma: network(x, sigma, labels), noise, ode_levels(spec), spec.solver)
    return states if spec.keep == "all" else states[:, [0, -1]]


def classes(seed: int, indices: Sequence[int], label_dim: int) -> Tensor:
    """Return a class for each image, from the stream (seed, "class", index), one-hot (B, label_dim)."""
    drawn = [int(torch.randint(label_dim, (1,), generator=stream(seed, "class", int(i)))) for i in indices]
    return one_hot(torch.tensor(drawn), label_dim)


@torch.no_grad()
def sample(
    built: Method,
    run: Run,
    shape: ImageShape,
    indices: Sequence[int],
    *,
    seed: int,
    nfe: int,
    to: torch.device,
) -> Tensor:
    """Return the images (B, C, H, W) in [-1, 1] that belong to (seed, index), whatever the batch they are made in.

    One-step methods of one data set start image i from the same noise.
    """
    streams = ImageStreams(seed, indices)
    noise = streams.randn(shape.chw).to(to)
    labels = classes(seed, indices, shape.label_dim).to(to) if run.conditional else None
    return built.sample(noise, labels=labels, nfe=nfe, streams=streams)
