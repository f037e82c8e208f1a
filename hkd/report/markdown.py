"""Markdown text of a table's view, aligned so that its source is readable too."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hkd.report.view import MISSING, PHOTOGRAPHS, View
from hkd.store.refusals import ArtifactError

LEFT = 2  # the first columns are words, the rest numbers
WIDTH = 120  # characters of a line; what is wider goes into a further table below, of the same rows
KEYS = ("Method", "NFE")  # columns that each of them has
# of the README
SHORT = ("Method", "Route", "NFE", "n", *PHOTOGRAPHS, "FDn", "Spread", "Training images", "Training, s")


def markdown(shown: View) -> str:
    """Return the view as Markdown text: aligned columns, headings as bold rows, reasons and remarks as lists.

    Columns that do not fit into `WIDTH` stand in further tables of the same rows.
    """
    width = len(shown.headers)
    body: list[list[str]] = []
    for heading, rows in shown.sections:
        body += ([[f"**{heading}**", *[""] * (width - 1)]] if heading else []) + rows
    lines = [f"# {shown.title}", "", *shown.about]
    for columns in _pages(shown.headers, body):
        left = sum(shown.headers[k] in ("Method", "Route") for k in columns)
        cells = [[row[k] for k in columns] for row in body]
        lines += ["", *aligned([shown.headers[k] for k in columns], cells, left)]
    lines += _list("Why measured and printed numbers do not compare", shown.reasons)
    lines += _list("Remarks", shown.notes)
    return "\n".join(lines) + "\n"


def _pages(headers: Sequence[str], body: Sequence[Sequence[str]]) -> list[list[int]]:
    """Return the columns of each table, as many as fit into its lines; the key columns lead every one."""
    widths = [max(len(line[k]) for line in (headers, *body)) + len(" | ") for k in range(len(headers))]
    keys = [k for k, header in enumerate(headers) if header in KEYS]
    pages: list[list[int]] = [[]]
    for k in range(len(headers)):
        if sum(widths[c] for c in (*pages[-1], k)) + 1 > WIDTH and len(pages[-1]) > len(keys):
            pages.append(list(keys))
        if k not in pages[-1]:
            pages[-1].append(k)
    return pages


def short(shown: View) -> str:
    """Return only the rows with numbers, in the columns that need none of the remarks below the whole table."""
    kept = [k for k, header in enumerate(shown.headers) if header in SHORT]
    told = shown.headers.index("FDn" if "FDn" in shown.headers else "Seeds")
    rows = [row for _, section in shown.sections for row in section if row[told] != MISSING]
    body = [[row[k].rstrip("⁰¹²³⁴⁵⁶⁷⁸⁹ ") for k in kept] for row in rows]
    headers = [shown.headers[k] for k in kept]
    return "\n".join(aligned(headers, body)) + "\n"


def between(file: Path, section: str, text: str) -> str:
    """Return what a page says with a section's lines replaced.

    Raises:
        ArtifactError: the page has no such section.
    """
    opening, closing = f"<!-- {section}:start -->\n", f"<!-- {section}:end -->"
    before, start, rest = file.read_text(encoding="utf-8").partition(opening)
    _, end, after = rest.partition(closing)
    if not (start and end):
        raise ArtifactError(f"{file}: has no lines '{opening.strip()}' and '{closing}' to write between")
    return f"{before}{start}{text}{end}{after}"


def aligned(headers: Sequence[str], body: Sequence[Sequence[str]], left: int = LEFT) -> list[str]:
    """Return the lines of a table whose first `left` columns are words, and the rest numbers."""
    # a rule of a colon alone would be no rule, and the text no table
    widths = [max(2, *(len(line[k]) for line in (headers, *body))) for k in range(len(headers))]
    rule = [f":{'-' * (w - 1)}" if k < left else f"{'-' * (w - 1)}:" for k, w in enumerate(widths)]
    return [_row(cells, widths, left) for cells in (headers, rule, *body)]


def _row(cells: Sequence[str], widths: Sequence[int], left: int) -> str:
    padded = [c.ljust(w) if k < left else c.rjust(w) for k, (c, w) in enumerate(zip(cells, widths, strict=True))]
    return f"| {' | '.join(padded)} |"


def _list(title: str, items: list[str]) -> list[str]:
    return ["", f"**{title}**", "", *(f"- {item}" for item in items)] if items else []
