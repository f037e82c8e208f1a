"""What needs the feature networks: views of images, and the numbers of programs that insist on their own pass.

Images are resized once per preprocessing class and seen once by each network, whose layers all come of one pass, chunk
by chunk. The libraries get the same bytes, all at once. What leaves is plain arrays, from which `scoring` makes numbers
without a network.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from hkd.metrics.features.cache import FeatureCache, feature_chunks
from hkd.metrics.features.extract import Extractor
from hkd.metrics.features.inputs import MetricError, check_images, images_digest
from hkd.metrics.features.libraries import WITNESSES, Witness
from hkd.metrics.protocols import IMPLEMENTATIONS, versions_of
from hkd.metrics.scores.moments import Moments
from hkd.metrics.scores.precision_recall import CONVENTIONS, centred, neighbour_radii
from hkd.metrics.scoring import Eye, Side, score
from hkd.settings.columns import FID_DIGESTS, NEIGHBOURS, SCORES, scores_of, split_view, views_of

Eyes = Mapping[str, Extractor]
Beside = Mapping[str, tuple[Eye, Callable[[np.ndarray], float]]]  # `network` score: its network, function of images


def reference_arrays(
    images: np.ndarray,
    eyes: Eyes,
    names: Sequence[str],
    *,
    split: str = "",
    cache: FeatureCache | None = None,
    batch: int = 64,
) -> dict[str, np.ndarray]:
    """Return everything that the named scores need of the reference images, as arrays that fit an npz file.

    Keys: {view}_mu and {view}_sigma (float64) where distances of full rank are asked for, streamed over chunks of
    images; the views themselves where rows are compared with rows (see `_compared_by_rows`), and where there are no
    more images than dimensions; {view}_radii where scores of nearest neighbours are asked for; {library}_mu,
    {library}_sigma; n, eyes, images_digest, split.
    Args:
        images: uint8 (N, 3, H, W); may be a file mapped into memory.
    Raises:
        MetricError: see `check_images` and `check_features`; also for an eye that is not given.
    """
    images = check_images(images, name="reference images")
    n, whole = len(images), _compared_by_rows(names)
    fitted = {SCORES[name].view for name in names if SCORES[_base(name)].implementation == "hkd"}
    out: dict[str, np.ndarray] = {}
    moments: dict[str, Moments] = {}
    for view, start, rows in _passed(images, eyes, sorted(whole | fitted), cache, batch):
        full_rank = n > rows.shape[1]
        if view in whole or not full_rank:
            _hold(out, view, start, rows, n)
        if view in fitted and full_rank:
            moments.setdefault(view, Moments(rows.shape[1])).add(rows)
    for view, streamed in moments.items():
        gaussian = streamed.gaussian(claimed=n)
        out |= {f"{view}_mu": gaussian.mean, f"{view}_sigma": gaussian.covariance}
    for view in {SCORES[name].view for name in names if SCORES[_base(name)].kind in NEIGHBOURS}:
        rows = out[view].astype(np.float64)
        out[f"{view}_radii"] = neighbour_radii(centred(rows, rows), CONVENTIONS["prdc"].k)
    for key in _libraries(names):
        witness = WITNESSES[key]
        statistics = witness.statistics(_seen(witness, images, eyes["own"], cache, batch))
        out |= {f"{key}_mu": statistics["mu"], f"{key}_sigma": statistics["sigma"]}
    return out | _about(images, eyes, split)


def sample_arrays(
    images: np.ndarray,
    eyes: Eyes,
    names: Sequence[str],
    reference: Mapping[str, np.ndarray],
    *,
    ranges: int = 1,
    beside: Beside | None = None,
    claimed: int | None = None,
    cache: FeatureCache | None = None,
    batch: int = 64,
) -> dict[str, np.ndarray]:
    """Return everything that the named scores need of generated images: views, and the libraries' own numbers.

    Args:
        ranges: disjoint parts of the images; a library scores each by itself.
        beside: how scores that need a network of their own are made of images.
        claimed: number of images that the caller believes to hand over.
        cache: where features are looked for before a network is asked.
    Raises:
        MetricError: see `check_images`; also for a reference that lacks a library.
    """
    images = check_images(images, name="generated images", claimed=claimed)
    out: dict[str, np.ndarray] = {}
    for view, start, rows in _passed(images, eyes, views_of(names), cache, batch):
        _hold(out, view, start, rows, len(images))
    n, side = len(images) // ranges, Side(reference, "reference")
    parts = [images[k * n : (k + 1) * n] for k in range(ranges)]
    for key in _libraries(names):
        witness = WITNESSES[key]
        known = {part: side[f"{key}_{part}"] for part in ("mu", "sigma")}
        found = [witness.statistics(_seen(witness, part, eyes["own"], cache, batch)) for part in parts]
        out[f"number_fid_{key}"] = np.array([witness.distance(statistics, known) for statistics in found])
    for name in names:
        if SCORES[name].kind == "network":
            if name not in (beside or {}):
                raise MetricError(f"{name}: there is no network to make it with; leave the column out")
            out[f"number_{name}"] = np.array([(beside or {})[name][1](part) for part in parts])
    return out | _about(images, eyes, "", {name: facts for name, (facts, _) in (beside or {}).items()})


def measure(
    generated: np.ndarray,
    reference: Mapping[str, np.ndarray],
    eyes: Eyes,
    columns: Sequence[str],
    *,
    sizes: Sequence[int] = (),
    ranges: int = 1,
    nominal: int | None = None,
    beside: Beside | None = None,
    claimed: int | None = None,
    cache: FeatureCache | None = None,
) -> dict[str, Any]:
    """Return the scores behind `columns` of generated images, pass and numbers in one; see `scoring.score`."""
    names = scores_of(columns)
    arrays = sample_arrays(
        generated, eyes, names, reference, ranges=ranges, beside=beside, claimed=claimed, cache=cache
    )
    sides = Side(arrays, "sample"), Side(reference, "reference")
    return score(names, *sides, sizes=sizes, ranges=ranges, nominal=nominal)


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
    """Return the views of which all reference features are kept, which takes memory in proportion to n.

    Kernels, nearest neighbours and other programs' arithmetics are made of rows. `own_A` is always kept: quality bars
    and curves of training compare further sets with it.
    """
    of_rows = {"kid", "subset_kid", *NEIGHBOURS}
    items = [(SCORES[name].view, SCORES[_base(name)]) for name in names]
    found = {
        v for v, item in items if item.kind in of_rows or (item.kind == "distance" and item.implementation != "hkd")
    }
    return found | ({"own_A"} & {view for view, _ in items})


def _passed(
    images: np.ndarray, eyes: Eyes, views: Sequence[str], cache: FeatureCache | None, batch: int
) -> Iterator[tuple[str, int, np.ndarray]]:
    """Yield view, index of the first image and features (n, D), chunk by chunk; one pass per network and class."""
    for extractor in eyes.values():
        check_name(extractor)
    passes: dict[tuple[str, str], list[str]] = {}
    for view in views:
        eye, kind, _ = split_view(view)
        passes.setdefault((eye, kind), []).append(view)
        if eye not in eyes:
            raise MetricError(f"extractor '{eye}': not given, but {view} needs it")
    for (eye, kind), group in passes.items():
        layers = [split_view(view)[2] for view in group]
        for start, found in feature_chunks(images, eyes[eye], kind, layers, cache=cache, batch=batch):
            for view, rows in zip(group, found, strict=True):
                yield view, start, rows


def _hold(out: dict[str, np.ndarray], view: str, start: int, rows: np.ndarray, n: int) -> None:
    """Put the features of images `start` onwards in their place among those of all n."""
    if view not in out:
        out[view] = np.empty((n, rows.shape[1]), rows.dtype)
    out[view][start : start + len(rows)] = rows


def _seen(
    witness: Witness, images: np.ndarray, extractor: Extractor, cache: FeatureCache | None, batch: int
) -> np.ndarray:
    """Return the features that a library makes in a pass of its own."""

    def make() -> np.ndarray:
        return witness.features(images, extractor, batch=batch)

    if cache is None:
        return make()
    package = IMPLEMENTATIONS[witness.implementation].package
    return cache.held(images, extractor, f"{witness.key} {versions_of(package)}", make)


def _libraries(names: Sequence[str]) -> list[str]:
    return [name.removeprefix("fid_") for name in names if SCORES[name].kind == "library"]


def _base(name: str) -> str:
    return SCORES[name].base or name


def _about(
    images: np.ndarray, eyes: Eyes, split: str, others: Mapping[str, Eye] | None = None
) -> dict[str, np.ndarray]:
    facts = {key: asdict(Eye.of(extractor)) for key, extractor in eyes.items()}
    facts |= {key: asdict(eye) for key, eye in (others or {}).items()}
    return {
        "n": np.array(len(images)),
        "eyes": np.array(json.dumps(facts, sort_keys=True)),
        "images_digest": np.array(images_digest(images)),
        "split": np.array(split),
    }
