"""Tornado chart: the change that each open choice makes, largest first, with undetectable changes as a band."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from hkd.figures.style import BODY, INK, MUTED, SMALL, WIDTH, style
from hkd.studies.ambiguity.table import p_value

BAR, HEAD = 0.158, 0.75  # inches per bar, and for axis and legend
WORSE, BETTER, UNSEEN = "#b35806", "#2166ac", "#bdbdbd"  # orange and blue stay apart for all common deficiencies
BAND = "#ececec"
TICKS = (0.25, 0.5, 0.7, 0.8, 0.9, 1.0, 1.1, 1.25, 1.5, 2.0, 3.0, 5.0, 10.0, 20.0, 50.0, 100.0)
APART = 0.055  # least distance of ticks, of the axis' length
Line = Mapping[str, str]


def tornado(lines: Sequence[Line], *, detectable_percent: float, level: float) -> Figure:
    """Return the figure: a bar per measured variation, from 1 to its ratio of distances, on a log axis.

    Args:
        lines: of results/ambiguity.csv.
        detectable_percent: smallest increase that the design detects; the band reaches as far in both directions.
        level: below which a p-value colours its bar and, after the adjustment, marks it.

    Raises:
        ValueError: nothing was measured.
    """
    detectable = detectable_percent / 100
    bars = sorted((line for line in lines if line["change_percent"]), key=_size, reverse=True)
    if not bars:
        raise ValueError("a tornado needs at least one measured variation")
    with style():
        figure = Figure(figsize=(WIDTH, BAR * len(bars) + HEAD), facecolor="white", layout="constrained")
        axes = figure.subplots()
        axes.axvspan(1 / (1 + detectable), 1 + detectable, color=BAND, linewidth=0, zorder=0)
        for y, line in enumerate(bars):
            _bar(axes, y, line, level)
        axes.axvline(1, color=INK, linewidth=0.7, zorder=4)
        _finish(axes, bars, detectable)
    return figure


def caption(
    lines: Sequence[Line],
    facts: Mapping[str, Any],
    *,
    dataset: str,
    centre: str,
    scale: str,
    level: float,
    power: float,
) -> str:
    """Return the caption as Markdown: design, explanation, and the variations that were not run with the reasons.

    Args:
        facts: the record of the table: steps, seeds, images, detectable_percent and degrees_of_freedom.
        scale: of the centre's settings.
        level, power: of the study, for which the changes were judged.
    """
    measured = [line for line in lines if line["change_percent"]]
    seen, firm = (sum(p_value(line[key]) < level for line in measured) for key in ("p", "p_holm"))
    head = (
        f"What each choice that the paper leaves open changes, taken one at a time around {centre} as the {scale} "
        f"scale has it. {dataset}, averaged weights after {facts['steps']} steps, seeds 0 to {facts['seeds'] - 1}, "
        f"{facts['images']:,} images a seed. Bars: ratio of FDn to that without the change, geometric mean over paired "
        f"seeds; dots: single seeds; lower than 1 is better. Grey band: changes below "
        f"{facts['detectable_percent']:.1f} %, which this design detects with a probability below {power:.0%} "
        f"(two-sided level {level:g}, spread pooled over all arms with {facts['degrees_of_freedom']} degrees of "
        f"freedom). Coloured: p below {level:g}, orange worse, blue better; {seen} of {len(measured)}, of which {firm} "
        "stay below it after Holm's correction for all of them (marked *). ¶: the value that the full-scale settings "
        f"take for the paper's. ‡: against a variation that it builds on{_built_on(measured)}. A choice that matters "
        "here may not with another network or a longer training, and the reverse."
    )
    rest = [f"- {line['choice']} = {line['value']}: {line['verdict']}" for line in lines if not line["change_percent"]]
    return "\n".join([head, "", *(["Without a bar:", ""] if rest else []), *rest]) + "\n"


def _built_on(lines: Sequence[Line]) -> str:
    found = [f"{line['choice']} on {line['against']}" for line in lines if line["against"] != "centre"]
    return f" ({', '.join(found)})" if found else ""


def _bar(axes: Axes, y: int, line: Line, level: float) -> None:
    ratio = 1 + float(line["change_percent"]) / 100
    seen = p_value(line["p"]) < level
    colour = UNSEEN if not seen else WORSE if ratio > 1 else BETTER
    axes.barh(y, ratio - 1, left=1, height=0.72, color=colour, zorder=2)
    seeds = [float(value) for value in line["ratios"].split()]
    axes.scatter(seeds, [y] * len(seeds), s=5, color="white", edgecolors=INK, linewidths=0.5, zorder=5)
    star = "*" if p_value(line["p_holm"]) < level else ""
    worse = ratio > 1
    axes.annotate(
        f"{round(float(line['change_percent'])) or 0:+d} %{star}".replace("+0", "0").replace("-", "−"),
        ((max if worse else min)(1, ratio, *seeds), y),
        xytext=(4 if worse else -4, 0),
        textcoords="offset points",
        ha="left" if worse else "right",
        va="center",
        size=SMALL - 0.5,
        color=INK if seen else MUTED,
    )


def _finish(axes: Axes, bars: Sequence[Line], detectable: float) -> None:
    values = [float(value) for line in bars for value in line["ratios"].split()]
    low, high = (f(1 + detectable if f is max else 1 / (1 + detectable), *values) for f in (min, max))
    room = (high / low) ** 0.12  # for the numbers beside the bars
    axes.set_xscale("log")
    axes.set_xlim(low / room, high * room)
    axes.xaxis.set_major_locator(FixedLocator(_ticks(low / room, high * room)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"×{x:g}"))
    axes.set_yticks(range(len(bars)), [_label(line) for line in bars], size=SMALL)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.set_ylim(len(bars) - 0.4, -0.6)
    axes.set_xlabel("FDn against the centre, lower is better", size=BODY)


def _ticks(low: float, high: float) -> list[float]:
    """Return the round ratios in reach that are far enough apart, 1 first."""
    kept: list[float] = []
    for tick in sorted((t for t in TICKS if low <= t <= high), key=lambda t: abs(math.log(t))):
        if all(abs(math.log(tick / other)) > APART * math.log(high / low) for other in kept):
            kept.append(tick)
    return kept


def _label(line: Line) -> str:
    marks = ("¶" if line["paper"] == "yes" else "") + ("‡" if line["against"] != "centre" else "")
    return f"{line['choice']}: {line['value']} {marks}".rstrip()


def _size(line: Line) -> float:
    return abs(math.log1p(float(line["change_percent"]) / 100))
