"""Readers on damaged copies of their files: each reads them, or refuses them in one line of its own error.

How many copies a test reads stands in its name, and whether it compares what it read with the good value: see
`tests/trust.py`, which counts them, and `tests/conftest.py`, which holds every test to its name.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.mutations import mutations, seen

COUNTS = [
    pytest.param(500, id="500-read"),
    pytest.param(20_000, id="20000-read", marks=pytest.mark.slow),
]
# of tests that compare every value that was read with the good one: of files whose bytes a checksum covers
COMPARED = [
    pytest.param(500, id="500-same"),
    pytest.param(20_000, id="20000-same", marks=pytest.mark.slow),
]
Errors = type[Exception] | tuple[type[Exception], ...]
Same = Callable[[Any], object] | None


def refused(path: Path, read: Callable[[], object], count: int, error: Errors, same: Same = None) -> int:
    """Read `count` damaged copies of a file in its place and put it back; return how many were refused.

    Anything but `error`, one of more than one line, or a value that is not the `same` fails the test.
    """
    content = path.read_bytes()

    def changed(copy: bytes) -> object:
        path.write_bytes(copy)
        return read()

    try:
        return tried(content, changed, count, error, same)
    finally:
        path.write_bytes(content)


def tried(
    content: bytes, read: Callable[[bytes], object], count: int, error: Errors, same: Same = None, seed: int = 0
) -> int:
    """Give `count` damaged copies of a content to a reader of bytes; return how many it refused, as `refused` does."""
    found = 0
    for number, copy in enumerate(mutations(content, count, seed)):
        try:
            value = read(copy)
        except error as reason:
            assert len(str(reason).splitlines()) == 1, f"mutation {number}: {reason}"
            found += 1
        except Exception as reason:
            raise AssertionError(f"mutation {number}: {reason!r}") from reason
        else:
            assert same is None or same(value), f"mutation {number}: read as {value!r}"
    seen["compared"] += count if same else 0
    return found
