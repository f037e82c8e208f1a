"""States over time: what a run decodes at each noise level, beside its teacher's own trajectory."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hkd.experiment.finished import base
from hkd.experiment.solve import solve_states, state_levels
from hkd.seeding import ImageStreams
from hkd.settings.origins import ConfigError
from hkd.settings.sections import TrajectorySet
from hkd.studies.single_images import FinishedRun, as_bytes

Result = tuple[dict[str, np.ndarray], dict[str, Any]]


def shown_levels(spec: TrajectorySet, count: int) -> list[float]:
    """Return `count` noise levels of a set, both ends among them, about equally far apart in it.

    Raises:
        ConfigError: the set keeps no states between the ends.
    """
    if spec.keep != "all":
        raise ConfigError(
            f"studies/trajectories.yaml, trajectories: keep = {spec.keep} in the set '{spec.title}'; name one that "
            "keeps all states"
        )
    grid = [float(sigma) for sigma in state_levels(spec)[:-1]]
    count = min(count, len(grid))
    return [grid[round(k * (len(grid) - 1) / (count - 1))] for k in range(count)]


def levels_of(text: str) -> list[float]:
    """Return the noise levels that an option names.

    Raises:
        ConfigError: they are no numbers.
    """
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise ConfigError(f"--times {text}: expected noise levels between commas, as in 80,10,1,0.002") from None


@torch.no_grad()
def decoded(
    run: FinishedRun, numbers: Sequence[int], files: Sequence[Path], at: float | None, levels: Sequence[float]
) -> Result:
    """Return what one encoding decodes to at each noise level: of pictures, or of generated images.

    Args:
        at: noise level at which a picture is encoded, the lowest unless given; a generated image at the highest.
    Raises:
        ConfigError: the run does not know one of the noise levels.
    """
    x, start, labels = _encoded(run, numbers, files, at, levels)
    images = run.net.trajectory(x, levels, labels, sigma=start)
    return {"decoded": as_bytes(images)}, {"images": len(numbers), "sigmas": list(levels)}


@torch.no_grad()
def beside_teacher(
    run: FinishedRun, teacher: Path, spec: TrajectorySet, numbers: Sequence[int], levels: Sequence[float]
) -> Result:
    """Return what generated images decode to at each level, beside the teacher's states and what both predict of them.

    Raises:
        ConfigError: the run does not know one of the noise levels.
    """
    x, start, labels = _encoded(run, numbers, (), None, levels)
    arrays = {"decoded": run.net.trajectory(x, levels, labels, sigma=start)}
    arrays |= _teacher_side(teacher, spec, run, x / run.net.settings.sigma_max, labels, levels)
    clean = arrays.pop("clean")
    facts: dict[str, Any] = {"images": len(numbers), "sigmas": list(levels)}
    for name in ("predictions", "denoised", "decoded"):
        facts[f"{name}_to_x_eps"] = _rms(arrays[name], clean)
    facts["decoded_to_denoised"] = _rms(arrays["decoded"], arrays["denoised"])
    return {name: as_bytes(images) for name, images in arrays.items()}, facts


def in_a_row(arrays: dict[str, np.ndarray]) -> np.ndarray:
    """Return the decoded images (N, C, H, W), image by image, as one row of pictures."""
    images = arrays["decoded"].swapaxes(0, 1)
    return images.reshape(-1, *images.shape[2:])


def _encoded(
    run: FinishedRun, numbers: Sequence[int], files: Sequence[Path], at: float | None, levels: Sequence[float]
) -> tuple[Tensor, float, Tensor | None]:
    low, high = run.net.settings.sigma_min, run.net.settings.sigma_max
    run.check_levels("--times", levels)
    start = at if at is not None else low if files else high
    run.check_levels("--at", [start])
    x = start * run.noise(numbers) + (run.pictures(files) if files else 0)
    return x, start, run.labels(numbers)


def _teacher_side(
    weights: Path, spec: TrajectorySet, run: FinishedRun, noise: Tensor, labels: Tensor | None, levels: Sequence[float]
) -> dict[str, Tensor]:
    """Return the teacher's states, scaled to the contrast of images, and what teacher and run predict from each."""
    teacher = base(weights).to(run.device)
    streams = ImageStreams(run.seed, range(len(noise)), "teacher-noise")
    states = solve_states(teacher, spec, noise, labels, streams).transpose(0, 1)
    grid, sigma_data = [float(sigma) for sigma in state_levels(spec)], run.net.sigma_data
    found: dict[str, list[Tensor]] = {"states": [], "denoised": [], "predictions": []}
    for sigma in levels:
        state = states[grid.index(sigma)]
        found["states"].append(state * sigma_data / (sigma_data**2 + sigma**2) ** 0.5)
        found["denoised"].append(teacher.one_step(state, sigma, labels))
        found["predictions"].append(run.net(state, sigma, labels))
    return {name: torch.stack(of) for name, of in found.items()} | {"clean": states[-2]}


def _rms(images: Tensor, other: Tensor) -> list[float]:
    """Return the root mean square difference at every time, over all images."""
    return (images - other).square().mean((1, 2, 3, 4)).sqrt().tolist()
