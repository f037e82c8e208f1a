"""A small convolutional extractor of fixed size and two sets of coloured images that it tells apart."""

from __future__ import annotations

import socket

import numpy as np
import pytest
import torch

from hkd.metrics.extractor import FunctionExtractor, state_digest
from hkd.seeding import numpy_stream, stream


def tiny_extractor(dim: int = 16, size: int = 24) -> FunctionExtractor:
    generator = stream(0, "tiny-extractor")
    first = torch.randn(12, 3, 5, 5, generator=generator) / 75**0.5
    second = torch.randn(dim, 12, 3, 3, generator=generator) / 108**0.5

    def features(levels: torch.Tensor) -> torch.Tensor:
        hidden = torch.relu(torch.nn.functional.conv2d(levels / 127.5 - 1.0, first, stride=2))
        return torch.relu(torch.nn.functional.conv2d(hidden, second, stride=2)).mean(dim=(2, 3))

    return FunctionExtractor("FD-tiny", size, dim, state_digest({"first": first, "second": second}), features)


def blobs(n: int, resolution: int = 16, index: int = 0) -> np.ndarray:
    """Smooth random images with a hard-edged square, so that every resize shows."""
    rng = numpy_stream(11, "blobs", index)
    y, x = np.mgrid[0:resolution, 0:resolution] / resolution
    phase, tilt, colour = rng.uniform(0, 6, (n, 3, 1, 1)), rng.uniform(-3, 3, (n, 1, 1, 2)), rng.uniform(0, 1, (n, 3))
    waves = 127.5 + 100 * np.sin(6 * (tilt[..., 0] * x + tilt[..., 1] * y)[:, None] + phase)
    corner = rng.integers(0, resolution // 2, (n, 2))
    for image, (top, left), shade in zip(waves, corner, colour, strict=True):
        image[:, top : top + resolution // 3, left : left + resolution // 3] = 255 * shade[:, None, None]
    return np.clip(waves + 20 * index, 0, 255).astype(np.uint8)


@pytest.fixture(scope="session")
def extractor() -> FunctionExtractor:
    return tiny_extractor()


@pytest.fixture(scope="session")
def generated() -> np.ndarray:
    return blobs(203, index=1)


@pytest.fixture(scope="session")
def real() -> np.ndarray:
    return blobs(301)


@pytest.fixture(scope="session")
def photos() -> np.ndarray:
    return blobs(4, resolution=32)


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither our code nor a library may look for anything outside this machine."""

    def refuse(self: socket.socket, address: object) -> None:
        raise AssertionError(f"a metric opened a connection to {address}")

    monkeypatch.setattr(socket.socket, "connect", refuse)
