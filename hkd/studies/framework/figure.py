"""The framework as a diagram: encoder, an operator per level, decoder, with the shapes and sizes of a real network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from hkd.figures.style import BODY, INK, MUTED, SMALL, WIDTH, colour, style

ROW, GROUP, HEAD, FOOT = 0.235, 0.16, 0.62, 0.72  # inches per level, between resolutions, above and below
COLUMNS = {"encoder": (0.0, 0.29), "operator": (0.355, 0.29), "decoder": (0.71, 0.29)}  # left edge and width
PAD = 0.028  # inches above and below a box
FILLS = {"encoder": "#dbe7f3", "decoder": "#e3efdf"}


@dataclass(frozen=True)
class Level:
    """One latent: the block that makes it, its shape (C, H, W), its operator or None, and the block that takes it."""

    encoder: str
    shape: tuple[int, ...]
    encoder_parameters: int
    operator: str | None
    operator_parameters: int
    decoder: str
    decoder_parameters: int


@dataclass(frozen=True)
class Parts:
    """Sums of parameters, and the decoder blocks that take no latent of their own, by name."""

    encoder: int
    operator: int
    decoder: int
    embedding: int
    total: int
    others: Mapping[str, int]


def framework_figure(levels: Sequence[Level], parts: Parts) -> Figure:
    """Return the diagram: a row per latent, the finest on top; data run down the left, across, and up the right."""
    groups = [list(group) for _, group in groupby(levels, key=lambda level: level.shape[1:])]
    height = HEAD + ROW * (len(levels) + 1) + GROUP * len(groups) + FOOT
    with style():
        figure = Figure(figsize=(WIDTH, height), facecolor="white")
        axes = figure.add_axes((0.02, 0, 0.96, 1))
        axes.set(xlim=(0, 1), ylim=(height, 0))
        axes.set_axis_off()
        _heads(axes, parts)
        y = HEAD
        for place, group in enumerate(groups):
            for number, level in enumerate(group):
                _level(axes, level, y)
                y += ROW
                last = number == len(group) - 1
                bottom = last and place == len(groups) - 1
                if not bottom:
                    _join(axes, "encoder", y, down=True, gap=GROUP if last else 0)
                _join(axes, "decoder", y, down=False, gap=GROUP if last else 0)
            up = next((f"{n}  ·  {p:,}" for n, p in parts.others.items() if n.endswith("_up") and _of(n, group[0])), "")
            if up:
                _, middle = _span("decoder")
                axes.text(middle + 0.012, y + GROUP / 2, up, size=SMALL - 1.5, color=MUTED, va="center")
            y += GROUP
        _trunk(axes, levels[-1], parts, y)
        axes.text(0.5, height - FOOT / 2, _formula(parts), ha="center", va="center", size=BODY, linespacing=1.5)
    return figure


def caption(
    levels: Sequence[Level], parts: Parts, *, run: str, dataset: str, scale: str, readings: Mapping[str, object]
) -> str:
    """Return the caption as Markdown."""
    moved = [level for level in levels if level.operator]
    chosen = ", ".join(f"`{key}: {value}`" for key, value in readings.items())
    return (
        f"The network of {run} for {dataset} at the scale `{scale}`, drawn from the model that these settings build; "
        f"no trained weights, hence no seed. {len(levels)} latents, {len(moved)} of which evolve, by "
        f"{len({level.operator for level in moved})} operators. Blocks: name, parameters. Latents: channels × height × "
        f"width; an operator has a parameter for each of these numbers: half growth rates, half frequencies. The "
        f"bottleneck is the last latent and the decoder's trunk. Parameters: encoder {parts.encoder:,}, operators "
        f"{parts.operator:,}, decoder {parts.decoder:,}, embedding of noise level and class {parts.embedding:,}, "
        f"together {parts.total:,}. Readings of what the paper leaves open: {chosen}.\n"
    )


def _heads(axes: Axes, parts: Parts) -> None:
    titles = {
        "encoder": f"Encoder $E(x_t, t)$\n{parts.encoder:,}",
        "operator": f"Latents, evolved by\n$e^{{\\Delta s\\, A}}$: {parts.operator:,}",
        "decoder": f"Decoder $D$\n{parts.decoder:,}",
    }
    for column, title in titles.items():
        _, middle = _span(column)
        axes.text(middle, 0.1, title, ha="center", va="top", size=BODY, linespacing=1.25)
    _, left = _span("encoder")
    _, right = _span("decoder")
    for x, text in ((left, "$x_t$  ↓"), (right, "$\\hat x_\\epsilon$  ↑")):
        axes.text(x, HEAD - 0.05, text, ha="center", va="center", size=SMALL)


def _level(axes: Axes, level: Level, y: float) -> None:
    _box(axes, "encoder", y, level.encoder, f"{level.encoder_parameters:,}", FILLS["encoder"], INK)
    shape = "×".join(str(side) for side in level.shape)
    if level.operator:
        own = f"{level.operator_parameters:,}" if level.operator_parameters else "shared"
        _box(axes, "operator", y, shape, own, "#f7dfdc", colour("hkd"))
    else:
        _box(axes, "operator", y, shape, "unchanged", "white", MUTED)
    _box(axes, "decoder", y, level.decoder, f"{level.decoder_parameters:,}", FILLS["decoder"], INK)
    for a, b in (("encoder", "operator"), ("operator", "decoder")):
        start, end = sum(COLUMNS[a]), COLUMNS[b][0]
        _line(axes, (start, y + ROW / 2), (end, y + ROW / 2))


def _trunk(axes: Axes, level: Level, parts: Parts, y: float) -> None:
    """Draw the decoder's first blocks, which take the bottleneck."""
    inner = [(n, p) for n, p in parts.others.items() if "_in" in n]
    text = " + ".join(n for n, _ in inner)
    _box(axes, "decoder", y, text, f"{sum(p for _, p in inner):,}", FILLS["decoder"], INK)
    _, middle = _span("operator")
    _line(axes, (middle, y - GROUP - 0.03), (middle, y + ROW / 2), head=False)
    _line(axes, (middle, y + ROW / 2), (COLUMNS["decoder"][0], y + ROW / 2))
    axes.text(middle + 0.012, y + ROW / 2 - 0.03, "trunk", size=SMALL - 1, color=MUTED, va="bottom")


def _formula(parts: Parts) -> str:
    rest = {n: p for n, p in parts.others.items() if "_in" not in n and not n.endswith("_up")}
    head = f"   ·   output head {sum(rest.values()):,}" if rest else ""
    return (
        r"one step:  $\hat x_\epsilon = D(\{\, e^{(s(\epsilon) - s(T))\, A^{(l)}}\, E^{(l)}(x_T) \,\}_l)$"
        f"\nembedding {parts.embedding:,}{head}   ·   all parameters {parts.total:,}"
    )


def _box(axes: Axes, column: str, y: float, left: str, right: str, fill: str, edge: str) -> None:
    x, width = COLUMNS[column]
    axes.add_patch(
        FancyBboxPatch(
            (x + 0.004, y + PAD), width - 0.008, ROW - 2 * PAD, boxstyle="round,pad=0,rounding_size=0.004",
            facecolor=fill, edgecolor=edge, linewidth=0.6, mutation_aspect=5,
        )
    )  # fmt: skip
    axes.text(x + 0.014, y + ROW / 2, left, ha="left", va="center", size=SMALL - 0.5)
    axes.text(x + width - 0.014, y + ROW / 2, right, ha="right", va="center", size=SMALL - 0.5)


def _join(axes: Axes, column: str, y: float, *, down: bool, gap: float) -> None:
    """Join the box that ends at y with the next one in the same column, with an arrow where there is room for one."""
    _, middle = _span(column)
    ends = ((middle, y - PAD), (middle, y + gap + PAD))
    _line(axes, *(ends if down else ends[::-1]), head=gap > 0)


def _line(axes: Axes, start: tuple[float, float], end: tuple[float, float], *, head: bool = True) -> None:
    look = {"arrowstyle": "->" if head else "-", "linewidth": 0.7, "color": INK, "shrinkA": 0, "shrinkB": 0}
    axes.annotate("", end, start, arrowprops=look)


def _span(column: str) -> tuple[float, float]:
    left, width = COLUMNS[column]
    return left, left + width / 2


def _of(name: str, level: Level) -> bool:
    return name.startswith(f"{level.shape[1]}x")
