"""From stored features to numbers, each with its protocol. Needs no network and does not load torch.

What a feature pass leaves is a mapping of arrays: views (see `hkd.settings.columns`) of shape (N, D), numbers made
beside them (`number_{score}`), and what identifies images and networks. A reference is alike.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import cached_property
from typing import Any

import numpy as np

from hkd.metrics.features.inputs import MetricError, check_features
from hkd.metrics.protocols import IMPLEMENTATIONS, Facts, NumberProtocol, number_protocol, peer_distance
from hkd.metrics.scores.frechet import Frechet, frechet_from_features, frechet_from_rows
from hkd.metrics.scores.inception_score import inception_score
from hkd.metrics.scores.kid import kid, subset_kid
from hkd.metrics.scores.moments import Gaussian, gaussian_of
from hkd.metrics.scores.precision_recall import precision_recall
from hkd.metrics.scores.uncertainty import (
    Extrapolation,
    bootstrap,
    frechet_infinity,
    half_sampling,
    spread,
    why_estimate,
)
from hkd.settings.columns import NEIGHBOURS, SCORES, Score, at, of_ranges, split_view

Arrays = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Eye:
    """What identifies a feature network; see `extractor.Extractor`."""

    name: str
    input_size: int
    dim: int
    digest: str
    value_map: str = "own"
    unproven: bool = False

    @classmethod
    def of(cls, extractor: Facts) -> Eye:
        """Return the facts of an extractor."""
        return cls(**{field.name: getattr(extractor, field.name) for field in fields(cls)})


class Side:
    """The arrays of one side, with statistics that are made once."""

    def __init__(self, arrays: Arrays, name: str) -> None:
        self._arrays, self._name = arrays, name
        self._gaussians: dict[str, Gaussian] = {}

    def __getitem__(self, key: str) -> np.ndarray:
        if key not in self._arrays:
            stage = "reference" if self._name == "reference" else "features"
            raise MetricError(f"{self._name}: holds no '{key}'; it was made for other columns, run `hkd {stage}` again")
        return self._arrays[key]

    def held(self, key: str) -> np.ndarray | None:
        """Return an array, or None where it is not held."""
        return self._arrays.get(key)

    @cached_property
    def eyes(self) -> dict[str, Eye]:
        """The feature networks that were used, by their name in views."""
        return {key: Eye(**about) for key, about in json.loads(str(self["eyes"])).items()}

    @property
    def n(self) -> int:
        return int(self["n"])

    def gaussian(self, view: str) -> Gaussian:
        """Return mean and covariance of a view."""
        mean, covariance = self.held(f"{view}_mu"), self.held(f"{view}_sigma")
        if mean is not None and covariance is not None:
            return Gaussian(self.n, mean, covariance)
        if view not in self._gaussians:
            self._gaussians[view] = gaussian_of(self[view], name=f"{self._name} {view}")
        return self._gaussians[view]


def score(
    names: Sequence[str],
    sample: Side,
    reference: Side,
    *,
    sizes: Sequence[int] = (),
    ranges: int = 1,
    nominal: int | None = None,
) -> dict[str, Any]:
    """Return the named scores of a sample against a reference.

    Keys: metric (the name of the distance), scores, protocols (one per score), mean_term, trace_term, conditioning,
    n_generated, n_reference, extractor, extractor_digest, generated_digest, reference_digest, ranges. A score of the
    first n images of every range is `fid_own@n`, spread and minimum over the ranges `fid_own~sd` and `fid_own~min`.

    Args:
        sizes: smaller numbers of images at which scores that are made of features are measured too.
        ranges: disjoint, equally long parts of the sample, each scored by itself; a score is then their mean.
        nominal: number of images below which a score is an estimate.
    Raises:
        MetricError: a reference of another extractor, a missing view, or fewer images than asked for.
    """
    _check_same_eyes(sample, reference)
    n = sample.n // ranges
    if any(size > n for size in sizes):
        raise MetricError(f"score of {max(sizes)} images: there are {n}; sample more, or compare at fewer")
    made = _Maker(reference)
    found: dict[str, float] = {}
    protocols: dict[str, NumberProtocol] = {}
    for name in names:
        item = SCORES[name]
        values = [made.value(item, _rows(sample, item.view, k * n, n), sample, k) for k in range(ranges)]
        found[name] = float(np.mean(values))
        protocols[name] = _protocol(item, sample, reference, n, ranges)
        if ranges > 1 and not item.base:
            over = spread(values)
            found |= {of_ranges(name, "sd"): over.sd, of_ranges(name, "min"): over.minimum}
            protocols |= dict.fromkeys((of_ranges(name, "sd"), of_ranges(name, "min")), protocols[name])
        for size in sizes if item.view and not item.base else ():
            first = [made.value(item, _rows(sample, item.view, k * n, size), sample, k) for k in range(ranges)]
            found[at(name, size)] = float(np.mean(first))
            protocols[at(name, size)] = replace(protocols[name], n_generated=size)
    parts, eye = made.frechet(_rows(sample, "own_A", 0, n), "own_A"), sample.eyes["own"]
    return {
        "metric": eye.name,
        "scores": found,
        **{key: getattr(parts, key) for key in ("mean_term", "trace_term")},
        "conditioning": asdict(parts.conditioning),
        "n_generated": n,
        "n_reference": reference.n,
        "ranges": ranges,
        "extractor": eye.name,
        "extractor_digest": eye.digest,
        "generated_digest": str(sample["images_digest"]),
        "reference_digest": str(reference["images_digest"]),
        "protocols": {key: p.as_dict() | {"estimate": _doubts(sample, p, nominal)} for key, p in protocols.items()},
    }


class _Maker:
    """Values of scores against one reference."""

    def __init__(self, reference: Side) -> None:
        self._reference = reference
        self._neighbours: dict[bytes, Mapping[str, float]] = {}

    def frechet(self, x: np.ndarray, view: str) -> Frechet:
        """Return our own distance of features to the reference."""
        if self._reference.n > x.shape[1]:
            return frechet_from_rows(x, self._reference.gaussian(view))
        return frechet_from_features(x, self._reference[view])

    def value(self, item: Score, x: np.ndarray, sample: Side, part: int) -> float:
        """Return the score of features (n, D), or what was made beside the features of range `part`."""
        if item.kind in ("library", "network"):
            return float(np.atleast_1d(sample[f"number_{item.name}"])[part])
        if item.kind == "bootstrap":
            base = SCORES[item.base]
            how = half_sampling if base.kind in NEIGHBOURS else bootstrap
            return how(lambda rows: self._of(base, rows), x).sd
        return self._of(item, x)

    def _of(self, item: Score, x: np.ndarray) -> float:
        if item.kind in NEIGHBOURS:
            return self._nearest(item.view, x)[item.kind]
        return _KINDS[item.kind](self, item, x, self._reference)

    def _nearest(self, view: str, x: np.ndarray) -> Mapping[str, float]:
        """Return the four scores of nearest neighbours, made in one go."""
        key = view.encode() + x.tobytes()
        if key not in self._neighbours:
            radii = f"{view}_radii"
            known = self._reference.held(radii)
            self._neighbours = {key: asdict(precision_recall(x, self._reference[view], real_radii=known))}
        return self._neighbours[key]


def _distance(made: _Maker, item: Score, x: np.ndarray, reference: Side) -> float:
    if item.implementation == "hkd":
        return made.frechet(x, item.view).distance
    return peer_distance(x, reference[item.view], IMPLEMENTATIONS[item.implementation].arithmetic)


def _infinity(made: _Maker, item: Score, x: np.ndarray) -> Extrapolation:
    return frechet_infinity(x, lambda rows: made.frechet(rows, item.view).distance)


def _subset_kid(made: _Maker, item: Score, x: np.ndarray, reference: Side) -> float:
    y = reference[item.view]
    return subset_kid(x, y, subset_size=min(1000, len(x), len(y))).mean


_KINDS: dict[str, Callable[[_Maker, Score, np.ndarray, Side], float]] = {
    "distance": _distance,
    "fdn": lambda made, item, x, reference: made.frechet(x, item.view).fdn,
    "infinity": lambda made, item, x, reference: _infinity(made, item, x).value,
    "infinity_error": lambda made, item, x, reference: _infinity(made, item, x).sd,
    "kid": lambda made, item, x, reference: kid(x, reference[item.view]),
    "subset_kid": _subset_kid,
    "inception_score": lambda made, item, x, reference: inception_score(x, splits=min(10, len(x))).mean,
}


def _rows(sample: Side, view: str, start: int, n: int) -> np.ndarray:
    return check_features(sample[view], name=f"sample {view}")[start : start + n] if view else np.zeros((0, 0))


def _protocol(item: Score, sample: Side, reference: Side, n: int, ranges: int) -> NumberProtocol:
    program = IMPLEMENTATIONS[item.implementation or "hkd"]
    key, kind, layer = split_view(item.view) if item.view else ("own", program.preprocessing, "features")
    if item.kind == "network":
        key, kind, layer = item.name, "none", "distance"
    eye = sample.eyes[key]
    return number_protocol(
        program.name,
        kind,
        replace(eye, dim=sample[item.view].shape[1]) if item.view else eye,
        score=item.base or item.name,
        layer=layer,
        library=item.kind == "library",
        reference=(str(reference["images_digest"]), str(reference["split"])),
        n=(n, reference.n),
        ranges=ranges,
    )


def _doubts(sample: Side, protocol: NumberProtocol, nominal: int | None) -> list[str]:
    """Return the reasons why a number is an estimate only: too few images, or a network that is not proven."""
    few = why_estimate(protocol.n_generated, protocol.n_reference, dim=protocol.dim, nominal=nominal)
    unproven = any(eye.unproven for eye in sample.eyes.values() if eye.name == protocol.extractor)
    return [*few, *([f"extractor {protocol.extractor} is unproven on its published weights"] if unproven else [])]


def _check_same_eyes(sample: Side, reference: Side) -> None:
    for key, eye in sample.eyes.items():
        if key in SCORES:  # a network of the sample alone
            continue
        known = reference.eyes.get(key)
        if known != eye:
            found = "absent" if known is None else f"{known.name}, weights {known.digest[:12]}"
            raise MetricError(
                f"reference: extractor '{key}' is {found}, the samples' is {eye.name}, weights {eye.digest[:12]};"
                " rebuild the reference"
            )
