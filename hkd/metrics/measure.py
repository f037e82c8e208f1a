"""From images to stored features: the passes through extractors, and the numbers that libraries make themselves.

Images are resized once per preprocessing class and pass once through each extractor, which returns all of its layers,
chunk by chunk. The libraries get the same bytes in the same chunks. What grows with the number of images is their
features alone, and these lie in files where a folder is given for them (`scratch`). The result is plain arrays, from
which `scoring` makes numbers without a network.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from hkd.metrics.features.cache import FeatureCache, feature_chunks, spans
from hkd.metrics.features.extract import Extractor
from hkd.metrics.features.inputs import MetricError, check_images, images_digest
from hkd.metrics.features.libraries import LIBRARIES, Library
from hkd.metrics.protocols import IMPLEMENTATIONS, versions_of
from hkd.metrics.scores.components import principal_components
from hkd.metrics.scores.moments import Gaussian, Moments, gaussian_of
from hkd.metrics.scores.precision_recall import CONVENTIONS, neighbour_radii
from hkd.metrics.scoring import ExtractorFacts, FeatureSet, score
from hkd.settings.columns import COMPONENTS, FID_DIGESTS, NEIGHBOURS, SCORES, scores_of, split_view, views_of
from hkd.store.large_arrays import nameless_array

Extractors = Mapping[str, Extractor]
NetworkScores = Mapping[str, tuple[ExtractorFacts, Callable[[np.ndarray], float]]]
"""For every score of kind `network`, the facts of its network and the function that makes it of images."""


def reference_arrays(
    images: np.ndarray,
    extractors: Extractors,
    names: Sequence[str],
    *,
    split: str = "",
    cache: FeatureCache | None = None,
    batch: int = 64,
    scratch: Path | None = None,
) -> dict[str, np.ndarray]:
    """Return everything that the named scores need of the reference images, as arrays that fit an npz file.

    Keys: {view}_mu and {view}_sigma (float64) where distances of full rank are asked for, streamed over chunks of
    images; the views themselves where rows are compared with rows (see `_compared_by_rows`), and where there are no
    more images than dimensions; {view}_origin, {view}_axes, {view}_variances where distances on principal components
    are; {view}_radii where scores of nearest neighbours are asked for; {library}_mu, {library}_sigma; n, eyes (facts of
    the extractors), images_digest, split.

    Args:
        images: uint8 (N, 3, H, W); may be a file mapped into memory.
        extractors: by their name in views.
        scratch: folder for files without a name, in which features lie; without it they are in memory.
    Raises:
        MetricError: see `check_images` and `check_features`; also for copies of one image, for an extractor that is
            not given, and for fewer images than principal components need.
    """
    images = check_images(images, name="reference images")
    if all((image == images[0]).all() for image in images):
        raise MetricError(
            f"reference images: all {len(images)} are copies of one, and have no covariance; look at their source"
        )
    n, whole = len(images), _compared_by_rows(names)
    fitted = {SCORES[name].view for name in names if SCORES[_base(name)].implementation == "hkd"}
    out: dict[str, np.ndarray] = {}
    moments: dict[str, Moments] = {}
    for view, start, rows in _view_chunks(images, extractors, sorted(whole | fitted), cache, batch):
        # with more images than dimensions mean and covariance say all that a distance needs; with fewer, the rows
        # are the smaller and more exact statistic (see `frechet`)
        full_rank = n > rows.shape[1]
        if view in whole or not full_rank:
            _place(out, view, start, rows, n, scratch)
        if view in fitted and full_rank:
            moments.setdefault(view, Moments(rows.shape[1])).add(rows)
    for view, streamed in moments.items():
        gaussian = streamed.gaussian(claimed=n)
        out |= {f"{view}_mu": gaussian.mean, f"{view}_sigma": gaussian.covariance}
    for view in {SCORES[name].view for name in names if SCORES[_base(name)].kind == "components"}:
        side = Gaussian(n, out[f"{view}_mu"], out[f"{view}_sigma"]) if view in moments else gaussian_of(out[view])
        out |= {f"{view}_{part}": found for part, found in principal_components(side, COMPONENTS).arrays().items()}
    for view in {SCORES[name].view for name in names if SCORES[_base(name)].kind in NEIGHBOURS}:
        rows = out[view].astype(np.float64)
        rows -= rows.mean(axis=0)
        out[f"{view}_radii"] = neighbour_radii(rows, CONVENTIONS["prdc"].k)
    for key in _libraries(names):
        library = LIBRARIES[key]
        statistics = library.statistics(_library_features(library, images, extractors["own"], cache, batch, scratch))
        out |= {f"{key}_mu": statistics["mu"], f"{key}_sigma": statistics["sigma"]}
    return out | _identity(images, extractors, split)


def sample_arrays(
    images: np.ndarray,
    extractors: Extractors,
    names: Sequence[str],
    reference: Mapping[str, np.ndarray],
    *,
    ranges: int = 1,
    network_scores: NetworkScores | None = None,
    claimed: int | None = None,
    cache: FeatureCache | None = None,
    batch: int = 64,
    scratch: Path | None = None,
) -> dict[str, np.ndarray]:
    """Return everything that the named scores need of generated images: views, and the libraries' own numbers.

    Args:
        ranges: disjoint parts of the images; a library scores each by itself.
        network_scores: functions for the scores that need a network of their own.
        claimed: number of images that the caller believes to hand over.
        cache: features of earlier passes.
        scratch: as of `reference_arrays`.
    Raises:
        MetricError: see `check_images`; also for a reference that lacks a library.
    """
    images = check_images(images, name="generated images", claimed=claimed)
    out: dict[str, np.ndarray] = {}
    for view, start, rows in _view_chunks(images, extractors, views_of(names), cache, batch):
        _place(out, view, start, rows, len(images), scratch)
    n, reference_set = len(images) // ranges, FeatureSet(reference, "reference")
    parts = [images[k * n : (k + 1) * n] for k in range(ranges)]
    for key in _libraries(names):
        library = LIBRARIES[key]
        known = {part: np.array(reference_set[f"{key}_{part}"]) for part in ("mu", "sigma")}
        numbers = []
        for part in parts:
            features = _library_features(library, part, extractors["own"], cache, batch, scratch)
            numbers.append(library.distance(library.statistics(features), known))
        out[f"number_fid_{key}"] = np.array(numbers)
    given = network_scores or {}
    for name in names:
        if SCORES[name].kind == "network":
            if name not in given:
                raise MetricError(f"{name}: there is no network to make it with; leave the column out")
            _, function = given[name]
            out[f"number_{name}"] = np.array([function(part) for part in parts])
    return out | _identity(images, extractors, "", {name: facts for name, (facts, _) in given.items()})


def measure(
    generated: np.ndarray,
    reference: Mapping[str, np.ndarray],
    extractors: Extractors,
    columns: Sequence[str],
    *,
    sizes: Sequence[int] = (),
    ranges: int = 1,
    nominal: int | None = None,
    bar: float = 0.0,
    network_scores: NetworkScores | None = None,
    claimed: int | None = None,
    cache: FeatureCache | None = None,
    scratch: Path | None = None,
) -> dict[str, Any]:
    """Return the scores behind `columns` of generated images: `sample_arrays` and `scoring.score` in one."""
    names = scores_of(columns)
    arrays = sample_arrays(
        generated,
        extractors,
        names,
        reference,
        ranges=ranges,
        network_scores=network_scores,
        claimed=claimed,
        cache=cache,
        scratch=scratch,
    )
    sample, known = FeatureSet(arrays, "sample"), FeatureSet(reference, "reference")
    return score(names, sample, known, sizes=sizes, ranges=ranges, nominal=nominal, bar=bar)


def check_name(extractor: Extractor) -> str:
    """Return the name of the distance on these features: FID with the published weights only, FD-... otherwise.

    Raises:
        MetricError: for an extractor that calls itself FID without having those weights.
    """
    if extractor.name == "FID" and extractor.digest in FID_DIGESTS:
        return "FID"
    if not extractor.name.startswith("FD-"):
        raise MetricError(
            f"extractor '{extractor.name}': weights {extractor.digest[:12]} are not the published Inception's;"
            " name it 'FD-...', a number from it is no FID"
        )
    return extractor.name


def _compared_by_rows(names: Sequence[str]) -> set[str]:
    """Return the views of which all reference features are kept, which takes room in proportion to n.

    Kernels, sorted rows, nearest neighbours and the arithmetic of other programs need the rows themselves. `own_A` is
    always kept: quality bars and curves of training compare further sets with it.
    """
    of_rows = {"kid", "subset_kid", "mind", *NEIGHBOURS}
    items = [(SCORES[name].view, SCORES[_base(name)]) for name in names]
    found = {
        view
        for view, item in items
        if item.kind in of_rows or (item.kind == "distance" and item.implementation != "hkd")
    }
    return found | ({"own_A"} & {view for view, _ in items})


def _view_chunks(
    images: np.ndarray, extractors: Extractors, views: Sequence[str], cache: FeatureCache | None, batch: int
) -> Iterator[tuple[str, int, np.ndarray]]:
    """Yield view, index of the first image and features (n, D), chunk by chunk; one pass per extractor and class."""
    for extractor in extractors.values():
        check_name(extractor)
    passes: dict[tuple[str, str], list[str]] = {}
    for view in views:
        name, kind, _ = split_view(view)
        passes.setdefault((name, kind), []).append(view)
        if name not in extractors:
            raise MetricError(f"extractor '{name}': not given, but {view} needs it")
    for (name, kind), group in passes.items():
        layers = [split_view(view)[2] for view in group]
        for start, found in feature_chunks(images, extractors[name], kind, layers, cache=cache, batch=batch):
            for view, rows in zip(group, found, strict=True):
                yield view, start, rows


def _place(
    out: dict[str, np.ndarray], view: str, start: int, rows: np.ndarray, n: int, scratch: Path | None = None
) -> None:
    """Put the features of images `start` onwards in their place among those of all n."""
    if view not in out:
        shape = (n, rows.shape[1])
        out[view] = np.empty(shape, rows.dtype) if scratch is None else nameless_array(scratch, shape, rows.dtype)
    out[view][start : start + len(rows)] = rows


def _library_features(
    library: Library,
    images: np.ndarray,
    extractor: Extractor,
    cache: FeatureCache | None,
    batch: int,
    scratch: Path | None = None,
) -> np.ndarray:
    """Return the features that a library makes in a pass of its own, which sees a chunk of the images at a time."""
    program = f"{library.key} {versions_of(IMPLEMENTATIONS[library.implementation].package)}"
    found: dict[str, np.ndarray] = {}
    for start, stop in spans(len(images), batch):
        chunk = images[start:stop]
        make = partial(library.features, chunk, extractor, batch=batch)
        rows = make() if cache is None else cache.held(chunk, extractor, program, make)
        _place(found, library.key, start, rows, len(images), scratch)
    return found[library.key]


def _libraries(names: Sequence[str]) -> list[str]:
    """Return the keys in LIBRARIES of the scores that a library makes."""
    return [name.removeprefix("fid_") for name in names if SCORES[name].kind == "library"]


def _base(name: str) -> str:
    """Return the score whose spread a bootstrap is, or the score itself."""
    return SCORES[name].base or name


def _identity(
    images: np.ndarray, extractors: Extractors, split: str, others: Mapping[str, ExtractorFacts] | None = None
) -> dict[str, np.ndarray]:
    """Return what identifies images and extractors, as arrays; `others` are further networks of a sample."""
    facts = {key: asdict(ExtractorFacts.of(extractor)) for key, extractor in extractors.items()}
    facts |= {key: asdict(about) for key, about in (others or {}).items()}
    return {
        "n": np.array(len(images)),
        "eyes": np.array(json.dumps(facts, sort_keys=True)),
        "images_digest": np.array(images_digest(images)),
        "split": np.array(split),
    }
