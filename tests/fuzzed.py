"""Readers on damaged copies of their files: each reads them, or refuses them in one line of its own error."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.mutations import mutations

COUNTS = [500, pytest.param(20_000, marks=pytest.mark.slow)]
Errors = type[Exception] | tuple[type[Exception], ...]


def refused(path: Path, read: Callable[[], object], count: int, error: Errors) -> int:
    """Read `count` damaged copies of a file in its place and put it back; return how many were refused.

    Anything but `error`, or one of more than one line, fails the test.
    """
    content, found = path.read_bytes(), 0
    try:
        for number, changed in enumerate(mutations(content, count)):
            path.write_bytes(changed)
            try:
                read()
            except error as reason:
                assert len(str(reason).splitlines()) == 1, f"mutation {number}: {reason}"
                found += 1
            except Exception as reason:
                raise AssertionError(f"mutation {number} of {path.name}: {reason!r}") from reason
    finally:
        path.write_bytes(content)
    return found
