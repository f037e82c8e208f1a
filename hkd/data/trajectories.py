"""Stored teacher trajectories: format, writer, reader, and the batch that methods train on.

A set is a folder of shards and a manifest. A shard is a `.npy` file, float16 (trajectories, states, C, H, W),
with state k divided by sqrt(sigma_k^2 + sigma_data^2): at sigma 80 a bare float16 would keep three digits of 350,
scaled it keeps three digits of 1. State 0 is x_T, the last but one x_eps, the last x_0 after the final Euler step.
A set that keeps x_0 and the address of its noise stores one state, and draws x_T again when it is read.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hkd.data import shards
from hkd.data.redrawn import RedrawnNoise
from hkd.store.refusals import ArtifactError


def state_scales(sigmas: Tensor, sigma_data: float) -> Tensor:
    """Return the number by which each stored state is divided, float64 (states,): its standard deviation."""
    return (sigmas**2 + sigma_data**2).sqrt()


@dataclass(frozen=True)
class TrajectoryBatch:
    """Some trajectories of a set; states are read when they are asked for.

    Attributes:
        rows: stored states (S, C, H, W) of each trajectory, float16, or of all as a tensor on the device.
        sigmas: (S,) float64, descending, the last one 0.
        labels: (B, label_dim) one-hot, or None.
    """

    rows: list[np.ndarray] | Tensor
    sigmas: Tensor
    scales: Tensor
    labels: Tensor | None
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    def __len__(self) -> int:
        return len(self.rows)

    def state(self, k: int | Tensor) -> Tensor:
        """Return the states number k (one for all, or a number per trajectory), float32 (B, C, H, W)."""
        if isinstance(self.rows, Tensor):
            return self._gathered(self.rows, k)
        index = torch.as_tensor(k).expand(len(self.rows)).tolist()
        stored = np.stack([row[i] for row, i in zip(self.rows, index, strict=True)])
        scale = self.scales[index].to(torch.float32)[:, None, None, None]
        return (torch.from_numpy(stored).to(torch.float32) * scale).to(self.device)

    def _gathered(self, rows: Tensor, k: int | Tensor) -> Tensor:
        if isinstance(k, int):  # one number, which is known without asking the device
            return rows[:, k].to(torch.float32) * float(self.scales[k].to(torch.float32))
        scale = self.scales[k].to(torch.float32)[:, None, None, None].to(self.device, non_blocking=True)
        index = k.expand(len(rows)).to(self.device, non_blocking=True)
        each = torch.arange(len(rows), device=self.device)
        return rows[each, index].to(torch.float32) * scale

    def at(self, sigma: Tensor) -> Tensor:
        """Return the states at noise levels (B,) within [sigma_eps, sigma_max], float32 (B, C, H, W).

        Cubic Hermite interpolation in sigma between the two stored neighbours, with slopes from three-point
        differences: trajectories are nearly straight in sigma where the grid is coarse.

        Raises:
            ValueError: a noise level lies outside the stored ones.
        """
        self._need_states_between()
        grid = self.sigmas[:-1]
        sigma = sigma.to("cpu", torch.float64)
        if bool(((sigma > grid[0] * (1 + 1e-9)) | (sigma < grid[-1] * (1 - 1e-9))).any()):
            raise ValueError(f"noise levels must lie in [{grid[-1]:g}, {grid[0]:g}]")
        upper = (torch.searchsorted(-grid, -sigma, right=True) - 1).clamp(0, len(grid) - 2)
        lower = upper + 1
        a, b = grid[upper], grid[lower]
        # differences of noise levels are taken in float64, and only then rounded to the float32 of the states
        u = ((sigma - a) / (b - a))[:, None, None, None].to(torch.float32).to(self.device)
        step = (b - a)[:, None, None, None].to(torch.float32).to(self.device)
        x, y = self.state(upper), self.state(lower)
        dx, dy = self._slope(upper, grid), self._slope(lower, grid)
        return (
            (2 * u**3 - 3 * u**2 + 1) * x
            + (u**3 - 2 * u**2 + u) * step * dx
            + (3 * u**2 - 2 * u**3) * y
            + (u**3 - u**2) * step * dy
        )

    @property
    def noise(self) -> Tensor:
        """The unit normal noise in which the trajectories start."""
        return self.state(0) / float(self.sigmas[0])

    @property
    def clean(self) -> Tensor:
        """x_0, the end after the final Euler step."""
        return self.state(len(self.sigmas) - 1)

    @property
    def near_clean(self) -> Tensor:
        """x_eps, the state at the smallest positive noise level."""
        self._need_states_between()
        return self.state(len(self.sigmas) - 2)

    def _need_states_between(self) -> None:
        if len(self.sigmas) < 3:
            raise ArtifactError("only the ends of these trajectories are kept; set `keep: all` in configs/trajectories")

    def _slope(self, k: Tensor, grid: Tensor) -> Tensor:
        """Return dx/dsigma at grid points k, from the parabola through the point and its neighbours.

        At the ends, where one neighbour is absent (a gap of 0), it is the difference to the other.
        """
        left, right = (k - 1).clamp(min=0), (k + 1).clamp(max=len(grid) - 1)
        h1, h2 = grid[k] - grid[left], grid[right] - grid[k]
        # each one-sided difference weighs the more, the smaller its own gap is
        w1 = torch.where(h1 == 0, torch.zeros_like(h1), torch.where(h2 == 0, torch.ones_like(h1), h2 / (h1 + h2)))
        w2 = 1 - w1
        here = self.state(k)
        rise1 = (here - self.state(left)) / _column(torch.where(h1 == 0, torch.ones_like(h1), h1), here)
        rise2 = (self.state(right) - here) / _column(torch.where(h2 == 0, torch.ones_like(h2), h2), here)
        return _column(w1, here) * rise1 + _column(w2, here) * rise2


class Trajectories:
    """A finished set of trajectories, memory-mapped.

    Raises:
        ArtifactError: the manifest or a shard is missing or of another size, or noise that is to be drawn again is
            not what it was; `verify` also compares digests of whole shards.

    Attributes:
        shards: the stored states of each file, memory-mapped.
        noise: draws the first state, where it is not stored; else None.
        shape: (S, C, H, W) of a trajectory.
    """

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)
        self.manifest: dict[str, Any] = shards.read_manifest(self.folder)
        self.sigmas = torch.tensor(self.manifest["sigmas"], dtype=torch.float64)
        self.scales = state_scales(self.sigmas, self.manifest["sigma_data"])
        self.label_dim: int = self.manifest["label_dim"]
        self.shards, self._labels = shards.open_set(self.folder, self.manifest)
        self._starts = np.cumsum([0] + [len(shard) for shard in self.shards])
        self.shape: tuple[int, ...] = (len(self.sigmas), *self.shards[0].shape[2:])
        self.noise = self._redrawn()

    def __len__(self) -> int:
        return int(self._starts[-1])

    def verify(self) -> None:
        """Compare every shard with its digest; `ArtifactError` names one of other bytes."""
        shards.verify(self.folder, self.manifest)

    def batch(self, indices: np.ndarray, device: torch.device | str = "cpu") -> TrajectoryBatch:
        """Return the trajectories at `indices`, in that order."""
        return self.batch_of([self.row(int(i)) for i in indices], indices, torch.device(device))

    def row(self, index: int) -> np.ndarray:
        """Return the scaled states (S, C, H, W) of one trajectory, float16, memory-mapped if all are stored."""
        shard, within = self.place(index)
        stored = self.shards[shard][within]
        return stored if self.noise is None else np.concatenate((self.noise.rows([index]), stored))

    def rows(self, first: int, count: int) -> np.ndarray:
        """Return the scaled states (n, S, C, H, W) of consecutive trajectories of one shard; fewer where it ends."""
        shard, within = self.place(first)
        stored = self.shards[shard][within : within + count]
        if self.noise is None:
            return stored
        return np.concatenate((self.noise.rows(range(first, first + len(stored)))[:, None], stored), axis=1)

    def place(self, index: int) -> tuple[int, int]:
        """Return the shard of a trajectory, and its number there."""
        shard = int(np.searchsorted(self._starts, index, side="right")) - 1
        return shard, index - int(self._starts[shard])

    @property
    def nbytes(self) -> int:
        """Bytes of all states, as they are read."""
        return len(self) * int(np.prod(self.shape)) * 2

    def batch_of(self, rows: list[np.ndarray] | Tensor, indices: np.ndarray, device: torch.device) -> TrajectoryBatch:
        """Return the batch of trajectories whose stored states are at hand already."""
        labels = None
        if self._labels is not None:
            classes = torch.from_numpy(self._labels[indices]).to(torch.int64)
            labels = torch.nn.functional.one_hot(classes, self.label_dim).to(device, torch.float32)
        return TrajectoryBatch(rows, self.sigmas, self.scales, labels, device)

    def _redrawn(self) -> RedrawnNoise | None:
        """Return what draws the first state, if the set does not store it, held against the digests of its shards."""
        if "noise" not in self.manifest:
            return None
        path, known = self.folder / "manifest.json", self.manifest["noise"]
        if known["generator"] != shards.GENERATOR:
            raise ArtifactError(
                f"{path}: its noise is of {known['generator'][:80]!r}, which this version of hkd cannot draw; "
                f"delete it and run `hkd {shards.STAGE}` again"
            )
        noise = RedrawnNoise(known["seed"], self.shape[1:], float(self.sigmas[0]), float(self.scales[0]))
        for first, shard in zip(self._starts, self.manifest["shards"], strict=False):
            if shard["count"] and noise.digest(int(first), shard["count"]) != shard["noise_sha256"]:
                raise ArtifactError(
                    f"{path}: the noise of {shard['file']}, drawn again from seed {str(known['seed'])[:40]}, is not "
                    f"that of its images; delete it and run `hkd {shards.STAGE}` again, for each shard too where this "
                    "torch draws other numbers than the one that made them"
                )
        return noise


def _column(values: Tensor, like: Tensor) -> Tensor:
    return values[:, None, None, None].to(like)
