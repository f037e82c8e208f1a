"""From stored features to numbers, each with its protocol. Needs no network and does not load torch.

The features of a set of images are a mapping of arrays: views (see `hkd.settings.columns`) of shape (N, D), numbers
that were made in the same pass (`number_{score}`), and what identifies images and networks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import cached_property
from typing import Any

import numpy as np

from hkd.metrics.features.inputs import MetricError, check_features
from hkd.metrics.protocols import IMPLEMENTATIONS, Facts, NumberProtocol, number_protocol, peer_distance
from hkd.metrics.scores.components import PARTS, Components
from hkd.metrics.scores.frechet import Frechet, frechet_from_features, frechet_from_rows
from hkd.metrics.scores.inception_score import inception_score
from hkd.metrics.scores.kid import kid, subset_kid
from hkd.metrics.scores.mind import describe, mind
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
from hkd.store import bounded
from hkd.store.large_arrays import slabs

Arrays = Mapping[str, np.ndarray]
ALIKE = 1e-6  # of the largest feature: a network gives one image other last digits in another batch


@dataclass(frozen=True)
class ExtractorFacts:
    """What identifies an extractor; see `protocols.Facts` for the fields."""

    name: str
    input_size: int
    dim: int
    digest: str
    value_map: str = "own"
    unproven: bool = False
    skill: float = 1.0
    reads: str = ""

    @classmethod
    def of(cls, extractor: Facts) -> ExtractorFacts:
        """Return the facts of an extractor."""
        return cls(**{field.name: getattr(extractor, field.name) for field in fields(cls)})


class FeatureSet:
    """Features of the generated or of the reference images, and their means and covariances, each computed once.

    Args:
        arrays: as `measure.sample_arrays` or `measure.reference_arrays` returns them.
        name: `sample` or `reference`, for messages.
    """

    def __init__(self, arrays: Arrays, name: str) -> None:
        self._arrays, self._name = arrays, name
        self._gaussians: dict[str, Gaussian] = {}

    def __getitem__(self, key: str) -> np.ndarray:
        if key not in self._arrays:
            stage = "reference" if self._name == "reference" else "features"
            raise MetricError(f"{self._name}: holds no '{key}'; it was made for other columns, run `hkd {stage}` again")
        return self._arrays[key]

    def get(self, key: str) -> np.ndarray | None:
        """Return the array of that name, or None where there is none."""
        return self._arrays.get(key)

    @cached_property
    def extractors(self) -> dict[str, ExtractorFacts]:
        """The extractors that were used, by their name in views."""
        try:
            eyes = bounded.check_fields(bounded.parse_json(str(self["eyes"]).encode()), {})
            return {key: ExtractorFacts(**about) for key, about in eyes.items()}
        except (bounded.Damaged, TypeError) as error:
            raise MetricError(f"{self._name}: its 'eyes' describe no networks ({error}); make it again") from None

    @property
    def n(self) -> int:
        """Number of images."""
        return int(self["n"])

    def rows(self, view: str, part: Part) -> np.ndarray:
        """Return the features (n, D) of a part of the images.

        Raises:
            MetricError: the view is missing, or see `check_features`.
        """
        features = check_features(self[view], name=f"{self._name} {view}")
        return features[part.start : part.start + part.n]

    def components(self, view: str) -> Components:
        """Return the principal components of a reference's view, as they were fitted with it."""
        return Components(self.n, *(np.array(self[f"{view}_{part}"]) for part in PARTS))

    def gaussian(self, view: str) -> Gaussian:
        """Return mean and covariance of a view: those stored, or else those of its features."""
        mean, covariance = self.get(f"{view}_mu"), self.get(f"{view}_sigma")
        if mean is not None and covariance is not None:
            return Gaussian(self.n, np.array(mean), np.array(covariance))  # aligned, which a mapped file need not be
        if view not in self._gaussians:
            self._gaussians[view] = gaussian_of(self[view], name=f"{self._name} {view}")
        return self._gaussians[view]


@dataclass(frozen=True)
class Part:
    """Consecutive images of a sample that are scored together: the first `n` of one of its ranges.

    Attributes:
        number: of the range, from 0.
        start: index of its first image in the whole sample.
    """

    number: int
    start: int
    n: int


def score(
    names: Sequence[str],
    sample: FeatureSet,
    reference: FeatureSet,
    *,
    sizes: Sequence[int] = (),
    ranges: int = 1,
    nominal: int | None = None,
    bar: float = 0.0,
) -> dict[str, Any]:
    """Return the named scores of a sample against a reference.

    Keys: metric (the name of the distance), scores, protocols (one per score), mean_term, trace_term, conditioning,
    n_generated, n_reference, extractor, extractor_digest, generated_digest, reference_digest, ranges. A score of the
    first n images of every range is `fid_own@n`, spread and minimum over the ranges `fid_own~sd` and `fid_own~min`.

    Args:
        sizes: smaller numbers of images at which scores that are made of features are measured too.
        ranges: disjoint, equally long parts of the sample, each scored by itself; a score is then their mean.
        nominal: number of images below which a score is an estimate.
        bar: skill of the network below which it is one too.
    Raises:
        MetricError: a reference of another extractor, a missing view, or fewer images than asked for.
    """
    _check_same_extractors(sample, reference)
    n = sample.n // ranges
    if any(size > n for size in sizes):
        raise MetricError(f"score of {max(sizes)} images: there are {n}; sample more, or compare at fewer")
    scorer = _Scorer(sample, reference)
    parts = [Part(number, number * n, n) for number in range(ranges)]
    found: dict[str, float] = {}
    protocols: dict[str, NumberProtocol] = {}
    for name in names:
        item = SCORES[name]
        values = [scorer.value(item, part) for part in parts]
        found[name] = float(np.mean(values))
        protocols[name] = _protocol(item, sample, reference, n, ranges)
        if item.base:  # a bootstrap is itself a spread: it has none over ranges, and no smaller sizes
            continue
        if ranges > 1:
            over = spread(values)
            found |= {of_ranges(name, "sd"): over.sd, of_ranges(name, "min"): over.minimum}
            protocols |= dict.fromkeys((of_ranges(name, "sd"), of_ranges(name, "min")), protocols[name])
        for size in sizes if item.view else ():
            first = [scorer.value(item, replace(part, n=size)) for part in parts]
            found[at(name, size)] = float(np.mean(first))
            protocols[at(name, size)] = replace(protocols[name], n_generated=size)
    rows = sample.rows("own_A", parts[0])
    distance = scorer.frechet("own_A", rows)
    alike = [f"all {n} generated images look the same to the network, so their covariance is 0"] if _alike(rows) else []
    own = sample.extractors["own"]
    return {
        "metric": own.name,
        "scores": found,
        **{key: getattr(distance, key) for key in ("mean_term", "trace_term")},
        "conditioning": asdict(distance.conditioning),
        "n_generated": n,
        "n_reference": reference.n,
        "ranges": ranges,
        "extractor": own.name,
        "extractor_digest": own.digest,
        "generated_digest": str(sample["images_digest"]),
        "reference_digest": str(reference["images_digest"]),
        "protocols": {
            key: protocol.as_dict() | {"estimate": alike + _doubts(sample, protocol, nominal, bar)}
            for key, protocol in protocols.items()
        },
    }


class _Scorer:
    """Values of single scores, of parts of one sample against one reference."""

    def __init__(self, sample: FeatureSet, reference: FeatureSet) -> None:
        self._sample, self._reference = sample, reference
        self._neighbours: dict[tuple[str, Part], Mapping[str, float]] = {}

    def value(self, item: Score, part: Part) -> float:
        """Return a score of a part of the sample, from its features or as it was stored beside them."""
        if item.kind in ("library", "network"):
            return float(np.atleast_1d(self._sample[f"number_{item.name}"])[part.number])
        if item.kind in NEIGHBOURS:
            return self._nearest(item.view, part)[item.kind]
        rows = self._sample.rows(item.view, part)
        if item.kind != "bootstrap":
            return self._of_features(item, rows)
        base = SCORES[item.base]
        # among rows drawn with replacement a row has itself for a neighbour, hence halves without
        resampled = half_sampling if base.kind in NEIGHBOURS else bootstrap
        return resampled(lambda drawn: self._of_features(base, drawn), rows).sd

    def frechet(self, view: str, rows: np.ndarray) -> Frechet:
        """Return our own distance of features (n, D) to the reference."""
        # a covariance of no more images than dimensions is singular: then the reference is compared row by row
        if self._reference.n > rows.shape[1]:
            return frechet_from_rows(rows, self._reference.gaussian(view))
        return frechet_from_features(rows, self._reference[view])

    def _of_features(self, item: Score, rows: np.ndarray) -> float:
        """Return a score of any features (n, D) of its view.

        Raises:
            KeyError: for a kind that is not made of features.
        """
        match item.kind:
            case "distance" if item.implementation == "hkd":
                return self.frechet(item.view, rows).distance
            case "distance":
                arithmetic = IMPLEMENTATIONS[item.implementation].arithmetic
                return peer_distance(rows, self._reference[item.view], arithmetic)
            case "components":
                return self._reference.components(item.view).frechet(rows).distance
            case "fdn":
                return self.frechet(item.view, rows).fdn
            case "infinity":
                return self._infinity(item.view, rows).value
            case "infinity_error":
                return self._infinity(item.view, rows).sd
            case "kid":
                return kid(rows, self._reference[item.view])
            case "subset_kid":
                known = self._reference[item.view]
                return subset_kid(rows, known, subset_size=min(1000, len(rows), len(known))).mean
            case "mind":
                return mind(rows, self._reference[item.view])
            case "inception_score":
                return inception_score(rows, splits=min(10, len(rows))).mean
            case "precision" | "recall" | "density" | "coverage":
                return self._neighbour_scores(item.view, rows)[item.kind]
        raise KeyError(item.kind)

    def _infinity(self, view: str, rows: np.ndarray) -> Extrapolation:
        return frechet_infinity(rows, lambda drawn: self.frechet(view, drawn).distance)

    def _nearest(self, view: str, part: Part) -> Mapping[str, float]:
        """Return the four scores of nearest neighbours of a part, computed once."""
        key = view, part
        if key not in self._neighbours:
            self._neighbours[key] = self._neighbour_scores(view, self._sample.rows(view, part))
        return self._neighbours[key]

    def _neighbour_scores(self, view: str, rows: np.ndarray) -> Mapping[str, float]:
        radii = self._reference.get(f"{view}_radii")
        return asdict(precision_recall(rows, self._reference[view], real_radii=radii))


def _protocol(item: Score, sample: FeatureSet, reference: FeatureSet, n: int, ranges: int) -> NumberProtocol:
    """Return the protocol of a score of n generated images, for each of so many ranges."""
    program = IMPLEMENTATIONS[item.implementation or "hkd"]
    if item.kind == "network":
        key, kind, layer = item.name, "none", "distance"
    elif item.view:
        key, kind, layer = split_view(item.view)
    else:  # a library's pass of its own
        key, kind, layer = "own", program.preprocessing, "features"
    extractor = sample.extractors[key]
    if item.view:  # a layer has its own dimension
        extractor = replace(extractor, dim=sample[item.view].shape[1])
    if "components" in (item.kind, SCORES[item.base or item.name].kind):
        fitted = reference.components(item.view)
        extractor = replace(extractor, dim=fitted.dim)
        layer = f"penultimate, on {fitted.dim} principal components of the reference ({fitted.digest()})"
    if item.kind == "mind":
        layer = f"penultimate, along {describe(extractor.dim)}, against as many rows of the reference"
    return number_protocol(
        program.name,
        kind,
        extractor,
        score=item.base or item.name,
        layer=layer,
        library=item.kind == "library",
        reference=(str(reference["images_digest"]), str(reference["split"])),
        n=(n, reference.n),
        ranges=ranges,
    )


def _alike(rows: np.ndarray) -> bool:
    """Return whether features (n, D) differ by rounding alone: those of copies of one image."""
    apart = max(np.abs(slab - rows[0]).max() for slab in slabs(rows))
    return bool(apart <= ALIKE * max(np.abs(slab).max() for slab in slabs(rows)))


def _doubts(sample: FeatureSet, protocol: NumberProtocol, nominal: int | None, bar: float) -> list[str]:
    """Return the reasons why a number is an estimate only: too few images, or a network that is not proven or weak."""
    # the full-sample estimator of KID has no bias that more dimensions would add to, and MIND needs no covariance
    dim = 0 if SCORES[protocol.score].kind in ("kid", "mind") else protocol.dim
    reasons = why_estimate(protocol.n_generated, protocol.n_reference, dim=dim, nominal=nominal)
    used = [facts for facts in sample.extractors.values() if facts.name == protocol.extractor]
    if any(facts.unproven for facts in used):
        reasons.append(f"extractor {protocol.extractor} is unproven on its published weights")
    weak = next((facts for facts in used if not facts.skill >= bar), None)
    if weak:
        reasons.append(weakness(weak.name, weak.skill, weak.reads, bar))
    return reasons


def weakness(name: str, skill: float, reads: str, bar: float) -> str:
    """Return the reason why numbers of a network below its bar are estimates, or nothing."""
    told = f"network {name} reads held-out {reads}, a share of {skill:.2f} below the bar of {bar:g}"
    return "" if skill >= bar else told


def _check_same_extractors(sample: FeatureSet, reference: FeatureSet) -> None:
    """Raise MetricError unless sample and reference were passed through the same extractors."""
    for key, facts in sample.extractors.items():
        if key in SCORES:  # a network of the sample alone
            continue
        known = reference.extractors.get(key)
        if known != facts:
            found = "absent" if known is None else f"{known.name}, weights {known.digest[:12]}"
            raise MetricError(
                f"reference: extractor '{key}' is {found}, the samples' is {facts.name}, weights {facts.digest[:12]};"
                " rebuild the reference"
            )
