"""Imports that no import of the file itself reaches, in programs within tests, in benchmarks and in docs, exist."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
WRITTEN = re.compile(r"^\s*(?:>>> )?from (hkd[\w.]*) import ([\w, ]+)$", re.MULTILINE)
MADE_UP = {"tests/plan/test_code.py", "tests/settings/test_signatures.py"}  # packages of their own
FILES = [
    path
    for pattern in ("tests/**/*.py", "benchmarks/*.py", "docs/*.md", "README.md", "CHANGELOG.md")
    for path in sorted(ROOT.glob(pattern))
    if str(path.relative_to(ROOT)) not in MADE_UP
]


def absent(module: str, name: str) -> bool:
    if hasattr(importlib.import_module(module), name):
        return False
    try:
        importlib.import_module(f"{module}.{name}")
    except ModuleNotFoundError:
        return True
    return False


@pytest.mark.parametrize("folder", ["tests", "benchmarks", "docs", ""])
def test_what_is_imported_in_a_text_exists(folder):
    lost = []
    for path in FILES:
        parts = path.relative_to(ROOT).parts
        if (parts[0] if len(parts) > 1 else "") != folder:
            continue
        for module, names in WRITTEN.findall(path.read_text()):
            words = [name.split(" as ")[0].strip() for name in names.split(",") if name.strip()]
            lost += [f"{path.relative_to(ROOT)}: {module}.{word}" for word in words if absent(module, word)]
    assert not lost
