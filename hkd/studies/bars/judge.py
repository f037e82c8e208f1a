"""Compare measured values with the limits of quality bars."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hkd.studies.bars.plan import Bar

COLUMNS = ("bar", "title", "value", "relation", "limit", "met")


def judge(bars: Mapping[str, Bar], values: Mapping[str, float]) -> list[dict[str, Any]]:
    """Return one line per bar, with `COLUMNS`; `met` is yes or no.

    Raises:
        KeyError: a bar asks for a value that is not among `values`.
    """
    lines = []
    for name, bar in bars.items():
        upper = bar.at_most is not None
        asked = bar.at_most if upper else bar.at_least
        limit = bar.times * (values[asked] if isinstance(asked, str) else float(asked or 0.0))
        value = values[bar.value]
        met = value <= limit if upper else value >= limit
        relation = "at most" if upper else "at least"
        cells = (name, bar.title, f"{value:.6g}", relation, f"{limit:.6g}", "yes" if met else "no")
        lines.append(dict(zip(COLUMNS, cells, strict=True)))
    return lines


def summary(lines: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the table as lines for a terminal."""
    return [f"{line['met']:4} {line['title']}: {line['value']} ({line['relation']} {line['limit']})" for line in lines]
