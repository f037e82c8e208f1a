"""Bar charts of ablations: the mean over seeds, its spread, every seed, and the paper's numbers in a second panel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hkd.figures.style import INK, LINE, MUTED, SMALL, WIDTH, colour, style, wrapped

BAR, HEAD = 0.27, 0.62  # inches per bar, and for titles and axis


@dataclass(frozen=True)
class Bar:
    """One variant: `values` are its measurements, one per seed, empty if not run; `reported` is the printed number."""

    method: str
    title: str
    values: tuple[float, ...]
    reported: float | None = None

    @property
    def mean(self) -> float | None:
        """Mean over seeds, None when nothing was measured."""
        return float(np.mean(self.values)) if self.values else None

    @property
    def sd(self) -> float | None:
        """Standard deviation over seeds (ddof 1), None with fewer than two."""
        return float(np.std(self.values, ddof=1)) if len(self.values) > 1 else None


def ablation_bars(bars: Sequence[Bar], *, quantity: str, reported_quantity: str = "FID in the paper") -> Figure:
    """Return the figure: a panel of our measurements and, when any number was printed, one of the paper's.

    The two panels have scales of their own: data and features differ, so only the order of the bars can be compared,
    not their lengths.

    Raises:
        ValueError: there is no bar.
    """
    if not bars:
        raise ValueError("a figure of ablations needs at least one bar")
    printed = any(bar.reported is not None for bar in bars)
    with style():
        figure = Figure(figsize=(WIDTH, BAR * len(bars) + HEAD), facecolor="white", layout="constrained")
        panels = figure.subplots(1, 2 if printed else 1, squeeze=False, width_ratios=[3, 2] if printed else [1])[0]
        _measured(panels[0], bars, quantity)
        panels[0].set_yticks(range(len(bars)), [wrapped(bar.title) for bar in bars], linespacing=LINE)
        if printed:
            _reported(panels[1], bars, reported_quantity)
            panels[1].set_yticks([])
        for axes in panels:
            _finish(axes, len(bars))
    return figure


def caption(bars: Sequence[Bar], *, quantity: str, dataset: str, checkpoints: str) -> str:
    """Return the caption as Markdown, with the numbers that the bars show."""
    lines = [
        f"{quantity} on {dataset}, {checkpoints}. Bars: mean over seeds; whiskers: one standard deviation (ddof 1); "
        "dots: single seeds. Lower is better. The paper's numbers have a scale of their own and another data set or "
        "training length: compare the order, not the lengths.",
        "",
    ]
    return "\n".join([*lines, *(f"- {bar.title}: {_text(bar)}" for bar in bars)]) + "\n"


def _measured(axes: Axes, bars: Sequence[Bar], quantity: str) -> None:
    longest = max((max(bar.values) for bar in bars if bar.values), default=1.0)
    for y, bar in enumerate(bars):
        if bar.mean is None:
            axes.text(0.02 * longest, y, "not run", va="center", size=SMALL, color=MUTED, style="italic")
            continue
        axes.barh(y, bar.mean, height=0.62, color=colour(bar.method), zorder=2)
        if bar.sd is not None:
            axes.errorbar(bar.mean, y, xerr=bar.sd, color=INK, linewidth=0.8, capsize=2, capthick=0.8, zorder=4)
            axes.scatter(
                bar.values, [y + 0.18] * len(bar.values), s=7, color="white", edgecolors=INK, linewidths=0.5, zorder=5
            )
        end = max(bar.mean + (bar.sd or 0), *bar.values)
        axes.text(end + 0.02 * longest, y, _number(bar), va="center", size=SMALL)
    axes.set_xlim(0, 1.32 * longest)
    axes.set_xlabel(quantity)


def _reported(axes: Axes, bars: Sequence[Bar], quantity: str) -> None:
    longest = max(bar.reported for bar in bars if bar.reported is not None)
    for y, bar in enumerate(bars):
        if bar.reported is None:
            axes.text(0.02 * longest, y, "not in the paper", va="center", size=SMALL, color=MUTED, style="italic")
            continue
        axes.barh(y, bar.reported, height=0.62, facecolor="white", edgecolor=colour(bar.method), linewidth=1, zorder=2)
        axes.text(bar.reported + 0.03 * longest, y, f"{bar.reported:.2f}", va="center", size=SMALL)
    axes.set_xlim(0, 1.25 * longest)
    axes.set_xlabel(quantity)


def _finish(axes: Axes, count: int) -> None:
    axes.set_ylim(count - 0.45, -0.55)
    axes.spines["left"].set_bounds(-0.4, count - 0.6)
    axes.tick_params(axis="y", length=0)


def _number(bar: Bar) -> str:
    return f"{bar.mean:.2f}" if bar.sd is None else f"{bar.mean:.2f} ± {bar.sd:.2f}"


def _text(bar: Bar) -> str:
    ours = (
        "not run"
        if bar.mean is None
        else f"{_number(bar)} ({len(bar.values)} seed{'s' if len(bar.values) > 1 else ''})"
    )
    return ours if bar.reported is None else f"{ours}; paper {bar.reported:.2f}"
