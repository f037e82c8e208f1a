"""The distances of one set of samples: our own and each library's, on the same bytes, each with its protocol.

A reference is computed once (`reference_features`), stored as plain arrays, and used for every method.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from hkd.columns import at
from hkd.metrics.extractor import Extractor, extract
from hkd.metrics.frechet import frechet_from_features
from hkd.metrics.inputs import MetricError, check_images, images_digest
from hkd.metrics.libraries import WITNESSES
from hkd.metrics.preprocess import CLASSES
from hkd.metrics.protocols import IMPLEMENTATIONS, NumberProtocol, value_map_of, versions_of
from hkd.metrics.uncertainty import why_estimate

OWN_CLASSES = ("A", "C")  # torch-fidelity's and clean-fid's, so that each library's number has its twin
LIBRARIES = ("torch_fidelity", "clean_fid")
FID_DIGESTS = {"6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"}  # pt_inception-2015-12-05


def reference_features(
    images: np.ndarray,
    extractor: Extractor,
    *,
    libraries: Sequence[str] = LIBRARIES,
    own_classes: Sequence[str] = OWN_CLASSES,
    batch: int = 64,
) -> dict[str, np.ndarray]:
    """Return everything `measure` needs of the reference images, as arrays that fit an npz file.

    Keys: own_{class} (N, D) float32 features; {library}_mu, {library}_sigma; n, extractor, extractor_digest,
    images_digest.
    Raises:
        MetricError: see `check_images` and `check_features`.
        KeyError: for an unknown library or class.
    """
    images = check_images(images, name="reference images")
    check_name(extractor)
    out = {f"own_{name}": extract(images, extractor, name, batch=batch) for name in own_classes}
    for key in libraries:
        witness = WITNESSES[key]
        statistics = witness.statistics(witness.features(images, extractor, batch=batch))
        out |= {f"{key}_mu": statistics["mu"], f"{key}_sigma": statistics["sigma"]}
    return out | {
        "n": np.array(len(images)),
        "extractor": np.array(extractor.name),
        "extractor_digest": np.array(extractor.digest),
        "images_digest": np.array(images_digest(images)),
    }


def measure(
    generated: np.ndarray,
    reference: Mapping[str, np.ndarray],
    extractor: Extractor,
    *,
    libraries: Sequence[str] = LIBRARIES,
    own_classes: Sequence[str] = OWN_CLASSES,
    claimed: int | None = None,
    batch: int = 64,
    own_features: Mapping[str, np.ndarray] | None = None,
    sizes: Sequence[int] = (),
    nominal: int | None = None,
) -> dict[str, Any]:
    """Return the distances between uint8 images (N, 3, H, W) and a reference from `reference_features`.

    Keys: metric (the name of the number), scores (fid_own of class own_classes[0], fdn, fid_{library}, and the first
    two at each size as `fid_own@n`), protocols (one per score), fid_own_by_class, mean_term, trace_term,
    conditioning, n_generated, n_reference, extractor, extractor_digest, generated_digest, reference_digest.

    Args:
        claimed: number of images that the caller believes to hand over.
        own_features: features of the generated images by class, where an earlier stage stored them.
        sizes: smaller numbers of images, the first of the set, at which the distance is measured too.
        nominal: number of images below which a score is an estimate.
    Raises:
        MetricError: see `check_images`; also for a reference of another extractor, or one that lacks a library, and
            for a size above the number of images.
    """
    images = check_images(generated, name="generated images", claimed=claimed)
    metric = check_name(extractor)
    _check_reference(reference, extractor)
    features = own_features or {name: extract(images, extractor, name, batch=batch) for name in own_classes}
    own = {name: frechet_from_features(features[name], _entry(reference, f"own_{name}")) for name in own_classes}
    first = own[own_classes[0]]
    n = (len(images), int(reference["n"]))
    digest = str(reference["images_digest"])
    scores: dict[str, float] = {"fid_own": first.distance, "fdn": first.fdn}
    protocols = dict.fromkeys(scores, number_protocol("hkd", own_classes[0], extractor, digest, n))
    for size in sizes:
        if size > n[0]:
            raise MetricError(f"score of {size} images: there are {n[0]}; sample more, or compare at fewer")
        part = frechet_from_features(features[own_classes[0]][:size], _entry(reference, f"own_{own_classes[0]}"))
        scores |= {at("fid_own", size): part.distance, at("fdn", size): part.fdn}
        shared = replace(protocols["fid_own"], n_generated=size)
        protocols |= {at("fid_own", size): shared, at("fdn", size): shared}
    for key in libraries:
        witness = WITNESSES[key]
        kind = IMPLEMENTATIONS[witness.implementation].preprocessing
        side = {part: _entry(reference, f"{key}_{part}") for part in ("mu", "sigma")}
        statistics = witness.statistics(witness.features(images, extractor, batch=batch))
        scores[f"fid_{key}"] = witness.distance(statistics, side)
        protocols[f"fid_{key}"] = number_protocol(witness.implementation, kind, extractor, digest, n)
    return {
        "metric": metric,
        "scores": scores,
        "fid_own_by_class": {name: score.distance for name, score in own.items()},
        "mean_term": first.mean_term,
        "trace_term": first.trace_term,
        "conditioning": first.as_dict()["conditioning"],
        "n_generated": n[0],
        "n_reference": n[1],
        "extractor": extractor.name,
        "extractor_digest": extractor.digest,
        "generated_digest": images_digest(images),
        "reference_digest": digest,
        "protocols": {
            key: protocol.as_dict()
            | {"estimate": why_estimate(protocol.n_generated, n[1], dim=extractor.dim, nominal=nominal)}
            for key, protocol in protocols.items()
        },
    }


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


def number_protocol(
    implementation: str, preprocessing: str, extractor: Extractor, reference_digest: str, n: tuple[int, int]
) -> NumberProtocol:
    """Return the record of a number that `implementation` makes of these features."""
    item = IMPLEMENTATIONS[implementation]
    packages = ("numpy", "torch", *((item.package, "scipy", "pillow") if item.package else ()))
    return NumberProtocol(
        name=item.name,
        preprocessing=preprocessing,
        resize=f"{CLASSES[preprocessing].resize} to {extractor.input_size}",
        value_map=value_map_of(preprocessing, extractor.value_map),
        quantisation="uint8 as given",
        layer="pool3" if extractor.name == "FID" else "penultimate",
        dtype="float32 features",
        mean_dtype=item.arithmetic.mean_dtype,
        ddof=item.arithmetic.ddof,
        root=item.arithmetic.root,
        extractor=extractor.name,
        extractor_digest=extractor.digest,
        reference_digest=reference_digest,
        n_generated=n[0],
        n_reference=n[1],
        versions=versions_of(*packages),
    )


def _check_reference(reference: Mapping[str, np.ndarray], extractor: Extractor) -> None:
    for key, mine in (("extractor", extractor.name), ("extractor_digest", extractor.digest)):
        found = str(_entry(reference, key))
        if found != mine:
            raise MetricError(f"reference: {key} is {found[:40]}, the samples' is {mine[:40]}; rebuild the reference")


def _entry(reference: Mapping[str, np.ndarray], key: str) -> np.ndarray:
    if key not in reference:
        raise MetricError(f"reference: holds no '{key}'; rebuild it with the libraries and classes that are asked for")
    return reference[key]
