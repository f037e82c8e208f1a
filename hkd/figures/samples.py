"""Grids of samples: one row per method and NFE, one column per noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import offset_copy

from hkd.figures.style import BODY, DPI, INK, LINE, MUTED, SMALL, WIDTH, style, wrapped

LABEL, GAP, ROW_GAP, GROUP_GAP, MARGIN = 380, 6, 14, 62, 12  # device pixels at DPI
ONE_BLOCK = 10  # rows; more of them, one below the other, would fill the screen of a page that shows the figure


@dataclass(frozen=True)
class SampleRow:
    """One row of the figure.

    Attributes:
        title: the method as it is called in the table.
        images: (N, C, H, W) uint8 with C 1 or 3; image k is drawn from noise k.
        nfe: network evaluations per image; None for real images.
        fdn: normalised distance to show in the label, if measured.
        few: number of images on which FDn was measured, if they are too few for more than an estimate.
        checkpoint: source of the images, for the caption.
        group: heading above the first row of a group; empty for none.
        route: how the weights came about, for the label, which leaves `train` unsaid.
    """

    title: str
    images: np.ndarray
    nfe: int | None = None
    fdn: float | None = None
    few: int | None = None
    checkpoint: str = ""
    group: str = ""
    route: str = ""


def page_layout(rows: int, *, columns: int) -> tuple[int, int]:
    """Return columns and blocks of a figure that stands above a table on a page: many rows take two narrower blocks."""
    return (columns, 1) if rows <= ONE_BLOCK else ((columns + 1) // 2, 2)


def sample_grid(rows: Sequence[SampleRow], *, columns: int, blocks: int = 1) -> Figure:
    """Return the figure: one panel per row, the first `columns` images of each, labels on the left.

    Blocks stand side by side; rows read down the left one first, and columns are the same noises in each. Every image
    pixel becomes a square of whole device pixels, so 16 px images stay as crisp as 64 px ones.

    Raises:
        ValueError: no rows, a row with too few images, or images that are not uint8 of one common shape.
    """
    _check(rows, columns)
    height, width = rows[0].images.shape[-2:]
    images, each = columns * blocks, -(-len(rows) // blocks)  # across the figure, down a block
    scale = max(1, (round(WIDTH * DPI) - LABEL - MARGIN - (images - 1) * GAP) // (images * width))
    across, high = columns * width * scale + (columns - 1) * GAP, height * scale
    block = LABEL + across + MARGIN
    places, bottom = _places(rows, each, high)
    size = (-(-len(rows) // each) * block, bottom + MARGIN)
    with style():
        figure = Figure(figsize=(size[0] / DPI, size[1] / DPI), dpi=DPI, facecolor="white")
        for row, (number, top, head) in zip(rows, places, strict=True):
            left = number * block + LABEL
            axes = figure.add_axes((left / size[0], 1 - (top + high) / size[1], across / size[0], high / size[1]))
            axes.imshow(strip(row.images[:columns], scale), interpolation="nearest", aspect="auto")
            axes.set_axis_off()
            _label(axes, row)
            if head:
                axes.text(0, 1 + 14 / high, head, transform=axes.transAxes, style="italic", size=BODY, va="bottom")
    return figure


def caption(
    rows: Sequence[SampleRow], *, columns: int, dataset: str, seed: int, absent: Sequence[tuple[str, str]] = ()
) -> str:
    """Return the caption as Markdown: data set, seed, the source of each row, and why which (title, why) are absent."""
    lines = [
        f"Samples on {dataset}, seed {seed}. Each column starts from one noise, the first {columns} of the seed, "
        "not selected; each row is a method at the stated number of network evaluations (NFE). "
        "FDn: 100 × Fréchet distance / trace of the reference covariance, lower is better; ≈ where it "
        "is an estimate from few images, and too large.",
        "",
    ]
    for row in rows:
        steps = "" if row.nfe is None else f", {row.nfe:,} NFE"
        few = "" if row.few is None else f"; FDn of {row.few:,} images"
        lines.append(f"- {row.title}{steps}: {row.checkpoint or 'images of the data set'}{few}")
    lines += [f"- Not shown: {title}, {why}." for title, why in absent]
    return "\n".join(lines) + "\n"


def _check(rows: Sequence[SampleRow], columns: int) -> None:
    if not rows or columns < 1:
        raise ValueError(f"a figure of samples needs rows and columns, got {len(rows)} rows and {columns} columns")
    shape = rows[0].images.shape[1:]
    for row in rows:
        images = row.images
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1] not in (1, 3):
            raise ValueError(f"{row.title}: images are {images.dtype} {images.shape}, expected uint8 (N, 1 or 3, H, W)")
        if images.shape[1:] != shape:
            raise ValueError(f"{row.title}: images are {images.shape[1:]}, those of {rows[0].title} are {shape}")
        if len(images) < columns:
            raise ValueError(f"{row.title}: {len(images)} images, the figure shows {columns}; draw more samples")


def _places(rows: Sequence[SampleRow], each: int, tile: int) -> tuple[list[tuple[int, int, str]], int]:
    """Return block, top and heading of each row, and the bottom of the lowest, in device pixels from the top."""
    places, y, bottom = [], 0, 0
    for k, row in enumerate(rows):
        first = k % each == 0  # of its block
        head = row.group if first or row.group != rows[k - 1].group else ""
        if first:
            y = GROUP_GAP if head else MARGIN
        else:
            y += GROUP_GAP if head else ROW_GAP
        places.append((k // each, y, head))
        y += tile
        bottom = max(bottom, y)
    return places, bottom


def strip(images: np.ndarray, scale: int) -> np.ndarray:
    """Return (H, W, 3) uint8: the images enlarged by whole pixels, side by side on white."""
    enlarged = images.repeat(scale, axis=2).repeat(scale, axis=3)
    colour = np.broadcast_to(enlarged, (len(images), 3, *enlarged.shape[2:])).transpose(0, 2, 3, 1)
    gap = np.full((colour.shape[1], GAP, 3), 255, np.uint8)
    parts = [part for image in colour for part in (gap, image)][1:]
    return np.concatenate(parts, axis=1)


def _label(axes: Axes, row: SampleRow) -> None:
    facts = [f"{row.nfe:,} NFE"] if row.nfe is not None else []
    if row.fdn is not None:
        facts.append(f"FDn {'' if row.few is None else '≈'}{row.fdn:.1f}")
    title, size = row.title if row.route in ("", "train") else f"{row.title} ({row.route})", BODY
    lines, closer = wrapped(title, 20), wrapped(title, 24)
    if lines.count("\n") > min(1, closer.count("\n")):  # three lines of that size would reach into the row above
        lines, size = closer, SMALL
    figure = axes.get_figure(root=True)
    assert figure is not None
    middle = offset_copy(axes.transAxes, figure, x=-6, units="points")  # left of the row, half-way down
    up = offset_copy(middle, figure, y=0.58 * SMALL if facts else 0, units="points")
    down = offset_copy(middle, figure, y=-0.58 * size * (lines.count("\n") + 1), units="points")
    place = {"ha": "right", "va": "center"}
    axes.text(0, 0.5, lines, transform=up, size=size, color=INK, linespacing=LINE, fontdict=place)
    if facts:
        axes.text(0, 0.5, " · ".join(facts), transform=down, size=SMALL, color=MUTED, fontdict=place)
