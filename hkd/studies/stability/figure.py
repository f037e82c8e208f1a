"""Figure of quality over training and over seeds, beside the paper's numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullFormatter

from hkd.figures.style import INK, MUTED, SMALL, WIDTH, colour, style


def stability_figure(lines: Sequence[Mapping[str, Any]]) -> Figure:
    """Return the figure: our measurements over the share of training; what was printed, if anything, in its own panel.

    Args:
        lines: of `hkd.studies.stability.table.lines`.
    """
    measured = [line for line in lines if "fdn" in line]
    printed = [line for line in lines if "reported_fid" in line]
    with style():
        figure = Figure(figsize=(WIDTH, 2.3), facecolor="white", layout="constrained")
        ours, *others = figure.subplots(1, 2 if printed else 1, squeeze=False)[0]
        x = np.array([line["share"] for line in measured])
        values = np.array([[float(v) for v in line["values"].split()] for line in measured])
        ours.plot(x, values, color=MUTED, linewidth=0.5, alpha=0.7, zorder=1)
        mean, sd = values.mean(1), values.std(1, ddof=1) if values.shape[1] > 1 else np.zeros(len(values))
        ours.errorbar(
            x, mean, yerr=sd, color=colour("hkd"), marker="o", markersize=3, linewidth=1.2, capsize=2, zorder=3
        )
        seeds = f"{values.shape[1]} seed{'s' if values.shape[1] > 1 else ''}"
        _finish(ours, f"Ours: FDn, {seeds}", [(a, m, s) for a, m, s in zip(x, mean, sd, strict=True)])
        for theirs in others:
            shares = [line["share"] for line in printed]
            fids = [line["reported_fid"] for line in printed]
            spread = [line["reported_sd"] or 0.0 for line in printed]
            theirs.errorbar(
                shares, fids, yerr=spread, color=INK, marker="s", markersize=3, linewidth=1.2, capsize=2,
                linestyle="--", markerfacecolor="white",
            )  # fmt: skip
            _finish(theirs, "Printed: FID on CIFAR-10, 5 trainings", list(zip(shares, fids, spread, strict=True)))
    return figure


def caption(
    lines: Sequence[Mapping[str, Any]], *, run: str, dataset: str, checkpoints: str, n: int, doubt: str = ""
) -> str:
    """Return the caption as Markdown, with all numbers."""
    text = [
        f"Quality of {run} over training on {dataset}; {checkpoints}; {n} samples per point, the same noise at every "
        "milestone. Left: FDn of the averaged weights at each milestone, mean ± one standard deviation (ddof 1), thin: "
        "single seeds. Right: Table 5 of the paper, whose FID is another distance on other data after a far longer "
        "training: compare the course, not the values. Both axes of quality are logarithmic."
        + (f" FDn is an estimate: {doubt}." if doubt else ""),
        "",
        "| share of training | step | FDn | printed at | printed FID |",
        "| --: | --: | --: | :-- | --: |",
    ]
    for line in lines:
        ours = _pm(line["fdn"], line["sd"]) if "fdn" in line else "not measured"
        epoch = line.get("epoch", "")
        at = epoch if isinstance(epoch, str) else f"epoch {epoch}"
        theirs = _pm(line["reported_fid"], line["reported_sd"]) if "reported_fid" in line else ""
        text.append(f"| {line['share']:.3f} | {line.get('step', '')} | {ours} | {at} | {theirs} |")
    return "\n".join(text) + "\n"


def _finish(axes: Axes, title: str, points: Sequence[tuple[float, float, float]]) -> None:
    axes.set_yscale("log")
    axes.set_title(title, loc="left")
    axes.set(xlim=(-0.05, 1.06), xlabel="share of training")
    low, high = min(m for _, m, _ in points), max(m for _, m, _ in points)
    axes.set_ylim(low / 1.5, high * 1.6)
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.xaxis.set_major_locator(FixedLocator([0, 0.25, 0.5, 0.75, 1]))
    axes.tick_params(labelsize=SMALL)
    axes.grid(axis="y", color=MUTED, alpha=0.2, linewidth=0.5)
    for share, mean, sd in (points[0], points[-1]):
        text = f"{mean:.3g} ± {sd:.2g}" if sd else f"{mean:.4g}"
        early = share < 0.5
        axes.annotate(
            text, (share, mean), (6 if early else 0, 6), textcoords="offset points", ha="left" if early else "right",
            size=SMALL, color=INK,
        )  # fmt: skip


def _pm(mean: float, sd: float | str) -> str:
    return f"{mean:.2f} ± {sd:.2f}" if isinstance(sd, float) else f"{mean:.2f}"


def checkpoints(benchmark: str, runs: Sequence[Mapping[str, Any]]) -> str:
    """Return what a caption says of the weights that were measured."""
    return f"benchmark {benchmark}, seeds 0 to {len(runs) - 1}, {runs[0]['total']} steps"
