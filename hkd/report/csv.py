"""CSV text of tables that are lists of mappings."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any


def to_csv(lines: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> str:
    """Return lines, mappings from column to value, as CSV text with a header."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return text.getvalue()
