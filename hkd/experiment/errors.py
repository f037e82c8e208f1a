"""Errors over time: the clean image that a run predicts in one step from each state of held-out trajectories."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from hkd.data.trajectories import Trajectories
from hkd.experiment.finished import base

BATCH = 128


@torch.no_grad()
def trajectory_errors(weights: Path, trajectories: Path, to: torch.device) -> dict[str, Any]:
    """Return the mean squared error to x_eps, pixels in [-1, 1], from the state at each noise level.

    Args:
        weights: of a finished run. trajectories: folder of a set that it was not trained on.
    Returns:
        `n` trajectories, `sigmas` descending, `mse_to_x_eps` one number per noise level.
    """
    built, held_out = base(weights).to(to), Trajectories(trajectories)
    held_out.verify()
    squares = torch.zeros(len(held_out.sigmas) - 1, dtype=torch.float64)
    for indices in np.array_split(np.arange(len(held_out)), max(len(held_out) // BATCH, 1)):
        batch = held_out.batch(indices, to)
        for k, sigma in enumerate(held_out.sigmas[:-1]):
            image = built.one_step(batch.state(k), float(sigma), batch.labels)
            squares[k] += (image - batch.near_clean).double().square().mean(dim=(1, 2, 3)).sum().cpu()
    errors = (squares / len(held_out)).tolist()
    return {"n": len(held_out), "sigmas": held_out.sigmas[:-1].tolist(), "mse_to_x_eps": errors}
