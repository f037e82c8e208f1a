"""What the difference between edits at several times says of the time of an edit."""

from __future__ import annotations

from typing import Final

ROUNDING: Final = 1e-3
"""Largest difference between times, over the largest change that the edit makes, that rounding explains."""
VOID, MATTERS, NO_EDIT = "void", "matters", "nothing is edited"


def verdict(difference: float, change: float) -> str:
    """Return whether the time of an edit is void, from the largest difference between times and the edit's change."""
    if not change:
        return NO_EDIT
    return VOID if difference <= ROUNDING * change else MATTERS
