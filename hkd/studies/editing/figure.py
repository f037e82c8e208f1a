"""Figure of one-step editing: a band of modes blended with a reference's in a region, beside its controls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hkd.figures.style import INK, MUTED, SMALL, colour, style
from hkd.figures.tiles import TileRow, panel, tile_figure
from hkd.studies.editing.time_verdict import NO_EDIT, VOID

BELOW, PLOT, LEFT = 600, 360, 170  # device pixels: under the images, of the plots there, and beside each


def editing_figure(
    arrays: Mapping[str, np.ndarray],
    measured: Mapping[str, Any],
    ratios: Sequence[float],
    control: float,
    time: Mapping[str, Any],
    *,
    shown: int,
) -> Figure:
    """Return the figure: a row per image, then how far edits move the image, and whether their time matters.

    Args:
        arrays: uint8 (N, C, H, W) `original`, `control`, `random`, `reference`; uint8 (R, N, C, H, W) `edited`; bool
            (H, W) `region`.
        measured, time: by variant the distances, and by noise level the differences, that `hkd edit` wrote.
    """
    parts = [arrays["original"][None], arrays["edited"], arrays["random"][None], arrays["control"][None]]
    stacked = np.concatenate([*parts, arrays["reference"][None]])
    heads = [
        "original",
        *(f"$r$ = {r:g}" for r in ratios),
        f"random,\n$r$ = {control:g}",
        f"all modes,\n$r$ = {control:g}",
    ]
    rows = [TileRow("", stacked[:, k]) for k in range(shown)]
    figure, panels, scale = tile_figure(rows, [*heads, "reference"], label=20, below=BELOW)
    with style():
        for axes in panels:
            _outline(axes, arrays["region"], scale)
        across = round(figure.get_size_inches()[0] * figure.dpi)
        width = (across - 3 * LEFT - 20) // 3
        for k, (kind, title) in enumerate((("l2", "Pixels: root mean square"), ("perceptual", "Perceptual distance"))):
            axes = panel(figure, LEFT + k * (width + LEFT), width, PLOT, BELOW - PLOT - 110, title)
            _distances(axes, measured, kind, ratios, control)
            if not k:
                axes.legend(frameon=False, fontsize=SMALL, loc="upper left", handlelength=1.6, borderpad=0)
        left = LEFT + 2 * (width + LEFT)
        _times(panel(figure, left, width, PLOT, BELOW - PLOT - 110, "Another time of the edit"), time)
    return figure


def caption(
    *, run: str, dataset: str, checkpoint: str, seed: int, settings: Mapping[str, Any], mid: float,
    time: Mapping[str, Any], measured: Mapping[str, Any], n: int,
) -> str:  # fmt: skip
    """Return the caption as Markdown, with the numbers that the plots show."""
    order = f"{settings['order_by']}, {'ascending' if settings['ascending'] else 'descending'}"
    lines = [
        f"One-step editing with {run} on {dataset}; {checkpoint}, seed {seed}; the seed's first images, not selected. "
        f"Latents are moved to noise level {mid:.3g}; there, inside the region (white line: "
        f"{settings['region'].replace('_', ' ')}), band {settings['band']} of the modes (ordered by {order}) "
        "becomes (1 − r) of its own and r of the reference's. Controls: as many modes of every level drawn at random, "
        f"and all modes, both at r = {settings['control']:g}. Plots: distances of the edited images from the "
        f"unedited ones, means over {n} images; outside the region nothing is blended, but the decoder's convolutions "
        f"carry changes across its border. {_said(time)}",
        "",
        "| variant | pixels inside | pixels outside | perceptual inside | perceptual outside |",
        "| :-- | --: | --: | --: | --: |",
    ]
    for name, of in measured.items():
        cells = [of[kind][f"{where}_to_original"] for kind in ("l2", "perceptual") for where in ("inside", "outside")]
        title = name.replace("_", " ") if not name[0].isdigit() else f"r = {name}"
        lines.append(f"| {title} | " + " | ".join(f"{cell:.3f}" for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def _said(time: Mapping[str, Any]) -> str:
    """Return what an edit's time is worth, in words."""
    if time["verdict"] == NO_EDIT:
        return "At this band and ratio nothing is edited, so nothing can be said of its time."
    low, high = min(time["levels"]), max(time["levels"])
    first = (
        f"Right: the strongest edit at {len(time['levels'])} noise levels from {high:g} to {low:g}; largest "
        f"differences of pixels in [-1, 1] from the first, where the edit itself changes up to {time['change']:.2g}. "
    )
    encoded = f"A reference that is encoded at the level of the edit changes it by up to {max(time['encoded']):.2g}."
    if time["verdict"] == VOID:
        return (
            f"{first}Intervening at the midpoint is void: latents of a reference that are moved along give the same "
            f"image at every level (up to {max(time['moved']):.1g}), because the operator, the region and the band all "
            f"act on each place and pair alone. {encoded}"
        )
    return f"{first}The time matters here: it moves the edit by up to {max(time['moved']):.2g}. {encoded}"


def _times(axes: Axes, time: Mapping[str, Any]) -> None:
    levels = time["levels"]
    floor = 1e-8  # on a logarithmic axis equal images need a place
    looks = {"moved": ("generated reference", colour("hkd"), "o"), "encoded": ("encoded reference", INK, "s")}
    for key, (label, ink, mark) in looks.items():
        values = [max(value, floor) for value in time[key][1:]]
        axes.plot(levels[1:], values, color=ink, marker=mark, markersize=3, linewidth=1, label=label)
    axes.axhline(max(time["change"], floor), color=MUTED, linewidth=0.8, linestyle=":", label="the edit itself")
    axes.set(xscale="log", yscale="log", xlabel=r"noise level $\sigma$ of the edit")
    axes.set_ylabel("largest difference")
    axes.set_ylim(floor / 3, 30 * max(time["change"], floor))
    axes.minorticks_off()
    axes.legend(frameon=False, fontsize=SMALL - 0.5, loc="center", handlelength=1.4, borderpad=0)


def _outline(axes: Axes, region: np.ndarray, scale: int) -> None:
    """Draw the border of the region into the first image."""
    inner = np.pad(np.kron(region, np.ones((scale, scale))), 1)
    for width, ink in ((1.6, INK), (0.8, "white")):
        axes.contour(
            np.arange(inner.shape[1]) - 1, np.arange(inner.shape[0]) - 1, inner, [0.5], colors=ink, linewidths=width
        )


def _distances(axes: Axes, measured: Mapping[str, Any], kind: str, ratios: Sequence[float], control: float) -> None:
    red = colour("hkd")
    looks = {"inside": {"color": red, "marker": "o"}, "outside": {"color": INK, "marker": "s", "linestyle": "--"}}
    for where, look in looks.items():
        key = f"{where}_to_original"
        values = [measured[f"{r:g}"][kind][key] for r in ratios]
        axes.plot(ratios, values, markersize=3, linewidth=1, label=where, **look)  # type: ignore[arg-type]
        for variant, shift, mark in (("random_modes", 0.06, "random\nmodes"), ("all_modes", 0.14, "all\nmodes")):
            value = measured[variant][kind][key]
            axes.scatter(
                control + shift,
                value,
                s=12,
                marker=look["marker"],
                facecolor="white",
                edgecolor=look["color"],
                zorder=4,
            )
            if where == "inside":
                axes.annotate(
                    mark, (control + shift, value), (0, 4), textcoords="offset points", ha="center", size=SMALL - 1.5,
                    color=MUTED, linespacing=0.85,
                )  # fmt: skip
    top = max(of[kind]["inside_to_original"] for of in measured.values())
    axes.set(xlim=(0, control + 0.2), ylim=(0, 1.3 * top), xlabel="blending ratio $r$")
    axes.set_ylabel("distance to the original")
