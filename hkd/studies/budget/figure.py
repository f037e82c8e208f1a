"""FDn against network evaluations, of the training alone and with the runs and pairs that it depends on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogFormatter, NullLocator

from hkd.figures.style import SMALL, WIDTH, colour, style

HEIGHT = 3.6  # inches, with the legend below
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "p", "h", "*", "d")


def budget_curves(curves: Mapping[str, Sequence[tuple[float, float, float]]], titles: Mapping[str, str]) -> Figure:
    """Return the figure: one line per method in two panels that share the vertical axis.

    Args:
        curves: method -> (own evaluations, total evaluations, FDn), by rising budget.
        titles: method -> what the legend says.
    Raises:
        ValueError: there is nothing to show.
    """
    if not curves:
        raise ValueError("a figure of budgets needs at least one curve")
    with style():
        figure = Figure(figsize=(WIDTH, HEIGHT), facecolor="white", layout="constrained")
        left, right = figure.subplots(1, 2, sharey=True)
        for number, (method, points) in enumerate(curves.items()):
            marker = MARKERS[number % len(MARKERS)]
            for axes, column in ((left, 0), (right, 1)):
                axes.plot(
                    [point[column] for point in points],
                    [point[2] for point in points],
                    color=colour(method),
                    marker=marker,
                    markersize=3.4,
                    linewidth=1.6 if method.endswith("/hkd") else 0.9,
                    label=titles[method],
                )
        left.set_ylabel("FDn, lower is better")
        left.set_xlabel("network evaluations of the training itself")
        right.set_xlabel("with teachers, bases and pairs")
        for axes in (left, right):
            axes.set_xscale("log")
            axes.set_yscale("log")
            axes.grid(which="both", linewidth=0.3, alpha=0.5)
            axes.yaxis.set_major_formatter(LogFormatter())
            axes.yaxis.set_minor_formatter(LogFormatter(minor_thresholds=(2.0, 0.5)))
        left.set_xticks(sorted({point[0] for points in curves.values() for point in points}))
        left.xaxis.set_minor_locator(NullLocator())
        left.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
        handles, names = left.get_legend_handles_labels()
        figure.legend(handles, names, loc="outside lower center", ncols=4, fontsize=SMALL, frameon=False)
    return figure


def caption(*, dataset: str, n: int, seeds: int, benchmark: str, doubt: str = "") -> str:
    """Return the sentences that go under the figure."""
    over = "seed 0" if seeds == 1 else f"mean over seeds 0 to {seeds - 1}"
    return (
        f"FDn of one-step methods on {dataset} against network evaluations, on the way and at the end of trainings "
        f"that spend the same number of evaluations of the networks they train (benchmark {benchmark}, averaged "
        f"weights, {n:,} images, {over}). Left: student, target and fake denoiser alone. Right: the "
        "evaluations of frozen teachers, of every set of pairs or trajectories, and of the trainings of all bases are "
        "added, each counted once for a method although several methods share them. Forward evaluations only: neither "
        "backward passes nor perceptual networks are counted, and networks differ (DDPM's U-Net, NCSN++, DDPM++). The "
        "rate is constant, so that a point on the way is the end of a shorter training, but not in PD, ECM, CT, "
        "iCT and HKD, whose stages, grids or lambda_1 follow the whole length; FDn is no FID."
        + (f" It is an estimate here: {doubt}." if doubt else "")
    )
