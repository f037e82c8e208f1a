"""Reference statistics of published files, and their distance to those built here (`measure.reference_arrays`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hkd.metrics.features.inputs import MetricError
from hkd.metrics.scores.frechet import Frechet, frechet
from hkd.metrics.scores.moments import Gaussian
from hkd.metrics.scoring import FeatureSet
from hkd.store import bounded, bounded_arrays

STATISTICS_BYTES = 4 << 30  # a covariance of 16,000 dimensions in float64 has half of it
LARGEST = 16_384  # dimensions: whether a covariance is one takes a third of their cube in operations
NEGATIVE = 1e-6  # choice: of the largest row sum; eigenvalues below its negative are no rounding, not even of float32
# preprocessing class of the features of each layout of file
PUBLISHED_LAYOUTS = {"edm": "A", "ttur": "A", "adm": "A", "clean-fid": "C"}


@dataclass(frozen=True)
class Reference:
    """Statistics of reference images and where they come from; `n` 0 and empty texts where a file does not say.

    Attributes:
        preprocessing: class A to E.
        split: which images of the data set, for instance `train`.
        digest: of the images (built) or of the file's name (published).
    """

    gaussian: Gaussian
    preprocessing: str
    extractor: str
    extractor_digest: str
    split: str
    digest: str


@dataclass(frozen=True)
class ReferenceDistance:
    """How far a built reference is from a published one, and what may explain it."""

    frechet: Frechet
    largest_mean_difference: float
    same_class: bool


def load_reference(path: str | Path, *, layout: str | None = None, dim: int | None = None) -> Reference:
    """Return the statistics of an npz file: EDM's or TTUR's (mu, sigma), clean-fid's, or ADM's.

    Args:
        layout: a key of PUBLISHED_LAYOUTS; None recognises clean-fid's file names and takes EDM's otherwise.
        dim: expected feature dimension.
    Raises:
        MetricError: for an unreadable file, missing arrays, or arrays that cannot be a mean and a covariance.
    """
    path = Path(path)
    arrays = _read_npz(path)
    missing = [key for key in ("mu", "sigma") if key not in arrays]
    if missing:
        hint = "KID features, not FID statistics" if "feats" in arrays else f"it holds {', '.join(arrays) or 'nothing'}"
        raise MetricError(f"{path}: no {' and no '.join(missing)} ({hint}); give a file with mu and sigma")
    if odd := [key for key in ("mu", "sigma", "n") if key in arrays and arrays[key].dtype.kind not in "fiu"]:
        raise MetricError(f"{path}: {odd[0]} holds {arrays[odd[0]].dtype}, no real numbers; fetch or build it again")
    mean, covariance = (np.asarray(arrays[key], dtype=np.float64) for key in ("mu", "sigma"))
    _check(path, mean, covariance, dim)
    gaussian = Gaussian(_count(path, arrays.get("n")), mean, covariance)
    kind = PUBLISHED_LAYOUTS[layout] if layout else _class_of_name(path.name)
    split = next((part for part in ("train", "test", "val") if part in path.stem.lower()), "")
    return Reference(gaussian, kind, "FID" if len(mean) == 2048 else "", "", split, path.name)


def reference_distance(built: Reference, published: Reference) -> ReferenceDistance:
    """Return the distance between two references, the second taken as the true one.

    Raises:
        MetricError: for references of different dimensions.
    """
    score = frechet(built.gaussian, published.gaussian)
    gap = float(np.abs(built.gaussian.mean - published.gaussian.mean).max())
    return ReferenceDistance(score, gap, built.preprocessing == published.preprocessing)


def built_reference(side: FeatureSet, kind: str) -> Reference:
    """Return the statistics of a reference that was built here, as the preprocessing class `kind` sees its images."""
    own = side.extractors["own"]
    return Reference(
        side.gaussian(f"own_{kind}"), kind, own.name, own.digest, str(side["split"]), str(side["images_digest"])
    )


def held_against(side: FeatureSet, path: Path, *, layout: str | None, within: float) -> dict[str, Any]:
    """Return how far a reference that was built here is from published statistics, as facts of its record.

    Raises:
        MetricError: the file cannot be used, or lies farther than `within` from what was built: it is of other images.
    """
    published = load_reference(path, layout=layout, dim=side.extractors["own"].dim)
    built = built_reference(side, published.preprocessing)
    found = reference_distance(built, published)
    if not found.frechet.distance <= within:
        raise MetricError(
            f"{path}: {found.frechet.distance:.4g} from the {built.gaussian.n:,} images that were prepared, where "
            f"{within:g} is the most; it is of other images or another network: name the right file, or raise `within`"
        )
    largest = found.largest_mean_difference
    return {"file": path.name, "distance": found.frechet.distance, "fdn": found.frechet.fdn, "largest_mean": largest}


def _class_of_name(name: str) -> str:
    """Return the preprocessing class of a file: clean-fid writes its mode into the name, all others use A."""
    lower = name.lower()
    if "_legacy_pytorch" in lower:
        return "B"
    return "C" if "_clean_" in lower else "A"


def _read_npz(path: Path) -> Mapping[str, np.ndarray]:
    if not path.is_file():
        raise MetricError(f"{path}: no such reference; build one from the data set, or copy the published file there")
    if path.suffix != ".npz":
        raise MetricError(f"{path}: only npz references are read; pickled ones can run code, convert them elsewhere")
    seen: list[str] = []

    def wanted(name: str) -> bool:
        # the features themselves are not read: ADM's `arr_0` holds images, clean-fid's `feats` a whole data set
        seen.append(name)
        return name not in ("arr_0", "feats")

    try:
        arrays = bounded_arrays.read_npz(path, most=STATISTICS_BYTES, wanted=wanted)
    except bounded.Damaged as error:
        raise MetricError(f"{path}: not a readable npz file ({error}); fetch or build it again") from error
    return arrays | ({"feats": np.zeros(0)} if "feats" in seen else {})


def _count(path: Path, n: np.ndarray | None) -> int:
    if n is None:
        return 0
    if n.size != 1 or not 0 <= n.item() < 2**53:
        raise MetricError(f"{path}: n is no number of images; fetch or build it again")
    return int(n.item())


def _check(path: Path, mean: np.ndarray, covariance: np.ndarray, dim: int | None) -> None:
    if mean.ndim != 1 or not len(mean) or covariance.shape != (len(mean), len(mean)):
        raise MetricError(
            f"{path}: mu {mean.shape} and sigma {covariance.shape} do not belong together; fetch it again"
        )
    if dim is not None and len(mean) != dim:
        raise MetricError(f"{path}: dimension {len(mean)} where {dim} is due; it is of another extractor or layer")
    if len(mean) > LARGEST:
        raise MetricError(f"{path}: dimension {len(mean)}, above {LARGEST}; no feature network here has so many")
    if not (np.isfinite(mean).all() and np.isfinite(covariance).all()):
        raise MetricError(f"{path}: holds NaN or infinity; fetch or build it again")
    scale = float(np.abs(covariance).max())
    if np.abs(covariance - covariance.T).max() > 1e-6 * scale or (np.diagonal(covariance) < -1e-6 * scale).any():
        raise MetricError(f"{path}: sigma is no covariance (asymmetric or of negative variance); fetch it again")
    if _indefinite(covariance):
        raise MetricError(f"{path}: sigma is no covariance (it has negative eigenvalues); fetch or build it again")


def _indefinite(covariance: np.ndarray) -> bool:
    """Return whether a symmetric matrix has eigenvalues below zero by more than rounding leaves there.

    With as much added to its diagonal as rounding could have taken, it has a Cholesky factor, which costs a third of
    its eigenvalues: 0.2 CPU-s at 2,048 dimensions (measured).
    """
    allowed = NEGATIVE * float(np.abs(covariance).sum(axis=1).max())  # no eigenvalue is above the largest row sum
    shifted = covariance.copy()
    shifted[np.diag_indices_from(shifted)] += allowed
    try:
        np.linalg.cholesky(shifted)
    except np.linalg.LinAlgError:
        return allowed > 0.0  # all zeros are copies of one image, which the distance refuses
    return False
