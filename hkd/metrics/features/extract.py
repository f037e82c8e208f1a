"""Extractors: feature networks as the metrics use them, and the pass that turns images into features.

An extractor maps levels in [0, 255] at its own fixed size to one vector per image. The Fréchet distance on its features
has the extractor's name: `FID` is reserved for the published Inception weights, all others are called `FD-...`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from hkd.metrics.features.inputs import MetricError, check_features, check_images
from hkd.metrics.features.preprocess import CLASSES, Preprocessing
from hkd.metrics.protocols import Facts


@runtime_checkable
class Extractor(Facts, Protocol):
    """A feature network with the properties that identify it (`Facts`).

    Attributes:
        device: where its weights are.
    """

    @property
    def device(self) -> str: ...

    def __call__(self, levels: Tensor) -> Tensor:
        """Return features (B, D) of levels in [0, 255], float32 (B, 3, input_size, input_size)."""
        ...

    def layers(self, levels: Tensor) -> Mapping[str, Tensor]:
        """Return `features`, and where the network has them `logits` and `spatial`, each (B, its dimension)."""
        ...


@dataclass(frozen=True)
class FunctionExtractor:
    """An extractor made of any function of levels, such as the penultimate layer of a small CNN.

    `further` returns all layers of one pass, of which `features` equals what `function` returns.
    """

    name: str
    input_size: int
    dim: int
    digest: str
    function: Callable[[Tensor], Tensor]
    value_map: str = "own"
    device: str = "cpu"
    unproven: bool = False
    skill: float = 1.0
    reads: str = ""
    further: Callable[[Tensor], Mapping[str, Tensor]] | None = None

    def __call__(self, levels: Tensor) -> Tensor:
        return self.function(levels)

    def layers(self, levels: Tensor) -> Mapping[str, Tensor]:
        """Return all layers of one pass: features, and logits and spatial where the network has them."""
        return {"features": self.function(levels)} if self.further is None else self.further(levels)


def extract(
    images: np.ndarray, extractor: Extractor, preprocessing: str | Preprocessing = "A", *, batch: int = 64
) -> np.ndarray:
    """Return float32 features (N, D) of uint8 images (N, 3, H, W), in order.

    Args:
        preprocessing: class A to E of `preprocess`, by name or as an object.
    Raises:
        MetricError: for images that are not bytes, features that are not finite or not of the extractor's dimension.
    """
    return extract_layers(check_images(images), extractor, preprocessing, ["features"], batch=batch)[0]


def extract_layers(
    images: np.ndarray,
    extractor: Extractor,
    preprocessing: str | Preprocessing,
    layers: Sequence[str],
    *,
    batch: int = 64,
    first: int = 0,
) -> list[np.ndarray]:
    """Return float32 (N, D) for each of the named layers, all of one pass.

    Args:
        images: uint8 (N, 3, H, W), a set or a part of one that `check_images` has passed; N >= 2.
        first: index within the set of the first of them, for messages.
    Raises:
        MetricError: for features that are not finite or not of the extractor's dimension, and for a layer that the
            network has not.
    """
    kind = CLASSES[preprocessing] if isinstance(preprocessing, str) else preprocessing
    found: list[list[np.ndarray]] = [[] for _ in layers]
    with torch.inference_mode(), full_float32():
        for start in range(0, len(images), batch):
            part = torch.from_numpy(np.array(images[start : start + batch], order="C")).to(extractor.device)
            levels = kind(part, extractor.input_size)
            if list(layers) == ["features"]:
                found[0].append(features_of_levels(extractor, levels, kind))
                continue
            seen = extractor.layers(_shown(extractor, levels, kind))
            for rows, layer in zip(found, layers, strict=True):
                if layer not in seen:
                    raise MetricError(f"{extractor.name}: has no {layer}, only {', '.join(seen)}; leave the column out")
                rows.append(seen[layer].detach().to("cpu", torch.float32).numpy())
    part_of = f" from image {first} on" if first else ""
    return [
        check_features(np.concatenate(rows), name=f"{extractor.name} {layer}{part_of}")
        for rows, layer in zip(found, layers, strict=True)
    ]


def features_of_levels(extractor: Extractor, levels: Tensor, kind: Preprocessing) -> np.ndarray:
    """Return float32 features (B, D) of resized levels under the value map of the class.

    Raises:
        MetricError: if the extractor returns another shape than it declares.
    """
    vectors = extractor(_shown(extractor, levels.to(extractor.device), kind))
    if vectors.shape != (len(levels), extractor.dim):
        raise MetricError(
            f"{extractor.name}: declares {extractor.dim} dimensions, returned {tuple(vectors.shape)}; fix its `dim`"
        )
    return vectors.detach().to("cpu", torch.float32).numpy()


def _shown(extractor: Extractor, levels: Tensor, kind: Preprocessing) -> Tensor:
    """Return the levels that give the extractor the value map of the class, unless it has its own."""
    return kind.levels_at_128(levels) if extractor.value_map == "class" else levels


def state_digest(state: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 of a state dict: names, types, shapes and bytes in the order of the names."""
    digest = hashlib.sha256()
    for name in sorted(state):
        array = np.ascontiguousarray(state[name].detach().cpu().numpy())
        digest.update(f"{name}\x1f{array.dtype.str}\x1f{array.shape}\x1e".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


@contextmanager
def full_float32() -> Iterator[None]:
    """Switch TF32 off in convolutions and products: it changes features by more than implementations differ."""
    matmul, cudnn = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = matmul, cudnn
