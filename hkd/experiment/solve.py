"""Sets of trajectories: a teacher's probability-flow ODE with every state, or pairs of its own sampler."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from hkd.data.redrawn import RedrawnNoise
from hkd.data.shards import PURPOSE, labels_path, write_shard
from hkd.data.trajectories import Trajectories, state_scales
from hkd.diffusion.ode import solve
from hkd.diffusion.schedules import edm_sigmas
from hkd.experiment.finished import base
from hkd.experiment.record import read_run
from hkd.experiment.sample import classes
from hkd.methods.base import Method
from hkd.methods.evaluations import EvaluationCounter, networks
from hkd.seeding import ImageStreams, permutation
from hkd.settings.sections import TrajectorySet
from hkd.store.atomic import sha256
from hkd.store.chunks import Arrays
from hkd.store.refusals import ArtifactError

SIGMA_DATA = 0.5  # what states are stored over, where the teacher names no such number


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


class ShardSolver:
    """The solver of one shard of a set: trajectory i is a function of (seed, i).

    Args:
        weights: of the teacher, with its config beside them.
    Attributes:
        size: trajectories in the shard.
    """

    def __init__(self, spec: TrajectorySet, shard: int, weights: Path, to: torch.device) -> None:
        self._spec, self._first, self._to = spec, shard * spec.count // spec.shards, to
        self.size = spec.count // spec.shards
        self._weights, self._teacher = weights, base(weights).to(to)
        self._run, self._shape, _ = read_run(weights.with_name("config.yaml"))
        self._sigmas, self._sigma_data = state_levels(spec), self._run.params.get("sigma_data", SIGMA_DATA)

    def states(self, first: int, count: int) -> Arrays:
        """Return consecutive trajectories as they are stored: in float16, divided by the scale of each noise level.

        `states` (count, S, C, H, W), `nfe` (count,), and `labels` (count,) where the teacher is conditional. With
        `keep: x0+seed` x_0 is the one state that is stored.
        """
        indices = range(self._first + first, self._first + first + count)
        streams = ImageStreams(self._spec.seed, indices, PURPOSE)
        noise = streams.randn(self._shape.chw).to(self._to)
        labels = None
        if self._run.conditional:
            labels = classes(self._spec.seed, list(indices), self._shape.label_dim).to(self._to)
        scales = state_scales(self._sigmas, self._sigma_data)[None, :, None, None, None]
        with EvaluationCounter(networks(self._teacher)) as counter:
            states = solve_states(self._teacher, self._spec, noise, labels, streams).cpu() / scales
        numbers = {"nfe": np.full(count, counter.counted / count)}
        if labels is not None:
            numbers["labels"] = labels.argmax(dim=1).cpu().numpy()
        stored = states.to(torch.float16)
        if not bool(stored.isfinite().all()):
            raise ArtifactError(
                f"{self._weights}: trajectories {indices[0]} to {indices[-1]} of this teacher hold NaN or infinity, so "
                "its training diverged; lower its training.optimizer.lr or set training.clip, and train it again"
            )
        return {"states": (stored[:, 1:] if self._redraws else stored).numpy(), **numbers}

    @property
    def _redraws(self) -> bool:
        return self._spec.keep == "x0+seed"

    def differences(self, shard: np.ndarray, numbers: Iterable[int]) -> list[float]:
        """Return how far stored trajectories lie from those that are solved anew, in standard deviations of a state.

        Args:
            shard: the stored states (n, S, C, H, W), scaled. numbers: of trajectories in it.
        """
        again = ((number, self.states(number, 1)["states"][0]) for number in numbers)
        return [_gap(shard[number], found) for number, found in again]

    def write(self, path: Path, arrays: Arrays) -> dict[str, object]:
        """Write a whole shard, and return what its record says of it."""
        labels = arrays.get("labels")
        write_shard(path, arrays["states"], labels)
        return {
            **({} if labels is None else {"labels_sha256": sha256(labels_path(path))}),
            **({"noise_sha256": self._noise_digest()} if self._redraws else {}),
            "count": self.size,
            "nfe": float(arrays["nfe"].mean()),
            "sigmas": self._sigmas.tolist(),
            "sigma_data": self._sigma_data,
            "label_dim": self._shape.label_dim if self._run.conditional else 0,
        }

    def _noise_digest(self) -> str:
        scale = float(state_scales(self._sigmas, self._sigma_data)[0])
        noise = RedrawnNoise(self._spec.seed, self._shape.chw, float(self._sigmas[0]), scale)
        return noise.digest(self._first, self.size)


def solved_again(spec: TrajectorySet, folder: Path, weights: Path, to: torch.device, count: int) -> list[float]:
    """Return how far some trajectories of a finished set, drawn at random, lie from those that are solved anew.

    Raises:
        ArtifactError: the set or the teacher is absent or damaged, or the set keeps other states.
    """
    shards = Trajectories(folder).shards
    size = spec.count // spec.shards
    drawn = sorted(int(i) for i in permutation(spec.seed, "trajectories-check", 0, spec.count)[:count])
    found = []
    for number, shard in enumerate(shards):
        inside = [i - number * size for i in drawn if i // size == number]
        found += ShardSolver(spec, number, weights, to).differences(shard, inside) if inside else []
    return found


def _gap(stored: np.ndarray, found: np.ndarray) -> float:
    """Return the largest difference between the states of a trajectory, and infinity between others of them."""
    return float(np.abs(stored.astype(np.float32) - found).max()) if stored.shape == found.shape else float("inf")


def counted(make: Callable[[int, int], Arrays], tick: Callable[[int], object]) -> Callable[[int, int], Arrays]:
    """Return a function that makes parts, and reports how many items each has."""

    def made(first: int, count: int) -> Arrays:
        arrays = make(first, count)
        tick(count)
        return arrays

    return made
