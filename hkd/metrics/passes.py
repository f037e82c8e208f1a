"""One pass over the images: every preprocessing class at once, into features or moments, cached by content.

Reading is the part that all implementations share. Images arrive as shards (arrays of any length, in order), each is
resized once per class, and what leaves is either all features or, with memory constant in n, their mean and covariance.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from hkd.artifacts import atomic_path
from hkd.metrics.extractor import Extractor, extract
from hkd.metrics.inputs import MetricError, check_features, check_images, images_digest
from hkd.metrics.moments import Gaussian, Moments


def stream_gaussians(
    shards: Iterable[np.ndarray],
    extractor: Extractor,
    classes: Sequence[str],
    *,
    batch: int = 64,
    claimed: int | None = None,
) -> dict[str, Gaussian]:
    """Return the float64 statistics of all images for each preprocessing class, holding one shard at a time.

    Args:
        shards: uint8 arrays (n, 3, H, W) in order.
        claimed: number of images that should arrive in total.
    Raises:
        MetricError: see `check_images` and `Moments.gaussian`.
    """
    moments = {name: Moments(extractor.dim) for name in classes}
    for shard in shards:
        for name, accumulator in moments.items():
            accumulator.add(extract(shard, extractor, name, batch=batch))
    return {name: accumulator.gaussian(claimed=claimed) for name, accumulator in moments.items()}


class FeatureCache:
    """Features on disk, addressed by the bytes of the images, the weights of the extractor and the class.

    Nothing else decides what is found: neither file names nor the order of jobs. A damaged entry is made anew.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)

    def features(
        self, images: np.ndarray, extractor: Extractor, preprocessing: str = "A", *, batch: int = 64
    ) -> np.ndarray:
        """Return float32 features (N, D), from the folder if they are there, else computed and stored."""
        path = self.path(images_digest(check_images(images)), extractor, preprocessing)
        held = self._read(path, len(images), extractor.dim)
        if held is not None:
            return held
        features = extract(images, extractor, preprocessing, batch=batch)
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(path) as temporary, open(temporary, "wb") as file:
            np.save(file, features)
        return features

    def path(self, digest: str, extractor: Extractor, preprocessing: str) -> Path:
        """Return where the features of images with this digest lie."""
        address = "\x1f".join((digest, extractor.name, extractor.digest, str(extractor.input_size), preprocessing))
        return self.folder / f"{hashlib.sha256(address.encode()).hexdigest()}.npy"

    @staticmethod
    def _read(path: Path, n: int, dim: int) -> np.ndarray | None:
        try:
            features = np.load(path, allow_pickle=False)
            check_features(features, dim=dim)
        except (OSError, EOFError, ValueError):  # absent, cut short, or not features: compute again
            return None
        return features if len(features) == n else None


def split_halves(images: np.ndarray, order: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return two disjoint halves of the images in the given order of indices, for real-against-real baselines.

    Raises:
        MetricError: for fewer than 4 images.
    """
    if len(order) < 4:
        raise MetricError(f"halves: {len(order)} images are too few to compare; give at least 4")
    middle = len(order) // 2
    return images[np.sort(order[:middle])], images[np.sort(order[middle : 2 * middle])]
