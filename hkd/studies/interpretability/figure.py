"""Figure of the evidence on interpretability: closure over time, factors by bands, and agreement of spectra."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hkd.figures.style import BODY, INK, MUTED, SMALL, WIDTH, style, wrapped
from hkd.studies.interpretability.spectrum_figure import band_names

HEIGHT = 6.9  # inches
RUN_COLOURS = ("#b2182b", "#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#6b6b6b")
Dash = str | tuple[float, tuple[float, ...]]
DASHES: tuple[Dash, ...] = ("-", (0, (5, 2)), (0, (3, 2)), (0, (2, 2)), (0, (1.5, 2)), (0, (1, 2)), (0, (1, 3)))
MARKS = ("o", "s", "^", "D", "v", "P", "X", "*")
ORDERS = {"alpha": r"$\alpha$", "abs_alpha": r"$|\alpha|$", "abs_eig": r"$|\alpha + i\beta|$"}


def interpretability_figure(
    measured: Mapping[str, Any], titles: Mapping[str, str], *, shown: str, order: str
) -> Figure:
    """Return the figure.

    Args:
        measured: as `evidence.evidence` takes it.
        shown, order: the run whose matrix of bands and factors is shown, and by which order.
    """
    colours = {run: RUN_COLOURS[k % len(RUN_COLOURS)] for k, run in enumerate(titles)}
    tests = measured["factors"]
    seeds = tests[shown][order]
    one, kinds = seeds[0], ("weights", "control")
    shares = np.vstack([np.mean([seed[kind] for seed in seeds], axis=0) for kind in kinds])
    rows = (*band_names(len(one["weights"])), *(f"{height} px" for height in one["heights"]))
    with style():
        figure = Figure(figsize=(WIDTH, HEIGHT), facecolor="white", layout="constrained")
        top, middle, bottom = np.asarray(figure.subfigures(3, 1, height_ratios=[2.3, 2.0, 1.7]))
        panels = top.subplots(1, 3)
        _closure(panels, measured["closure"], titles, colours)
        handles = panels[0].get_legend_handles_labels()
        top.legend(*handles, loc="outside upper center", ncols=2, fontsize=SMALL, frameon=False)
        left, right = middle.subplots(1, 2, width_ratios=[3, 1])
        _matrix(left, shares, rows, one["factors"], len(one["weights"]), order)
        _separations(right, tests, titles, colours)
        _agreement(bottom.subplots(), measured["agreement"], titles, colours)
    return figure


def caption(*, dataset: str, benchmark: str, seeds: int, shown: str, order: str, draws: int, n: int) -> str:
    """Return the caption as Markdown."""
    count = f"{seeds} seed{'s' if seeds > 1 else ''}"
    return (
        f"What can be read from HKD's latents and spectrum, on {dataset}, benchmark {benchmark}, averaged weights at "
        f"the end of training, {count} (lines, shares: means; areas: one standard deviation; marks: single seeds). "
        f"Top, along {n} held-out trajectories: error of the evolved latents of x_T against the encoded states "
        "(dotted: latents left as they are); error of what they decode to against the state (dotted: against the clean "
        "image); and the distance to the state over that to the clean image, below 1 where the state itself is "
        "decoded. "
        f"Middle: share of pairs in which a factor follows a swapped band of {shown}, sorted by {order}, and below the "
        "line a swapped resolution, the positive control; right, for each order: separation (largest less median share "
        "over bands, mean over factors) and specialisation (the same less what a band moves of all factors), beside "
        f"{draws} permutations of modes that leave each band its energy in every level (grey: their central 95 %) and "
        "the control (open). Bottom: rank "
        "correlation of modes between seeds, and between operators that started at zero and at random (grey: 95 % of "
        "the permutation null)."
    )


def _closure(
    panels: Sequence[Axes], closure: Mapping[str, Any], titles: Mapping[str, str], colours: Mapping[str, str]
) -> None:
    for number, (run, seeds) in enumerate(closure.items()):
        # variants that differ little lie on one another: each is dashed further than the one below it
        line = DASHES[number % len(DASHES)]
        sigmas, colour = np.array(seeds[0]["sigmas"]), colours[run]
        get = {name: np.array([seed[name] for seed in seeds]) for name in ("latent", "still", "state", "clean", "size")}
        ratio = get["state"] * get["size"] / (get["clean"] * get["size"][:, -1:])
        inner = slice(1, -1)  # at T nothing has moved; at eps state and clean image are one
        latent, still = (np.nanmean(get[name], axis=2) for name in ("latent", "still"))
        _line(panels[0], sigmas[1:], latent[:, 1:], colour, line, titles[run])
        panels[0].plot(sigmas[1:], still.mean(0)[1:], color=colour, linestyle=":", linewidth=0.8)
        _line(panels[1], sigmas, get["state"], colour, line)
        panels[1].plot(sigmas, get["clean"].mean(0), color=colour, linestyle=":", linewidth=0.8)
        _line(panels[2], sigmas[inner], ratio[:, inner], colour, line)
    panels[2].axhline(1, color=MUTED, linewidth=0.6)
    for axes, title in zip(
        panels, ("latents: relative error", "decoded: relative error", "to state / to clean image"), strict=True
    ):
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.invert_xaxis()
        axes.set_title(title, size=BODY)
        axes.set_xlabel(r"noise level $\sigma$", size=SMALL)
        axes.tick_params(labelsize=SMALL - 1, length=2)
        axes.minorticks_off()


def _line(axes: Axes, x: np.ndarray, values: np.ndarray, colour: str, line: Dash, label: str | None = None) -> None:
    mean = values.mean(0)
    axes.plot(x, mean, color=colour, linewidth=1.2, linestyle=line, label=label)
    if len(values) > 1:
        spread = values.std(0, ddof=1)
        low = np.maximum(mean - spread, 0.1 * mean)  # logarithmic axes have no 0, and show no more than a decade for it
        axes.fill_between(x, low, mean + spread, color=colour, alpha=0.2, linewidth=0)


def _matrix(
    axes: Axes, weights: np.ndarray, rows: Sequence[str], factors: Sequence[str], bands: int, order: str
) -> None:
    axes.imshow(weights, vmin=0, vmax=1, cmap="cividis", aspect="auto")
    for (row, column), value in np.ndenumerate(weights):
        text = "–" if np.isnan(value) else f"{value:.2f}".removeprefix("0") if value < 1 else "1"
        ink = "white" if np.nan_to_num(value) < 0.55 else "black"
        axes.text(column, row, text, ha="center", va="center", size=SMALL - 1, color=ink)
    axes.axhline(bands - 0.5, color="white", linewidth=2)
    axes.set_yticks(range(len(rows)), rows, size=SMALL)
    short = (("background", "backgr."), ("foreground", "foregr."), ("orientation", "orient."), ("_", "\n"))
    names = [reduce(lambda name, pair: name.replace(*pair), short, factor) for factor in factors]
    axes.set_xticks(range(len(names)), names, size=SMALL - 1, linespacing=0.9)
    axes.tick_params(length=0)
    axes.set_title(f"factors that follow a swapped band (by {ORDERS[order]}) or resolution", size=BODY)


def _separations(axes: Axes, tests: Mapping[str, Any], titles: Mapping[str, str], colours: Mapping[str, str]) -> None:
    orders, width = list(next(iter(tests.values()))), 0.8 / (2 * len(tests))
    for k, (run, found) in enumerate(tests.items()):
        for j, order in enumerate(orders):
            for side, score in enumerate(("separation", "specialisation")):
                place = j - 0.4 + width * (2 * k + side + 0.5)
                null = f"{score}_null" if side else "null"
                spread = np.quantile(np.concatenate([seed[null] for seed in found[order]]), (0.025, 0.975))
                axes.fill_between([place - width / 3, place + width / 3], *spread, color="#bbbbbb", linewidth=0)
                for key, face in ((score, colours[run]), (f"control_{score}", "white")):
                    values = [seed[key] for seed in found[order]]
                    axes.scatter([place] * len(values), values, s=11, facecolor=face, edgecolors=colours[run],
                                 marker=MARKS[2 * k + side], linewidths=0.7, zorder=3)  # fmt: skip
    axes.set_xticks(range(len(orders)), [ORDERS[order] for order in orders], size=SMALL)
    axes.set_xlim(-0.5, len(orders) - 0.5)
    axes.set_ylim(0, 1.25)
    axes.tick_params(axis="y", labelsize=SMALL - 1)
    axes.set_title("scores of the matrix", size=BODY)
    for k, run in enumerate(tests):
        for side, score in enumerate(("separation", "specialisation")):
            label = score if len(tests) == 1 else f"{score}, {titles[run]}"
            axes.scatter([], [], s=11, color=colours[run], marker=MARKS[2 * k + side], label=label)
    axes.legend(fontsize=SMALL - 1, frameon=False, loc="upper left", handletextpad=0.1, borderpad=0)


def _agreement(
    axes: Axes, lines: Sequence[Mapping[str, Any]], titles: Mapping[str, str], colours: Mapping[str, str]
) -> None:
    if not lines:
        axes.text(0.5, 0.5, "agreement of spectra: not run, needs two seeds", ha="center", size=SMALL, color=MUTED)
        axes.set_axis_off()
        return
    groups, labels = sorted({(line["kind"], line["run"]) for line in lines}, reverse=True), []
    orders = list(dict.fromkeys(line["order_by"] for line in lines))
    for y, (kind, run) in enumerate(groups):
        for j, order in enumerate(orders):
            mine = [line for line in lines if (line["kind"], line["run"], line["order_by"]) == (kind, run, order)]
            place = y + 0.26 * (j - (len(orders) - 1) / 2)
            limit = np.mean([np.quantile(line["null"], 0.95) for line in mine])
            axes.plot([0, limit], [place, place], color="#bbbbbb", linewidth=5, solid_capstyle="butt", zorder=1)
            axes.scatter([line["mean"] for line in mine], [place] * len(mine), s=13, marker=MARKS[j],
                         color=colours[run], zorder=3)  # fmt: skip
        labels.append(f"{titles[run]}, between {kind}")
    for j, order in enumerate(orders):
        axes.scatter([], [], s=13, marker=MARKS[j], color=INK, label=f"by {ORDERS.get(order, order)}")
    axes.set_yticks(range(len(groups)), [wrapped(label, 34) for label in labels], size=SMALL)
    axes.set_ylim(len(groups) - 0.4, -0.6)
    axes.set_xlim(min(-0.02, *(line["mean"] for line in lines)), 1.02)
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel("rank correlation of modes, mean over levels", size=SMALL)
    axes.legend(fontsize=SMALL, frameon=False, loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=len(orders))
