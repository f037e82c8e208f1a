"""Results folders with planted values."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.studies.comparison.tree import Tree


@pytest.fixture
def tree(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Tree]:
    """Make a results folder: `tree("paper", seeds=3)`."""
    monkeypatch.chdir(root)
    monkeypatch.delenv("HKD_BENCHMARK", raising=False)

    def make(scale: str = "paper", seeds: int = 1, **overrides: Any) -> Tree:
        return Tree(tmp_path / "results", scale, seeds, **overrides)

    return make
