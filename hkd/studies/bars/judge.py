"""Compare measured values with the limits of quality bars."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

COLUMNS = ("bar", "title", "value", "relation", "limit", "met")


@dataclass(frozen=True)
class Bar:
    """A value that must be `at_most` or `at_least` a limit, which is a number or the name of another value."""

    name: str
    title: str
    value: str
    at_most: float | str | None = None
    at_least: float | str | None = None
    times: float = 1.0


def judge(bars: Sequence[Bar], values: Mapping[str, float]) -> list[dict[str, Any]]:
    """Return one line per bar, with `COLUMNS`; `met` is yes or no.

    Raises:
        KeyError: a bar asks for a value that is not among `values`.
    """
    lines = []
    for bar in bars:
        upper = bar.at_most is not None
        asked = bar.at_most if upper else bar.at_least
        limit = bar.times * (values[asked] if isinstance(asked, str) else float(asked or 0.0))
        value = values[bar.value]
        met = value <= limit if upper else value >= limit
        relation = "at most" if upper else "at least"
        cells = (bar.name, bar.title, f"{value:.6g}", relation, f"{limit:.6g}", "yes" if met else "no")
        lines.append(dict(zip(COLUMNS, cells, strict=True)))
    return lines
