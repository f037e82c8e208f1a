"""LPIPS diversity: the mean perceptual distance between pairs of generated images, low when they look alike."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from hkd.metrics.inputs import MetricError, check_images
from hkd.metrics.weights import locate
from hkd.seeding import numpy_stream

Distance = Callable[[Tensor, Tensor], Tensor]  # two (B, 3, H, W) in [-1, 1] to (B,) or (B, 1, 1, 1)


@dataclass(frozen=True)
class Diversity:
    """Mean distance over random pairs, its standard error, and the number of pairs."""

    mean: float
    standard_error: float
    pairs: int


def diversity(
    images: np.ndarray, distance: Distance, *, pairs: int = 1000, seed: int = 0, batch: int = 64
) -> Diversity:
    """Return the mean `distance` between random pairs of different uint8 images (N, 3, H, W).

    Pairs are drawn by seed and do not depend on the batch size; images are handed over in [-1, 1].
    Raises:
        MetricError: see `check_images`; also for a distance that is not finite.
    """
    array = check_images(images)
    rng = numpy_stream(seed, "diversity-pairs", len(array))
    first = rng.integers(0, len(array), pairs)
    second = (first + rng.integers(1, len(array), pairs)) % len(array)
    values = []
    with torch.inference_mode():
        for start in range(0, pairs, batch):
            rows = slice(start, start + batch)
            values.append(distance(_unit(array[first[rows]]), _unit(array[second[rows]])).reshape(-1).cpu().numpy())
    found = np.concatenate(values).astype(np.float64)
    if found.shape != (pairs,) or not np.isfinite(found).all():
        raise MetricError(f"diversity: {pairs} pairs gave {found.shape} distances, some perhaps not finite; check it")
    return Diversity(float(found.mean()), float(found.std(ddof=1) / np.sqrt(pairs)), pairs)


def lpips_distance(network: str, directory: str | Path) -> Distance:
    """Return LPIPS v0.1 on the local backbone `lpips-{network}` of `directory`; nothing is downloaded.

    Args:
        network: alex or vgg.
    Raises:
        MetricError: for an absent or altered backbone file.
    """
    state = torch.load(locate(f"lpips-{network}", directory), map_location="cpu", weights_only=True)
    return lpips_with_backbone(network, state)


def lpips_with_backbone(network: str, state: dict[str, Tensor]) -> Distance:
    """Return LPIPS whose backbone takes the `features.*` tensors of a torchvision state dict, all of them.

    Raises:
        MetricError: if a tensor of the backbone is not in the state dict.
    """
    import lpips

    model = lpips.LPIPS(net=network, pnet_rand=True, verbose=False).eval()
    target = model.net.state_dict()
    source = {key.removeprefix("features."): value for key, value in state.items() if key.startswith("features.")}
    loaded = {}
    for key in target:
        match = re.fullmatch(r"slice\d+\.(.+)", key)
        if match is None or match.group(1) not in source:
            raise MetricError(f"LPIPS backbone: no tensor for '{key}'; the file is not torchvision's {network}")
        loaded[key] = source[match.group(1)]
    model.net.load_state_dict(loaded, strict=True)
    model.requires_grad_(False)
    return model


def _unit(images: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(images)).float() / 127.5 - 1.0
