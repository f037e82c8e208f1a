"""Figure of a spectrum as in the paper's Figure 4: eigenvalues, decoded bands, their effect over time, frequencies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpecFromSubplotSpec, SubplotSpec

from hkd.figures.style import BODY, INK, MUTED, SMALL, WIDTH, style

HEIGHT = 5.4  # inches
LEVELS = 6  # panels of eigenvalues at most
MODES = 4000  # points per panel at most
BAND_COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9")  # apart for the common colour deficiencies
MANY = "viridis"  # more bands than those have an order alone
LINES = {"zero": "-", "mean": "--"}
Arrays = Mapping[str, np.ndarray]


def band_names(count: int) -> list[str]:
    """Return the names of the bands, in order."""
    return ["low", "middle", "high"] if count == 3 else [f"band {k + 1}" for k in range(count)]


def band_colours(count: int) -> list[str]:
    """Return a colour for every band, of any number."""
    if count <= len(BAND_COLOURS):
        return list(BAND_COLOURS[:count])
    return [to_hex(colour) for colour in colormaps[MANY](np.linspace(0, 0.92, count))]


def spectrum_figure(arrays: Arrays, *, images: int) -> Figure:
    """Return the figure of one run's stored analysis, with its first `images` images.

    Raises:
        ValueError: there are fewer images than asked for.
    """
    if images > len(arrays["images"]):
        raise ValueError(f"shown: {images} images, the analysis holds {len(arrays['images'])}; raise 'images'")
    count = arrays["energy"].shape[-1]
    kinds = substitutes(arrays)
    with style():
        figure = Figure(figsize=(WIDTH, HEIGHT), facecolor="white", layout="constrained")
        outer = figure.add_gridspec(3, 1, height_ratios=[1.1, 1.8, 1.5])
        _eigenvalues(figure, outer[0], arrays, count)
        _decoded(figure, outer[1], arrays, kinds, images, count)
        bottom = GridSpecFromSubplotSpec(1, 4, outer[2], wspace=0.06)
        panels = [figure.add_subplot(bottom[k]) for k in range(4)]
        _over_time(panels, arrays, kinds, count)
        _power(panels[3], arrays, kinds, count)
        bands = [
            panels[0].plot([], [], color=c, label=n)[0]
            for c, n in zip(band_colours(count), band_names(count), strict=True)
        ]
        handles = [*bands, panels[3].get_lines()[0], *_styles(panels[1], kinds)]
        columns = min(len(handles), 6)
        figure.legend(handles=handles, loc="outside lower center", ncols=columns, fontsize=SMALL, frameon=False)
    return figure


def caption(*, run: str, dataset: str, checkpoint: str, seed: int, order_by: str, ascending: bool, n: int) -> str:
    """Return the caption as Markdown."""
    direction = "ascending" if ascending else "descending"
    return (
        f"The spectrum of {run} on {dataset}, {checkpoint}, seed {seed}. Modes are sorted within every level by "
        f"{order_by}, {direction}, and cut into bands. Top: eigenvalues alpha + i·beta of the levels, in "
        "exponents over the whole way from T to eps (negative alpha grows during generation). Middle: the whole image, "
        "and each band decoded alone at eps, with the other modes set to zero, as the paper does, and to their mean, "
        "where the decoder was trained; beside them, as in the paper's Figure 4, groups by the magnitude of the "
        "real part, smallest first, of the first image over time. Bottom: share of each band in the energy of the "
        "latents (mean over levels), in what the decoder makes of them, and what the image loses without it, summed "
        "from T down to each noise level; "
        f"radial power of the decoded bands over that of the whole images; means over {n} images. The paper calls "
        "curves over time the cumulative effect and gives no formula: the three definitions are ours."
    )


def substitutes(arrays: Arrays) -> list[str]:
    """Return the substitutes of an analysis."""
    return [kind for kind in LINES if f"{kind}/images" in arrays]


def levels(arrays: Arrays, most: int = LEVELS) -> list[str]:
    """Return the levels to show: all, or as many as fit, evenly over the encoder, with the first and the last."""
    names = [name.removeprefix("eigenvalues/") for name in arrays if name.startswith("eigenvalues/")]
    chosen = np.unique(np.linspace(0, len(names) - 1, min(most, len(names))).round().astype(int))
    return [names[k] for k in chosen]


def _eigenvalues(figure: Figure, place: SubplotSpec, arrays: Arrays, count: int) -> None:
    names = levels(arrays)
    grid = GridSpecFromSubplotSpec(1, len(names), place, wspace=0.06)
    found = [arrays["span"] * arrays[f"eigenvalues/{name}"].ravel() for name in names]
    reach = 1.05 * max(1e-6, *(max(np.abs(v.real).max(), np.abs(v.imag).max()) for v in found))
    tick = float(f"{0.6 * reach:.1g}")
    for k, (name, values) in enumerate(zip(names, found, strict=True)):
        axes = figure.add_subplot(grid[k])
        bands = arrays[f"bands/{name}"].ravel()
        step = -(-len(values) // MODES)
        for band, colour in enumerate(band_colours(count)):
            mine = values[bands == band][::step]
            axes.scatter(mine.real, mine.imag, s=1.2, color=colour, linewidths=0, alpha=0.55, rasterized=True)
        ticks = [-tick, 0, tick]
        axes.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal", xticks=ticks, yticks=ticks)
        axes.axhline(0, color=MUTED, linewidth=0.3, zorder=0)
        axes.axvline(0, color=MUTED, linewidth=0.3, zorder=0)
        axes.set_title(name.replace("_", " "), size=SMALL)
        axes.tick_params(labelsize=SMALL - 1, length=2)
        axes.set_xlabel(r"$\alpha$", size=SMALL, labelpad=1)
        if k:
            axes.set_yticklabels([])
        else:
            axes.set_ylabel(r"$\beta$", size=SMALL, labelpad=0)


def _decoded(figure: Figure, place: SubplotSpec, arrays: Arrays, kinds: Sequence[str], images: int, count: int) -> None:
    """Draw single bands of the first images, by substitute, and the paper's groups of the first image over time."""
    over_time = arrays["groups/images"][:, :, 0]
    widths = [*([images] * len(kinds)), len(over_time)]
    grid = GridSpecFromSubplotSpec(1, len(widths), place, wspace=0.1, width_ratios=widths)
    words = {"zero": "rest set to zero", "mean": "rest set to its mean"}
    for k, kind in enumerate(kinds):
        rows = [arrays["images"][:images], *(arrays[f"{kind}/images"][band, :images] for band in range(count))]
        names = ["whole", *band_names(count)] if not k else []
        _rows(figure.add_subplot(grid[k]), rows, names, words[kind])
    groups = over_time.shape[1] - 1
    rows = [over_time[:, row] for row in range(groups + 1)]
    names = ["whole", *(rf"$|\alpha|$ {k + 1}" for k in range(groups))]
    axes = figure.add_subplot(grid[len(kinds)])
    _rows(
        axes,
        rows,
        names,
        rf"as in Figure 4: from $\sigma$ {arrays['groups/sigmas'][0]:g} to {arrays['groups/sigmas'][-1]:g}",
    )


def _rows(axes: Axes, rows: Sequence[np.ndarray], names: Sequence[str], title: str) -> None:
    """Draw rows of images, each with its name before it."""
    picture = _tiles(rows)
    axes.imshow(picture, interpolation="nearest")
    height = picture.shape[0] / len(rows)
    for row, name in enumerate(names):
        axes.text(-4, height * (row + 0.5), name, ha="right", va="center", size=SMALL if len(rows) > 5 else BODY)
    axes.set_axis_off()
    axes.set_title(title, size=BODY)


def _tiles(rows: Sequence[np.ndarray], scale: int = 4, gap: int = 3) -> np.ndarray:
    """Return images in rows on white, enlarged by whole pixels."""
    lines = []
    for images in rows:
        large = images.repeat(scale, axis=2).repeat(scale, axis=3)
        padded = np.pad(large, ((0, 0), (0, 0), (0, gap), (0, gap)), constant_values=255)
        lines.append(np.concatenate(list(padded), axis=2))
    whole = np.concatenate(lines, axis=1)
    return np.broadcast_to(whole, (3, *whole.shape[1:])).transpose(1, 2, 0)


def _over_time(panels: Sequence[Axes], arrays: Arrays, kinds: Sequence[str], count: int) -> None:
    sigmas, names, colours = arrays["sigmas"], band_names(count), band_colours(count)
    curves = [("energy of latents", {"-": np.nanmean(arrays["energy"], axis=0)})]
    for key, title in (("contribution", "share in the image"), ("leave_one_out", "loss without it")):
        curves.append((title, {LINES[kind]: arrays[f"{kind}/{key}"] for kind in kinds}))
    for axes, (title, parts) in zip(panels, curves, strict=False):
        for band in range(count):
            for line, values in parts.items():
                axes.plot(sigmas, values[:, band], color=colours[band], linestyle=line, label=names[band], lw=1.1)
        axes.set_xscale("log")
        axes.set_xlim(sigmas[0], sigmas[-1])
        axes.set_ylim(bottom=0)
        axes.minorticks_off()
        axes.set_xlabel(r"noise level $\sigma$", size=SMALL)
        _finish(axes, title)


def _power(axes: Axes, arrays: Arrays, kinds: Sequence[str], count: int) -> None:
    """Draw the power of the decoded bands relative to that of the whole images.

    Power itself falls over decades, which would hide the differences between bands.
    """
    axes.axhline(1, color=INK, linewidth=0.8, label="whole image")
    colours = band_colours(count)
    for kind in kinds:
        for band in range(count):
            relative = arrays[f"{kind}/power"][band] / arrays["power"]
            axes.plot(arrays["frequencies"], relative, color=colours[band], linestyle=LINES[kind], lw=1.1)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("cycles per pixel", size=SMALL)
    _finish(axes, "power, relative")


def _finish(axes: Axes, title: str) -> None:
    axes.set_title(title, size=BODY)
    axes.tick_params(labelsize=SMALL - 1, length=2)


def _styles(axes: Axes, kinds: Sequence[str]) -> list[object]:
    words = {"zero": "rest zero", "mean": "rest at its mean"}
    return [axes.plot([], [], color=MUTED, linestyle=LINES[kind], label=words[kind], lw=1.1)[0] for kind in kinds]
