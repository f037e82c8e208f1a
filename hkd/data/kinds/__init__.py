"""Kinds of data, one module each: where images come from.

A kind has `prepare(data, split, folder, name)`, which writes a split. One whose images have known factors has
`FACTORS`, `factors` and `render` besides, and one that can draw fresh images has `images`. One that reads
files has `READS`, and its `prepare` takes `skip_unreadable`.
"""

from __future__ import annotations

import importlib
from types import ModuleType


def kind(name: str) -> ModuleType:
    """Return the module of a kind, whose name the settings have checked."""
    return importlib.import_module(f"{__name__}.{name}")
