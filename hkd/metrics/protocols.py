"""Published implementations of FID as data, and the record that every number carries.

An implementation is a preprocessing class, an extractor and an arithmetic. One feature pass per class serves all
implementations of that class; the arithmetics differ by a mean in float32, a divisor n, or an offset inside the root,
and `peer_distance` reproduces each, so that a difference between two programs can be explained and not just seen.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Protocol

import numpy as np

from hkd.metrics.features.inputs import check_features
from hkd.metrics.features.preprocess import CLASSES
from hkd.metrics.scores.frechet import frechet_from_statistics


@dataclass(frozen=True)
class Arithmetic:
    """What an implementation does between features and number.

    Attributes:
        mean_dtype: float32 where the features are averaged as they come, float64 otherwise.
        ddof: covariance divisor n - ddof.
        offset: added to both diagonals inside the root only, which biases the distance low.
        root: exact here; `eigvals` (of the product) and `sqrtm` are the published ways to the same trace.
    """

    mean_dtype: str = "float64"
    ddof: int = 1
    offset: float = 0.0
    root: str = "exact"


@dataclass(frozen=True)
class Implementation:
    """One published protocol: preprocessing class, arithmetic, and the package that can compute it itself, if any."""

    name: str
    preprocessing: str
    arithmetic: Arithmetic
    package: str = ""


# Classes A to E are those of `features.preprocess`; the arithmetic is that of each program's code (docs/protocols.md).
IMPLEMENTATIONS: dict[str, Implementation] = {
    item.name: item
    for item in (
        Implementation("hkd", "A", Arithmetic()),
        Implementation("torch-fidelity", "A", Arithmetic("float32", root="eigvals"), "torch-fidelity"),
        Implementation("clean-fid", "C", Arithmetic("float32", root="sqrtm"), "clean-fid"),
        Implementation("clean-fid-legacy-pytorch", "B", Arithmetic("float32", root="sqrtm"), "clean-fid"),
        Implementation("clean-fid-legacy-tensorflow", "A", Arithmetic("float32", root="sqrtm"), "clean-fid"),
        Implementation("pytorch-fid", "B", Arithmetic(root="sqrtm"), "pytorch-fid"),
        Implementation("pytorch-fid-offset", "B", Arithmetic(offset=1e-6, root="sqrtm"), "pytorch-fid"),
        Implementation("edm", "A", Arithmetic(root="sqrtm")),
        Implementation("stylegan2-ada", "A", Arithmetic(ddof=0, root="sqrtm")),
        Implementation("adm", "A", Arithmetic("float32", root="sqrtm")),
        Implementation("torchmetrics", "E", Arithmetic(root="eigvals")),
        Implementation("dgm-eval", "B", Arithmetic(root="sqrtm")),
        Implementation("dgm-eval-clean", "D", Arithmetic(root="sqrtm")),
        Implementation("image-generation-metrics", "B", Arithmetic(root="sqrtm")),
    )
}


@dataclass(frozen=True)
class NumberProtocol:
    """The conditions under which a number was computed: only numbers of equal protocol may share a table column.

    Attributes:
        name: of the published program whose protocol it is.
        score: what is measured.
        computed_by: the library itself, or hkd in its place.
        ranges: disjoint, equally long parts of a sample over which it is the mean, standard deviation or minimum.
    """

    name: str
    score: str
    computed_by: str
    preprocessing: str
    resize: str
    value_map: str
    quantisation: str
    layer: str
    dtype: str
    mean_dtype: str
    ddof: int
    root: str
    extractor: str
    extractor_digest: str
    dim: int
    reference_digest: str
    reference_split: str
    n_generated: int
    n_reference: int
    ranges: int
    versions: tuple[tuple[str, str], ...]

    def as_dict(self) -> dict[str, object]:
        """Return the protocol as plain values, as a metrics file stores it."""
        return {**asdict(self), "versions": dict(self.versions)}


def versions_of(*packages: str) -> tuple[tuple[str, str], ...]:
    """Return (package, installed version) pairs; `absent` where a package is not installed."""
    found = []
    for package in packages:
        try:
            found.append((package, version(package)))
        except PackageNotFoundError:
            found.append((package, "absent"))
    return tuple(found)


def needed_classes(names: list[str]) -> list[str]:
    """Return the preprocessing classes that serve the named implementations: one feature pass each.

    Raises:
        KeyError: for a name that is not in IMPLEMENTATIONS.
    """
    return sorted({IMPLEMENTATIONS[name].preprocessing for name in names})


class Facts(Protocol):
    """The properties of an extractor that a protocol records.

    Attributes:
        name: what the distance on its features is called, for instance `FD-factor-cnn`.
        input_size: side in pixels to which every image is resized.
        dim: length D of a feature vector.
        digest: SHA-256 of the weights.
        value_map: `own` if the network scales levels itself in its own way; `class` if it applies (z - 128) / 128
            and wants levels such that this is the value map of the preprocessing class.
        unproven: never yet run on the weights that its publisher distributes.
        skill: of a network trained here, the share that it reads of what guessing leaves; `reads` says it in words.
    """

    @property
    def name(self) -> str: ...
    @property
    def input_size(self) -> int: ...
    @property
    def dim(self) -> int: ...
    @property
    def digest(self) -> str: ...
    @property
    def value_map(self) -> str: ...
    @property
    def unproven(self) -> bool: ...
    @property
    def skill(self) -> float: ...
    @property
    def reads(self) -> str: ...


def number_protocol(
    implementation: str,
    preprocessing: str,
    extractor: Facts,
    *,
    score: str,
    layer: str,
    library: bool,
    reference: tuple[str, str],
    n: tuple[int, int],
    ranges: int = 1,
) -> NumberProtocol:
    """Return the protocol of a number that `implementation`, or hkd in its place, makes of these features.

    Args:
        reference: digest of the reference images, and their split.
        n: numbers of generated and of reference images.
        ranges: see `NumberProtocol`.
    """
    item = IMPLEMENTATIONS[implementation]
    packages = ("numpy", "torch", *((item.package, "scipy", "pillow") if library else ("scipy",)))
    return NumberProtocol(
        name=item.name,
        score=score,
        computed_by=item.package if library else "hkd",
        preprocessing=preprocessing,
        resize="none" if preprocessing == "none" else f"{CLASSES[preprocessing].resize} to {extractor.input_size}",
        value_map=value_map_of(preprocessing, extractor.value_map),
        quantisation="uint8 as given",
        layer={"features": "pool3", "logits": "logits_unbiased"}.get(layer, layer)
        if extractor.name == "FID"
        else {"features": "penultimate"}.get(layer, layer),
        dtype="float32 features",
        mean_dtype=item.arithmetic.mean_dtype,
        ddof=item.arithmetic.ddof,
        root=item.arithmetic.root if library else "exact",
        extractor=extractor.name,
        extractor_digest=extractor.digest,
        dim=extractor.dim,
        reference_digest=reference[0],
        reference_split=reference[1],
        n_generated=n[0],
        n_reference=n[1],
        ranges=ranges,
        versions=versions_of(*packages),
    )


def value_map_of(preprocessing: str, extractor_map: str) -> str:
    """Return the value map as text: the class's, unless the extractor scales levels in its own way."""
    if preprocessing == "none":
        return "(x - 127.5) / 127.5"
    centre = CLASSES[preprocessing].centre
    return f"(x - {centre:g}) / {centre:g}" if extractor_map == "class" else "the extractor's own"


def peer_distance(
    generated: np.ndarray, reference: np.ndarray, arithmetic: Arithmetic, *, literal: bool = False
) -> float:
    """Return the distance as the implementation with this arithmetic would report it on the given features.

    Args:
        literal: take the trace from the eigenvalues of the non-symmetric product, rounding errors included, instead
            of exactly; slow at 2048 dimensions.
    """
    x = check_features(generated, name="generated features")
    y = check_features(reference, name="reference features", dim=x.shape[1])
    (mean1, cov1), (mean2, cov2) = (peer_statistics(side, arithmetic) for side in (x, y))
    difference = mean1 - mean2
    mean_term = float(difference.dot(difference))
    traces = float(np.trace(cov1) + np.trace(cov2))
    offset = arithmetic.offset * np.eye(len(cov1))  # inside the root only, as pytorch-fid adds it
    if literal:
        root = float(np.sqrt(np.linalg.eigvals((cov1 + offset) @ (cov2 + offset)).astype(complex)).real.sum())
        return mean_term + traces - 2.0 * root
    # the trace term of the shifted covariances is that of the given ones plus 2 offset D, which is taken off again
    zero = np.zeros(len(cov1))
    shifted = frechet_from_statistics(zero, cov1 + offset, zero, cov2 + offset)
    return mean_term + shifted.trace_term - 2.0 * arithmetic.offset * len(cov1)


def peer_statistics(features: np.ndarray, arithmetic: Arithmetic) -> tuple[np.ndarray, np.ndarray]:
    """Return (mean, covariance) as this arithmetic forms them; the mean keeps its dtype, as the libraries do."""
    # of a mapped file some lie at odd places, where numpy may add in another order
    rows = np.require(features, requirements="A") if arithmetic.mean_dtype == "float32" else features.astype(np.float64)
    return np.mean(rows, axis=0), np.cov(rows, rowvar=False, ddof=arithmetic.ddof)
