"""The device that the GPU tests run on, what they leave, and tiny bases of the right kind."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from hkd.compute import settle
from hkd.settings.numerics import Compute
from tests.gpu.report import Report
from tests.methods.conftest import base_weights as base_weights
from tests.methods.conftest import build as build


@pytest.fixture(scope="session")
def device() -> torch.device:
    """The first GPU; without one the test is skipped and says so."""
    if not torch.cuda.is_available():
        pytest.skip("no GPU here: torch finds none")
    return torch.device("cuda:0")


@pytest.fixture(scope="session")
def report(device: torch.device) -> Iterator[Report]:
    """Where facts are noted; written to $HKD_GPU_OUT, or to gpu-probe/, after the last test."""
    made = Report(device)
    yield made
    for path in made.write(Path(os.environ.get("HKD_GPU_OUT", "gpu-probe"))):
        print(f"written: {path}")


@pytest.fixture(autouse=True)
def float32() -> Iterator[None]:
    """Float32 before every test, whatever the one before has asked for."""
    settle(Compute(), torch.device("cuda" if torch.cuda.is_available() else "cpu"))
    yield
    settle(Compute(), torch.device("cpu"))
