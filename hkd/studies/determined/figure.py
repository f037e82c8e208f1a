"""Figure of what determines the spectrum: agreement over training, by mode and by place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from hkd.figures.style import BODY, MUTED, SMALL, WIDTH, style

COLOURS = ("#000000", "#6b6b6b", "#b2182b", "#0072b2", "#009e73", "#cc79a7", "#e69f00")
TITLES = {"modes": "mode by mode", "places": "by place, mean over channels"}


def determined_figure(lines: Sequence[Mapping[str, Any]], kinds: Sequence[str], *, order: str, above: float) -> Figure:
    """Return the figure: a curve per kind of comparison, thin ones for single comparisons.

    Args:
        lines: of the control and of the students. order: by which modes are sorted.
        above: agreement from which spectra count as the same.
    """
    with style():
        figure = Figure(figsize=(WIDTH, 2.8), facecolor="white", layout="constrained")
        for axes, (measure, title) in zip(figure.subplots(1, 2, sharey=True), TITLES.items(), strict=True):
            for number, kind in enumerate(kinds):
                mine = [a for a in lines if (a["kind"], a["measure"], a["order_by"]) == (kind, measure, order)]
                _curves(axes, mine, kind, COLOURS[number % len(COLOURS)])
            axes.axhline(above, color=MUTED, linewidth=0.6, linestyle=":")
            axes.axhline(0, color=MUTED, linewidth=0.6)
            axes.set_xscale("log")
            axes.xaxis.set_major_locator(FixedLocator(sorted({step for line in lines for step in line["steps"]})))
            axes.xaxis.set_major_formatter(FuncFormatter(lambda step, _: f"{step:g}"))
            axes.xaxis.set_minor_locator(NullLocator())
            axes.set_title(title, size=BODY)
            axes.set_xlabel("steps of training", size=SMALL)
            axes.tick_params(labelsize=SMALL - 1, length=2)
        figure.axes[0].set_ylabel(f"rank correlation of rates by {order}", size=SMALL)
        handles, labels = figure.axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=3, fontsize=SMALL, frameon=False)
    return figure


def caption(*, dataset: str, benchmark: str, order: str, above: float, fits: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the caption as Markdown."""
    text = (
        f"Rank correlation of the spectra of two trainings, sorted by {order}, over training, on {dataset}, benchmark "
        f"{benchmark}: means "
        "over comparisons (thick) and single ones (thin). Two trainings that are compared have different seeds, and "
        f"share nothing but what their kind names. Dotted: {above:g}, from which spectra count as the same. What data "
        "determine, training brings about: as for Gaussian data of known rates with an encoder that leaves them alone."
    )
    for kind, of in fits.items():
        text += f" {kind}: rank correlation with the true rates {min(of['rank_with_truth']):.3f} or more."
    return text + "\n"


def _curves(axes: Axes, lines: Sequence[Mapping[str, Any]], kind: str, colour: str) -> None:
    if not lines:
        axes.plot([], [], color=colour, label=f"{kind}: not run")
        return
    for line in lines:
        known = [(s, a) for s, a in zip(line["steps"], line["agreement"], strict=True) if a is not None]
        axes.plot(*zip(*known, strict=True), color=colour, linewidth=0.4, alpha=0.5) if known else None
    means = []
    for number, step in enumerate(lines[0]["steps"]):
        values = [line["agreement"][number] for line in lines if line["agreement"][number] is not None]
        if values:
            means.append((step, sum(values) / len(values)))
    xs, ys = ([m[k] for m in means] for k in (0, 1))
    axes.plot(xs, ys, color=colour, linewidth=1.4, marker="o", markersize=2.5, label=kind)
