"""One pass over the images, chunk by chunk, its features cached by the content of the chunk.

What is made of a chunk's features is the caller's: all of them held, or mean and covariance alone, with memory
constant in the number of images.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from hkd.metrics.features.extract import Extractor, extract_layers
from hkd.metrics.features.inputs import MetricError, check_features, check_images, images_digest
from hkd.store.artifacts import atomic_path

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
    """Yield the features of consecutive images, about CHUNK of them at a time: never those of all.

    Args:
        images: uint8 (N, 3, H, W) that `check_images` has passed; may be a file mapped into memory.
    Yields:
        Index of the first image of the chunk, and float32 (n, D) for each layer; 2 <= n.
    Raises:
        MetricError: see `extract_layers`.
    """
    look = extract_layers if cache is None else cache.layers
    size, start = batch * max(1, CHUNK // batch), 0
    while start < len(images):
        stop = len(images) if len(images) - start - size < 2 else start + size  # a single image is no set
        yield start, look(images[start:stop], extractor, preprocessing, layers, batch=batch, first=start)
        start = stop


class FeatureCache:
    """Features on disk, addressed by the bytes of the images, the weights of the network and how it is shown them.

    Nothing else decides what is found: neither file names nor the order of jobs. Entries carry a checksum; a damaged
    one is made anew. The folder can be deleted at any time.
    """

    def __init__(self, folder: str | Path, code: str = "") -> None:
        """Keep features in `folder`; those of another digest `code` of the code that makes them are not found."""
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
        """Return what `extract_layers` does, from the folder if all of it is there, else computed and stored."""
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
        """Return the features that a program makes in a pass of its own, from the folder if they are there."""
        path = self._path(images_digest(check_images(images)), extractor, program)
        found = self._read(path, len(images))
        if found is None:
            self._write(path, found := make())
        return found

    def _path(self, digest: str, extractor: Extractor, seen_as: str) -> Path:
        network = (extractor.name, extractor.digest, str(extractor.input_size), extractor.device)
        about = (digest, *network, seen_as, self._code)
        return self.folder / f"{hashlib.sha256(chr(31).join(about).encode()).hexdigest()}.npz"

    @staticmethod
    def _write(path: Path, features: np.ndarray) -> None:
        with atomic_path(path) as temporary, open(temporary, "wb") as file:
            np.savez(file, features=features)

    @staticmethod
    def _read(path: Path, n: int) -> np.ndarray | None:
        try:
            with np.load(path, allow_pickle=False) as file:
                features = check_features(file["features"])
        except (OSError, EOFError, ValueError, KeyError, BadZipFile):  # absent, damaged or no features: compute again
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
