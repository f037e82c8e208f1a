"""Figure of images restored without training: missing pixels and missing colours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from hkd.figures.tiles import TileRow, tile_figure

MISSING = 128  # the grey of pixels that are not given


def inpainting_figure(arrays: Mapping[str, np.ndarray], *, shown: int) -> Figure:
    """Return the figure: truth; what was given and what was restored, for every mask; luminance and colours.

    Args:
        arrays: uint8 (N, C, H, W) `truth`, `{mask}/result`; bool (H, W) `{mask}/missing`; and where the images have
            colours, `colour/grey` and `colour/result`.
    """
    truth, wide = arrays["truth"][:shown], 22
    rows = [TileRow("truth", truth)]
    for name in masks(arrays):
        given = np.where(arrays[f"{name}/missing"], np.uint8(MISSING), truth)
        rows += [TileRow(f"{name.replace('_', ' ')}\nmissing", given, after=wide)]
        rows += [TileRow("inpainted", arrays[f"{name}/result"][:shown])]
    if "colour/result" in arrays:
        rows += [TileRow("luminance", arrays["colour/grey"][:shown], after=wide)]
        rows += [TileRow("colourised", arrays["colour/result"][:shown])]
    return tile_figure(rows, (), label=210)[0]


def masks(arrays: Mapping[str, np.ndarray]) -> list[str]:
    """Return the names of the masks, in the order in which they were used."""
    return [key.removesuffix("/missing") for key in arrays if key.endswith("/missing")]


def caption(
    *, run: str, dataset: str, source: str, checkpoint: str, seed: int, steps: int, facts: Mapping[str, Any], n: int
) -> str:
    """Return the caption as Markdown, with the errors and those of the trivial answers."""
    lines = [
        f"Inpainting and colourisation with {run} on {dataset} without training: {steps} noise levels, each one "
        f"evaluation of its one-step map, known pixels or luminance put back after each; {checkpoint}, seed {seed}. "
        f"Truth: the first {source}, not selected. Errors over {n} images; in pixels: root mean square where something "
        "was missing; perceptual: of the whole image. The trivial answers are the mean colour of the known pixels, and "
        "grey.",
        "",
        "| restored | pixels | trivial | perceptual | trivial | largest change of what was known |",
        "| :-- | --: | --: | --: | --: | --: |",
    ]
    for name, of in facts.items():
        trivial = of.get("mean_fill") or of["grey"]
        kept = of.get("largest_change_outside", of.get("largest_change_of_luminance"))
        cells = [of["result"]["l2_inside"], trivial["l2_inside"], of["result"]["perceptual"], trivial["perceptual"]]
        lines.append(f"| {name.replace('_', ' ')} | " + " | ".join(f"{c:.3f}" for c in cells) + f" | {kept:.1g} |")
    return "\n".join(lines) + "\n"
