"""Images in rows and columns with heads above and labels beside, for editing, inpainting and trajectories."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hkd.figures.samples import GAP, MARGIN, strip
from hkd.figures.style import BODY, DPI, INK, LINE, MUTED, SMALL, WIDTH, style

HEAD_LINE = 34  # device pixels


@dataclass(frozen=True)
class TileRow:
    """One row: `images` are uint8 (columns, C, H, W), `label` stands beside it, `after` is the space above it."""

    label: str
    images: np.ndarray
    after: int = GAP


def tile_figure(
    rows: Sequence[TileRow], heads: Sequence[str], *, label: int, below: int = 0
) -> tuple[Figure, list[Axes], int]:
    """Return the figure, the axes of its rows, and the side of an image pixel in device pixels.

    Args:
        heads: above the columns; empty for none.
        label: width of the labels, and `below`: height left free under the images, both in device pixels.
    Raises:
        ValueError: rows of unequal shape, or another number of heads than of columns.
    """
    shapes = {row.images.shape for row in rows}
    if len(shapes) != 1 or (heads and len(heads) != rows[0].images.shape[0]):
        raise ValueError(f"rows of images have shapes {sorted(shapes)}, with {len(heads)} heads")
    columns, _, height, width = rows[0].images.shape
    scale = max(1, (round(WIDTH * DPI) - label - MARGIN - (columns - 1) * GAP) // (columns * width))
    wide, high = columns * width * scale + (columns - 1) * GAP, height * scale
    top = MARGIN + HEAD_LINE * max((head.count("\n") + 1 for head in heads), default=0)
    total = top + sum(row.after + high for row in rows) - rows[0].after + below + MARGIN
    across = label + wide + MARGIN
    panels, y = [], top
    with style():
        figure = Figure(figsize=(across / DPI, total / DPI), dpi=DPI, facecolor="white")
        for number, row in enumerate(rows):
            y += row.after if number else 0
            axes = figure.add_axes((label / across, 1 - (y + high) / total, wide / across, high / total))
            axes.imshow(strip(row.images, scale), interpolation="nearest", aspect="auto")
            axes.set_axis_off()
            axes.text(
                -0.008, 0.5, row.label, transform=axes.transAxes, ha="right", va="center", size=SMALL, color=INK,
                linespacing=LINE,
            )  # fmt: skip
            panels.append(axes)
            y += high
        for number, head in enumerate(heads):
            x = (label + number * (width * scale + GAP) + width * scale / 2) / across
            figure.text(
                x, 1 - (top - 8) / total, head, ha="center", va="bottom", size=SMALL, color=INK, linespacing=LINE
            )
    return figure, panels, scale


def panel(figure: Figure, left: int, width: int, height: int, bottom: int, title: str) -> Axes:
    """Add axes for a plot under the images; all sizes in device pixels."""
    across, total = (round(side * DPI) for side in figure.get_size_inches())
    axes = figure.add_axes((left / across, bottom / total, width / across, height / total))
    axes.set_title(title, size=BODY, loc="left")
    axes.tick_params(labelsize=SMALL, colors=INK)
    axes.grid(axis="y", color=MUTED, alpha=0.2, linewidth=0.5)
    return axes


def number(value: float) -> str:
    """Return a number in two significant digits, or whole from 10 upwards: 80, 2.5, 0.058."""
    return f"{value:.0f}" if value >= 10 else f"{value:.2g}"
