"""A small convolutional extractor of fixed size, and pieces of a photograph."""

from __future__ import annotations

import numpy as np
import torch
from matplotlib.cbook import get_sample_data
from PIL import Image

from hkd.metrics.features.extract import FunctionExtractor, state_digest
from hkd.seeding import numpy_stream, stream


def tiny_extractor(dim: int = 16, size: int = 24) -> FunctionExtractor:
    generator = stream(0, "tiny-extractor")
    first = torch.randn(12, 3, 5, 5, generator=generator) / 75**0.5
    second = torch.randn(dim, 12, 3, 3, generator=generator) / 108**0.5

    def features(levels: torch.Tensor) -> torch.Tensor:
        hidden = torch.relu(torch.nn.functional.conv2d(levels / 127.5 - 1.0, first, stride=2))
        return torch.relu(torch.nn.functional.conv2d(hidden, second, stride=2)).mean(dim=(2, 3))

    return FunctionExtractor("FD-tiny", size, dim, state_digest({"first": first, "second": second}), features)


def patches(n: int, index: int, resolution: int = 16) -> np.ndarray:
    """Different crops (n, 3, H, W) of a photograph that comes with matplotlib, at half its size."""
    with Image.open(get_sample_data("grace_hopper.jpg", asfileobj=False)) as file:
        photograph = np.asarray(file.convert("RGB").reduce(2)).transpose(2, 0, 1)
    height, width = (side - resolution for side in photograph.shape[1:])
    corners = numpy_stream(11, "patches", index).choice(height * width, n, replace=False)
    found = [
        photograph[:, y : y + resolution, x : x + resolution] for y, x in zip(*divmod(corners, width), strict=True)
    ]
    return np.stack(found)
