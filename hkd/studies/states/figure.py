"""Figure of a teacher's trajectories: states, a run's prediction from each, and one encoding decoded at each time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from hkd.figures.tiles import TileRow, number, tile_figure

ROWS = (
    ("states", "teacher's state\n$x_t$, rescaled"),
    ("denoised", "teacher's\n$D(x_t; t)$"),
    ("predictions", "one step\nfrom each $x_t$"),
    ("decoded", "$x_T$ encoded once,\nevolved to $t$, decoded"),
)


def trajectories_figure(arrays: Mapping[str, np.ndarray], sigmas: Sequence[float], *, shown: int) -> Figure:
    """Return the figure: for each of `shown` trajectories the four `ROWS`, a column per noise level.

    Args:
        arrays: uint8 (S, N, C, H, W) by the names of `ROWS`.
    """
    rows = [
        TileRow(label, arrays[name][:, k], after=30 if name == "states" else 6)
        for k in range(shown)
        for name, label in ROWS
    ]
    return tile_figure(rows, [f"$t$ = {number(sigma)}" for sigma in sigmas], label=290)[0]


def caption(*, run: str, dataset: str, checkpoint: str, seed: int, facts: Mapping[str, Sequence[float]], n: int) -> str:
    """Return the caption as Markdown, with the errors over time."""
    lines = [
        f"Trajectories of {run} on {dataset}; {checkpoint}, seed {seed}; the seed's first noises, not selected. Rows: "
        "the teacher's states, divided by sqrt(1 + t²/0.25) to the contrast of images; what the teacher predicts from "
        "each; the run's one-step prediction of the clean image from each; and the latents of the first state, evolved "
        "to t and decoded, all from one encoding. Only the last column of the last row is trained for.",
        "",
        f"Root mean square errors over {n} trajectories:",
        "",
        "| t | one step from x_t, to x_eps | teacher's D(x_t; t), to x_eps | decoded at t, to x_eps | to D(x_t; t) |",
        "| --: | --: | --: | --: | --: |",
    ]
    names = ("predictions_to_x_eps", "denoised_to_x_eps", "decoded_to_x_eps", "decoded_to_denoised")
    for k, sigma in enumerate(facts["sigmas"]):
        lines.append(f"| {number(sigma)} | " + " | ".join(f"{facts[name][k]:.3f}" for name in names) + " |")
    return "\n".join(lines) + "\n"
