"""What a run costs, counted on a device without memory: operations and bytes of a step and of an evaluation."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from hkd.data.image_set import ImageBatch
from hkd.data.image_shape import ImageShape
from hkd.data.trajectories import TrajectoryBatch, state_scales
from hkd.diffusion.schedules import edm_sigmas
from hkd.experiment.build import Parts, method
from hkd.methods.base import Method
from hkd.methods.distances import LPIPS, FeatureVectors, PerceptualDistance
from hkd.methods.evaluations import networks
from hkd.nets.cnn import FeatureCNN
from hkd.plan.counted import CLASSES, Counts, resolution
from hkd.plan.runs import Plan
from hkd.seeding import ImageStreams
from hkd.settings.sections import Run
from hkd.settings.signatures import asks_for_the_grader
from hkd.store.published import BACKBONES
from hkd.training.costs import Cost, step_cost

META = torch.device("meta")
STATES = 18  # choice: steps of a set that is only looked at; no cost depends on how many states a set has


class _Pairs(TrajectoryBatch):
    """Trajectories of zeros: every state is there, and none is read."""

    def state(self, k: int | Tensor) -> Tensor:
        return torch.zeros(len(self.rows), *self.rows[0].shape[1:], device=self.device)

    def at(self, sigma: Tensor) -> Tensor:
        return self.state(0)


def counts(plan: Plan, dataset: str, name: str) -> Counts:
    """Return what a run costs, for one image."""
    run = plan.run(dataset, name)
    built, shape = stand_in(plan, dataset, name, META)
    built.train()
    one_step, cost = 1 in run.sampling.nfe, Cost(0.0, 0.0)
    with _first_calls(built) as calls:
        if run.feed != "none" or not one_step:  # of one that trains nothing, the network's call is what is looked for
            cost = step_cost(built, zeros(run, shape, 1, META), zeros(run, shape, 2, META), draws="image")
    if one_step:
        forward = _operations(lambda: one_image(built.eval(), run, shape, META))
    else:
        network, args, kwargs = calls[0]
        forward = _operations(lambda: network(*args, **kwargs)) / len(args[0])
    trained = sum(_bytes(getattr(built, part)) for part in built.trains)
    sampled = 4.0 * built.sampling_parameters()
    return Counts(cost.flops, cost.kept, cost.fixed, forward, _bytes(built), trained, sampled)


def stand_in(plan: Plan, dataset: str, name: str, on: torch.device) -> tuple[Method, ImageShape]:
    """Return a method with all that it trains with, none of it read from a file, and the shape of its images."""
    run = plan.run(dataset, name)
    shape = ImageShape(resolution(plan, dataset), 3, CLASSES if run.conditional else 0)
    with warnings.catch_warnings(), on:
        warnings.simplefilter("ignore")  # that weights are not copied into what has no memory
        teacher = None
        if run.teacher:
            teacher = method(plan.run(dataset, run.teacher), shape, seed=0, parts=None).get_submodule("student")
        distance = _distance(plan, dataset, run).to(on) if run.perceptual else None
        return method(run, shape, seed=0, parts=Parts(None, teacher, distance, _grader(plan, dataset, run))), shape


def feature_cost(plan: Plan, dataset: str, role: str) -> float:
    """Return the operations of an image's way through a feature network that is trained here."""
    with META:
        network = _feature_network(plan, dataset, role)
    size = network.image_size
    return _operations(lambda: network.features(torch.empty(1, 3, size, size, device=META)))


def _feature_network(plan: Plan, dataset: str, role: str) -> FeatureCNN:
    own = plan.extractor(dataset, role)
    return FeatureCNN(own.width, round(resolution(plan, dataset) * own.image_size_factor), {"x": 1}, 0, own.features)


def _grader(plan: Plan, dataset: str, run: Run) -> FeatureVectors | None:
    """Return a stand-in of the network that grades, of a run that is trained on it."""
    if not asks_for_the_grader(run.target):
        return None
    network = _feature_network(plan, dataset, "metric")
    size = (network.image_size, network.image_size)
    return FeatureVectors(network, network.features, lambda levels: F.interpolate(levels, size, mode="bilinear"))


def _distance(plan: Plan, dataset: str, run: Run) -> PerceptualDistance:
    if run.perceptual_backbone == "cnn":
        network = _feature_network(plan, dataset, "perceptual")
        return PerceptualDistance(network, network.maps, run.perceptual_resize)
    backbone = BACKBONES[run.perceptual_backbone].removeprefix("lpips-")
    with contextlib.redirect_stdout(io.StringIO()):
        return LPIPS(backbone, None, run.perceptual_resize)  # heads of the package are read, and not kept on META


def zeros(run: Run, shape: ImageShape, images: int, on: torch.device) -> Any:
    """Return a batch such as a run is fed with, all of zeros."""
    labels = torch.zeros(images, shape.label_dim, device=on) if run.conditional else None
    if run.feed.split("/")[0] != "trajectories":
        return ImageBatch(torch.zeros(images, *shape.chw, device=on), labels)
    sigmas = edm_sigmas(STATES, sigma_min=0.002, sigma_max=80.0, rho=7.0)
    rows = torch.zeros(images, len(sigmas), *shape.chw, device=on)
    return _Pairs(rows, sigmas, state_scales(sigmas, 0.5), labels, on)


def one_image(built: Method, run: Run, shape: ImageShape, on: torch.device, images: int = 1) -> Tensor:
    """Return images of a method that makes them in one evaluation."""
    labels = torch.zeros(images, shape.label_dim, device=on) if run.conditional else None
    streams = ImageStreams(0, list(range(images)))
    return built.sample(torch.zeros(images, *shape.chw, device=on), labels=labels, nfe=1, streams=streams)


@torch.no_grad()
def _operations(work: Callable[[], Any]) -> float:
    counter = FlopCounterMode(display=False)
    with counter:
        work()
    return float(counter.get_total_flops())


@contextlib.contextmanager
def _first_calls(built: Method) -> Iterator[list[tuple[nn.Module, tuple[Any, ...], dict[str, Any]]]]:
    """Note with what the student is called; its calls can then be made again by themselves."""
    calls: list[tuple[nn.Module, tuple[Any, ...], dict[str, Any]]] = []
    students = networks(built, ("student",))

    def note(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        calls.append((module, args, kwargs))

    handles = [student.register_forward_pre_hook(note, with_kwargs=True) for student in students]
    try:
        yield calls
    finally:
        for handle in handles:
            handle.remove()


def _bytes(module: nn.Module) -> float:
    return float(sum(p.numel() * p.element_size() for p in module.parameters()))
