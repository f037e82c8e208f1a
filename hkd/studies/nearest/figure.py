"""Samples that stick most to one training image, each above that image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from hkd.figures.style import wrapped
from hkd.figures.tiles import TileRow, tile_figure
from hkd.studies.nearest.neighbours import Measure, Neighbours

LABEL, BETWEEN = 330, 22  # device pixels


@dataclass(frozen=True)
class Pairs:
    """The samples of one row that stick most to one training image, (N, C, H, W) uint8, and those images."""

    title: str
    nfe: int
    samples: np.ndarray
    neighbours: np.ndarray


def pairs(title: str, nfe: int, images: np.ndarray, training: np.ndarray, found: Neighbours, shown: int) -> Pairs:
    """Return the `shown` pairs of smallest ratio, that one first.

    Args:
        images, training: uint8 (., C, H, W); `training` may be a file mapped into memory.
    """
    order = np.argsort(found.ratio, kind="stable")[:shown]
    return Pairs(title, nfe, images[order], np.stack([training[k] for k in found.index[order]]))


def nearest_pairs(rows: Sequence[Pairs]) -> Figure:
    """Return the figure: for every row of the table its samples, and below each its nearest training image."""
    tiles = []
    for row in rows:
        name = wrapped(f"{row.title}, {row.nfe:,} NFE", 24)
        tiles += [TileRow(name, row.samples, after=BETWEEN), TileRow("nearest training image", row.neighbours)]
    figure, _, _ = tile_figure(tiles, [], label=LABEL)
    return figure


def caption(rows: Sequence[Pairs], measure: Measure, *, dataset: str, view: str, said: Sequence[str]) -> str:
    """Return the caption as Markdown."""
    shown = len(rows[0].samples) if rows else 0
    text = (
        f"Of the samples of each row on {dataset}, the {shown} that stick most to one training image, each above that "
        f"image: the distance between their features ({view}), relative to the mean distance of the next neighbours. "
        f"Real images, held out of the training set in turn, have a median of {measure.median:.3g}, and "
        f"{measure.near:.0%} of them are at most at {measure.within:.3g}."
    )
    return "\n".join([text, "", *(f"- {one}" for one in said)]) + "\n"
