"""A small extractor and two sets of pieces of a photograph that it distinguishes."""

from __future__ import annotations

import socket

import numpy as np
import pytest

from hkd.metrics.features.extract import FunctionExtractor
from tests.metrics.stand_ins import patches, tiny_extractor


@pytest.fixture(scope="session")
def extractor() -> FunctionExtractor:
    return tiny_extractor()


@pytest.fixture(scope="session")
def generated() -> np.ndarray:
    """Other crops than the real ones, 20 levels lighter."""
    return np.minimum(patches(203, 1).astype(np.int64) + 20, 255).astype(np.uint8)


@pytest.fixture(scope="session")
def real() -> np.ndarray:
    return patches(301, 0)


@pytest.fixture(scope="session")
def photos() -> np.ndarray:
    return patches(4, 2, resolution=32)


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither our code nor a library may look for anything outside this machine."""

    def refuse(self: socket.socket, address: object) -> None:
        raise AssertionError(f"a metric opened a connection to {address}")

    monkeypatch.setattr(socket.socket, "connect", refuse)
