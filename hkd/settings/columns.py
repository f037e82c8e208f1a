"""The numbers that a table may show: their names, what they are made of, and the columns derived from them.

A *view* is what one feature network sees: `{network}_{class}` are its features of images that were resized as the
preprocessing class A to E does, `{network}_{class}_logits` and `_spatial` further layers of the same pass. The network
`own` is the benchmark's `extractor`; every other is a file of configs/extractors.

A column is a score, or is derived from one: `{score}_common` is the score of the first n images of every row, where n
is the number of images of the smallest row; `{score}_sd` and `{score}_min` are the standard deviation and the minimum
over seeds, `{score}_range_sd` and `{score}_range_min` those over disjoint ranges of one run's samples;
`{score}_bootstrap` is the standard deviation over redraws of one run's features. In derived names `fid` stands for
`fid_own`. What cannot be derived is refused with the reason: see `_why_not`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from hkd.settings.origins import nearest

Derived = Literal["", "common", "sd", "min", "range_sd", "range_min"]
SUFFIXES: tuple[Derived, ...] = ("common", "sd", "min", "range_sd", "range_min")
FURTHER = ("perceptual", "inception", "dinov2", "clip")  # besides `own`; each has its file in configs/extractors
COMPONENTS = 64  # of a view: full distances on 1,280 features drown in the bias of a few hundred images
SEEN_AS = "C"  # how further networks are shown images: Pillow's antialiased bicubic, as their publishers do


@dataclass(frozen=True)
class Score:
    """One number of a set of images.

    Attributes:
        title: heading; {name} is FID for the published Inception's features and FD for all others.
        kind: which function of features makes it (`hkd.metrics.scoring`), `library` or `network`: made beside them.
        view: the features that it is made of; empty for a library's own pass.
        implementation: for a Fréchet distance, the published program whose protocol it is.
        base: for a bootstrap, the score whose spread it is.
    """

    name: str
    title: str
    kind: str
    view: str = ""
    implementation: str = ""
    base: str = ""


def _distances() -> Iterable[Score]:
    yield Score("fid_own", "{name}", "distance", "own_A", "hkd")
    for program in ("torch-fidelity", "clean-fid", "clean-fid-legacy-pytorch", "clean-fid-legacy-tensorflow"):
        yield Score(_key(program), program, "library", "", program)
    yield Score("fid_pytorch_fid", "pytorch-fid", "library", "", "pytorch-fid")
    peers = {"edm": "A", "stylegan2-ada": "A", "adm": "A", "torchmetrics": "E", "dgm-eval": "B", "dgm-eval-clean": "D"}
    for program, kind in (peers | {"image-generation-metrics": "B", "pytorch-fid-offset": "B"}).items():
        yield Score(_key(program), f"{program}'s protocol", "distance", f"own_{kind}", program)
    yield Score("fdn", "FDn", "fdn", "own_A", "hkd")
    yield Score("fid_infinity", "{name}∞", "infinity", "own_A", "hkd")
    yield Score("fid_infinity_error", "{name}∞: standard error", "infinity_error", "own_A", "hkd")
    yield Score("sfid", "s{name}", "distance", "own_A_spatial", "hkd")


def _others() -> Iterable[Score]:
    yield Score("kid", "KID", "kid", "own_A")
    yield Score("kid_torch_fidelity", "KID as torch-fidelity", "subset_kid", "own_A")
    yield Score("mind", "MIND", "mind", "own_A")
    yield Score("inception_score", "Classifier score", "inception_score", "own_A_logits")
    for name in ("precision", "recall", "density", "coverage"):
        yield Score(name, name.capitalize(), name, "own_A")
    for network in FURTHER:
        yield Score(f"fd_{network}", f"FD on {network}", "distance", f"{network}_{SEEN_AS}", "hkd")
        yield Score(f"kd_{network}", f"KD on {network}", "kid", f"{network}_{SEEN_AS}")
    yield Score("lpips_diversity", "Perceptual diversity", "network")
    yield Score("kid_effnet", "KID on EffNet", "kid", f"effnet_{SEEN_AS}")
    axes = f"FD on {COMPONENTS} EffNet axes"
    yield Score(f"fd_effnet{COMPONENTS}", axes, "components", f"effnet_{SEEN_AS}", "hkd")


def _key(program: str) -> str:
    return f"fid_{program.replace('-', '_')}"


def _bootstraps(scores: Iterable[Score]) -> Iterable[Score]:
    for score in scores:
        if score.kind in RESAMPLED:
            name = f"{_stem(score.name)}_bootstrap"
            yield Score(name, f"{score.title}: bootstrap sd", "bootstrap", score.view, score.implementation, score.name)


def _stem(score: str) -> str:
    return "fid" if score == "fid_own" else score


NEIGHBOURS = ("precision", "recall", "density", "coverage")
RESAMPLED = ("distance", "components", "fdn", "kid", "inception_score", *NEIGHBOURS)
_PLAIN = [*_distances(), *_others()]
SCORES = {score.name: score for score in (*_PLAIN, *_bootstraps(_PLAIN))}
FID_DIGESTS = frozenset(  # weights whose distance may be called FID: pt_inception-2015-12-05
    {"6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"}
)
ALWAYS = ("fid_own", "fdn")  # in every metrics file: figures, quality bars and spreads are made of them
DEFAULT = ("fid_own", "fid_sd", "fid_torch_fidelity", "fid_clean_fid", "fdn", "fdn_sd", "fid_common", "fdn_common")


@dataclass(frozen=True)
class Column:
    """A column: the score it is made of, and how."""

    name: str
    score: str
    derived: Derived

    def heading(self, distance: str, n_common: int | None) -> str:
        """Return what stands above the column, where the distance is called FID or FD."""
        title = SCORES[self.score].title.format(name=distance)
        return {
            "": title,
            "common": f"{title} at n = {n_common:,}" if n_common else f"{title} at common n",
            "sd": f"{title}: sd",
            "min": f"{title}: min",
            "range_sd": f"{title}: sd of ranges",
            "range_min": f"{title}: min of ranges",
        }[self.derived]


def _columns() -> Iterable[Column]:
    for score in SCORES.values():
        yield Column(score.name, score.name, "")
        for suffix in SUFFIXES if not score.base else ():
            if suffix != "common" or score.view:
                yield Column(f"{_stem(score.name)}_{suffix}", score.name, suffix)


COLUMNS = {item.name: item for item in _columns()}
_NOT_DERIVED = {  # kind of a score: why it has no bootstrap, or is not made at a common n
    "library": "a library makes its number of images in a pass of its own, and no features of that are kept",
    "network": "it is a distance of pairs of images, not made of features that are kept",
    "infinity": "a line through many subsets is not redrawn; its standard error is fid_infinity_error",
    "infinity_error": "it is itself a standard error",
    "subset_kid": "it is a mean over subsets; the spread of the estimator is kid_bootstrap",
    "mind": "rows drawn twice are ties, which a distance of sorted rows takes for a difference",
}


def column(name: str) -> Column:
    """Return the column `name`.

    Raises:
        ValueError: there is none; the message says why it cannot be derived and what can, or names the nearest.
    """
    if name not in COLUMNS:
        raise ValueError(f"no column '{name}'{_why_not(name) or f'. {nearest(name, list(COLUMNS))}'}")
    return COLUMNS[name]


def _why_not(name: str) -> str:
    """Return why a score has no such derived column and which it has; empty for a name that is made of no score."""
    suffix = next((s for s in (*sorted(SUFFIXES, key=len, reverse=True), "bootstrap") if name.endswith(f"_{s}")), "")
    stem = name.removesuffix(f"_{suffix}")
    score = SCORES.get("fid_own" if stem == "fid" else stem)
    if not suffix or score is None:
        return ""
    stem = _stem(score.name)
    if stem != name.removesuffix(f"_{suffix}"):
        return f": derived names say '{stem}' for '{score.name}'; use {stem}_{suffix}"
    if score.base:
        return f": {score.name} is itself a spread, of which no further column is derived"
    has = [column.name for column in COLUMNS.values() if column.score == score.name]
    return f": {_NOT_DERIVED[score.kind]}. There are {', '.join(has)}"


def scores_of(columns: Iterable[str]) -> tuple[str, ...]:
    """Return the scores that the columns are made of, in the order of SCORES, and those that are always made."""
    wanted = {column(name).score for name in columns} | set(ALWAYS)
    return tuple(score for score in SCORES if score in wanted)


def views_of(scores: Iterable[str]) -> tuple[str, ...]:
    """Return the views that the scores are made of."""
    return tuple(sorted({SCORES[name].view for name in scores} - {""}))


def split_view(view: str) -> tuple[str, str, str]:
    """Return network, preprocessing class and layer (features, logits or spatial) of a view."""
    network, kind, *layer = view.split("_")
    return network, kind, layer[0] if layer else "features"


def at(score: str, n: int) -> str:
    """Return the key of a score of the first `n` images in a metrics file."""
    return f"{score}@{n}"


def of_ranges(score: str, how: str) -> str:
    """Return the key of the `sd` or `min` over disjoint ranges in a metrics file."""
    return f"{score}~{how}"
