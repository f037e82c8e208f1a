"""The rows of tables: what a paper printed, and the run that answers it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One row of a table: what a paper printed, and the run that answers it (None: no such run yet)."""

    category: str
    label: str
    nfe: int
    method: str | None
    fid: float | None
    note: str = ""
