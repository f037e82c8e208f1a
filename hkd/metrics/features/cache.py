"""One pass over the images, chunk by chunk, its features cached by the content of the chunk.

The caller decides what becomes of a chunk's features: it may keep all of them, or only mean and covariance, with memory
that does not grow with the number of images.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from hkd.metrics.features.extract import Extractor, extract_layers
from hkd.metrics.features.inputs import MetricError, check_features, images_digest
from hkd.store import bounded_arrays
from hkd.store.atomic import atomic_path

CHUNK = 1024  # images whose features are held at a time


def feature_chunks(
    images: np.ndarray,
    extractor: Extractor,
    preprocessing: str,
    layers: Sequence[str],
    *,
    cache: FeatureCache | None = None,
    batch: int = 64,
) -> Iterator[tuple[int, list[np.ndarray]]]:
    """Yield the features of consecutive images, about CHUNK of them at a time.

    Args:
        images: uint8 (N, 3, H, W) that `check_images` has passed; may be a file mapped into memory.
    Yields:
        Index of the first image of the chunk, and float32 (n, D) for each layer; 2 <= n.
    Raises:
        MetricError: see `extract_layers`.
    """
    look = extract_layers if cache is None else cache.layers
    for start, stop in spans(len(images), batch):
        yield start, look(images[start:stop], extractor, preprocessing, layers, batch=batch, first=start)


def spans(count: int, batch: int) -> Iterator[tuple[int, int]]:
    """Yield first and end of consecutive chunks of so many images.

    A chunk is a whole number of batches, so that chunks do not change which images share a batch.
    """
    size, start = batch * max(1, CHUNK // batch), 0
    while start < count:
        # a single last image would be refused as a set, so it joins the chunk before
        stop = count if count - start - size < 2 else start + size
        yield start, stop
        start = stop


class FeatureCache:
    """Features on disk, addressed by the bytes of the images, the weights of the extractor and the preprocessing.

    Neither file names nor the order of jobs decide which entry is found. An entry carries a checksum, and a damaged one
    is computed again. The folder can be deleted at any time.
    """

    def __init__(self, folder: str | Path, code: str = "") -> None:
        """Keep features in `folder`. Entries written by other code, whose digest is not `code`, are ignored."""
        self.folder, self._code = Path(folder), code

    def layers(
        self,
        images: np.ndarray,
        extractor: Extractor,
        preprocessing: str,
        layers: Sequence[str],
        *,
        batch: int = 64,
        first: int = 0,
    ) -> list[np.ndarray]:
        """Return the result of `extract_layers`: from the folder if all layers are there, else computed and stored."""
        digest = images_digest(images)
        paths = [self._path(digest, extractor, f"{preprocessing} {layer}") for layer in layers]
        held = [found for path in paths if (found := self._read(path, len(images))) is not None]
        if len(held) == len(paths):
            return held
        made = extract_layers(images, extractor, preprocessing, layers, batch=batch, first=first)
        for path, features in zip(paths, made, strict=True):
            self._write(path, features)
        return made

    def held(
        self, images: np.ndarray, extractor: Extractor, program: str, make: Callable[[], np.ndarray]
    ) -> np.ndarray:
        """Return the features that a library makes of a chunk in a pass of its own, from the folder if there."""
        path = self._path(images_digest(images), extractor, program)
        found = self._read(path, len(images))
        if found is None:
            self._write(path, found := make())
        return found

    def _path(self, digest: str, extractor: Extractor, seen_as: str) -> Path:
        network = (extractor.name, extractor.digest, str(extractor.input_size), extractor.device)
        about = (digest, *network, seen_as, self._code)
        # joined by a character that no part contains, so that two addresses never make one text
        return self.folder / f"{hashlib.sha256(chr(31).join(about).encode()).hexdigest()}.npz"

    @staticmethod
    def _write(path: Path, features: np.ndarray) -> None:
        with atomic_path(path) as temporary, open(temporary, "wb") as file:
            np.savez(file, features=features)

    @staticmethod
    def _read(path: Path, n: int) -> np.ndarray | None:
        try:
            features = check_features(bounded_arrays.read_npz(path)["features"])
        except (OSError, ValueError, KeyError):  # absent, damaged or not features: compute again
            return None
        return features if len(features) == n else None


def split_halves(images: np.ndarray, order: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return two disjoint halves of the images, in the given order of indices, to compare real images with real ones.

    Raises:
        MetricError: for fewer than 4 images.
    """
    if len(order) < 4:
        raise MetricError(f"halves: {len(order)} images are too few to compare; give at least 4")
    middle = len(order) // 2
    return images[np.sort(order[:middle])], images[np.sort(order[middle : 2 * middle])]
