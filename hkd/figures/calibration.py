"""What a difference in the score is worth: the excess that known corruptions cause, in every implementation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from hkd.figures.style import SMALL, WIDTH, style

ROW, HEAD = 0.34, 1.1  # inches per corruption, and for title, axis and legend
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")


def calibration(rows: Sequence[tuple[str, str, float, float]], *, metric: str) -> Figure:
    """Return the figure: one line per corruption, one mark per implementation.

    Args:
        rows: (corruption, implementation, mean distance, standard deviation over splits), in the order to show.
        metric: name of the distance.
    Raises:
        ValueError: there is nothing to show.
    """
    if not rows:
        raise ValueError("a calibration figure needs at least one row")
    corruptions = list(dict.fromkeys(row[0] for row in rows))
    names = list(dict.fromkeys(row[1] for row in rows))
    floor = min(value for *_, value, _ in rows if value > 0)
    with style():
        figure = Figure(figsize=(WIDTH, ROW * len(corruptions) + HEAD), facecolor="white", layout="constrained")
        axes = figure.subplots()
        for k, name in enumerate(names):
            mine = [row for row in rows if row[1] == name]
            places = [corruptions.index(row[0]) + 0.11 * (k - (len(names) - 1) / 2) for row in mine]
            values = np.maximum([row[2] for row in mine], floor)
            spread = [row[3] for row in mine]
            axes.errorbar(
                values, places, xerr=spread, fmt=MARKERS[k % len(MARKERS)], markersize=3.6, linewidth=0.8, label=name
            )
        axes.set_yticks(range(len(corruptions)), corruptions)
        axes.invert_yaxis()
        axes.set_xscale("log")
        axes.set_xlabel(f"{metric}: half of the real images, corrupted, against the other half")
        axes.grid(axis="x", linewidth=0.4, alpha=0.5)
        axes.legend(fontsize=SMALL, ncols=3, loc="upper center", bbox_to_anchor=(0.5, -0.16), frameon=False)
    return figure


def caption(*, dataset: str, metric: str, n: int, splits: int) -> str:
    """Return the sentences that go under the figure."""
    return (
        f"What a difference in the score is worth on {dataset}: {metric} between two random halves of the real images "
        f"({n:,} each, {splits} splits), the first half corrupted as named. Marks are means over splits, bars standard "
        "deviations. Implementations that resize alike lie on top of each other; `none` is the metric's own floor at "
        "this number of images."
    )
