"""Figure of the excess in the score that known mistakes cause, in every preprocessing class."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hkd.figures.style import CLASSES, INK, MUTED, SMALL, WIDTH, style, wrapped

ROW, HEAD = 0.2, 0.62  # inches per mistake, and for the axis
MARKERS = {"A": "o", "B": "s", "C": "^", "D": "v", "E": "D"}
DECADES = 1  # shown below the noise of the metric itself
CLEAN = "none"


@dataclass(frozen=True)
class Excess:
    """The excess that a mistake adds to the distance in one preprocessing class."""

    mistake: str
    preprocessing: str
    mean: float
    sd: float

    @property
    def text(self) -> str:
        """Mean and standard deviation with the digits that the deviation makes significant."""
        digits = 0 if self.sd >= 10 else 1 if self.sd >= 1 else 2 if self.sd >= 0.01 else 3
        return f"{round(self.mean, digits) + 0.0:.{digits}f} ± {self.sd:.{digits}f}".replace(
            "-", "−"
        )  # no negative zero


def excesses(rows: Sequence[Mapping[str, object]]) -> list[Excess]:
    """Return mean and standard deviation over splits of each mistake and class, the most harmful in class A first.

    Args:
        rows: lines of the table. A class speaks through the first of its implementations.
    """
    spokesmen = {kind: names[0] for kind, names in members(rows).items()}
    found: dict[tuple[str, str], list[float]] = {}
    for row in rows:
        kind = str(row["preprocessing"])
        if row["corruption"] != CLEAN and row["implementation"] == spokesmen[kind]:
            found.setdefault((str(row["corruption"]), kind), []).append(float(str(row["excess"])))
    made = [Excess(*key, statistics.fmean(v), statistics.stdev(v) if len(v) > 1 else 0.0) for key, v in found.items()]
    worst = {item.mistake: item.mean for item in sorted(made, key=lambda item: item.preprocessing, reverse=True)}
    return sorted(made, key=lambda item: (-worst[item.mistake], item.preprocessing))


def members(rows: Sequence[Mapping[str, object]]) -> dict[str, list[str]]:
    """Return the implementations of each preprocessing class, in the order of the table."""
    pairs = dict.fromkeys((str(row["preprocessing"]), str(row["implementation"])) for row in rows)
    return {kind: [name for other, name in pairs if other == kind] for kind in sorted({kind for kind, _ in pairs})}


def noise(rows: Sequence[Mapping[str, object]]) -> float:
    """Return the standard deviation over splits of the distance between clean halves, in the first implementation."""
    clean = [row for row in rows if row["corruption"] == CLEAN]
    values = [float(str(row["distance"])) for row in clean if row["implementation"] == clean[0]["implementation"]]
    return statistics.stdev(values) if len(values) > 1 else 0.0


def calibration(rows: Sequence[Mapping[str, object]]) -> Figure:
    """Return the figure: a line per mistake, a mark per preprocessing class, and the numbers of class A to look up.

    Args:
        rows: lines of the table: metric, corruption, implementation, preprocessing, split, distance, excess.
    Raises:
        ValueError: there is nothing to show.
    """
    shown = excesses(rows)
    if not shown:
        raise ValueError("a calibration figure needs at least one mistake besides clean images")
    mistakes, kinds = list(dict.fromkeys(item.mistake for item in shown)), members(rows)
    spread = noise(rows)
    largest = max(item.mean for item in shown)
    low = max(spread, largest * 1e-3) / 10**DECADES if largest > 0 else 1e-3
    with style():
        legend = [f"{kind}: {wrapped(', '.join(names), 104)}" for kind, names in kinds.items()]
        height = ROW * len(mistakes) + HEAD + 0.13 * sum(text.count("\n") + 1 for text in legend)
        figure = Figure(figsize=(WIDTH, height), facecolor="white", layout="constrained")
        axes = figure.subplots()
        axes.axvspan(low, max(spread, low), color="#ececec", linewidth=0)
        for k, kind in enumerate(kinds):
            mine = [item for item in shown if item.preprocessing == kind]
            places = [mistakes.index(item.mistake) + 0.13 * (k - (len(kinds) - 1) / 2) for item in mine]
            _marks(axes, mine, places, low, kind, legend[k])
        for place, mistake in enumerate(mistakes):
            number = next(item for item in shown if item.mistake == mistake)  # class A, or the first class there is
            label = number.text if number.preprocessing == "A" else f"{number.text} ({number.preprocessing})"
            axes.text(1.02, place, label, transform=axes.get_yaxis_transform(), va="center", fontsize=SMALL, color=INK)
        axes.set_xscale("log")
        axes.set_xlim(low, 2.5 * largest)
        axes.set_yticks(range(len(mistakes)), mistakes)
        axes.set_ylim(len(mistakes) - 0.4, -0.6)
        axes.tick_params(axis="y", length=0, labelsize=SMALL)
        axes.grid(axis="x", linewidth=0.4, alpha=0.5)
        axes.set_axisbelow(True)
        axes.text(1.02, -0.9, "class A", transform=axes.get_yaxis_transform(), fontsize=SMALL, color=MUTED)
        axes.set_xlabel(f"what it adds to {rows[0]['metric']}; grey: within the noise of the metric itself")
        figure.legend(*axes.get_legend_handles_labels(), fontsize=SMALL, loc="outside lower left", frameon=False)
    return figure


def _marks(axes: Axes, mine: list[Excess], places: list[float], low: float, kind: str, label: str) -> None:
    """Draw one class; an excess below the axis is an open mark on its edge."""
    colour, marker = CLASSES[kind], MARKERS[kind]
    inside = [(item, place) for item, place in zip(mine, places, strict=True) if item.mean > low]
    below = [place for item, place in zip(mine, places, strict=True) if item.mean <= low]
    values = [item.mean for item, _ in inside]
    bars = [[min(item.sd, item.mean - low) for item, _ in inside], [item.sd for item, _ in inside]]
    heights = [place for _, place in inside]
    axes.errorbar(
        values, heights, xerr=bars, fmt=marker, color=colour, markersize=3.2, linewidth=0.7, label=label, zorder=3
    )
    axes.plot([low] * len(below), below, marker, color=colour, markersize=3.2, markerfacecolor="white", clip_on=False)


def caption(rows: Sequence[Mapping[str, object]], *, dataset: str) -> str:
    """Return the sentences that go under the figure."""
    splits, n = len({row["split"] for row in rows}), int(str(rows[0]["n"]))
    clean = [row for row in rows if row["corruption"] == CLEAN]
    mine = [float(str(row["distance"])) for row in clean if row["implementation"] == clean[0]["implementation"]]
    return (
        f"What a difference in the score is worth on {dataset}: what a known mistake adds to {rows[0]['metric']} "
        f"between two random halves of the real images ({n:,} each, {splits} splits, seed 0), of which the first is "
        "damaged as named. `reference of class X`: clean images against reference features of another preprocessing "
        "class, the mix-up of statistics files. Marks are means over splits, bars standard deviations; open marks at "
        f"the edge add nothing that could be seen. Without a mistake the distance is {statistics.fmean(mine):.3g} ± "
        f"{noise(rows):.2g} at this number of images (grey: differences that another split makes as well). "
        f"Implementations of one class lie on top of each other{_arithmetic(clean)}. To look up a difference, read the "
        "numbers on the right (class A), or the column `excess` of the table for any implementation."
    )


def _arithmetic(clean: list[Mapping[str, object]]) -> str:
    """Return by how much the arithmetics of class A differ on clean halves, relative to the first."""
    first = clean[0]
    alike = [row for row in clean if (row["preprocessing"], row["split"]) == (first["preprocessing"], first["split"])]
    gaps = {
        str(row["implementation"]): abs(float(str(row["distance"])) / float(str(first["distance"])) - 1.0)
        for row in alike[1:]
    }
    if not gaps:
        return ""
    worst = max(gaps, key=lambda name: gaps[name])
    return f": on clean halves those of class {first['preprocessing']} differ by at most {gaps[worst]:.1g} ({worst})"
