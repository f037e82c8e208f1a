"""Markdown text of a table's view, aligned so that its source is readable too."""

from __future__ import annotations

from collections.abc import Sequence

from hkd.report.view import MISSING, View

LEFT = 2  # the first columns are words, the rest numbers


def markdown(shown: View) -> str:
    """Return the view as Markdown text: aligned columns, headings as bold rows, reasons and remarks as lists."""
    width = len(shown.headers)
    body: list[list[str]] = []
    for heading, rows in shown.sections:
        body += ([[f"**{heading}**", *[""] * (width - 1)]] if heading else []) + rows
    lines = [f"# {shown.title}", "", *shown.about, "", *aligned(shown.headers, body)]
    lines += _list("Why measured and printed numbers do not compare", shown.reasons)
    lines += _list("Remarks", shown.notes)
    return "\n".join(lines) + "\n"


def short(shown: View) -> str:
    """Return only the measured rows, without the columns that need the remarks below the whole table."""
    dropped = {"torch-fidelity", "clean-fid", "Printed FID", "Comparable", "Seeds"}
    kept = [k for k, header in enumerate(shown.headers) if header not in dropped and " at n = " not in header]
    seeds = shown.headers.index("Seeds")
    rows = [row for _, section in shown.sections for row in section if row[seeds] != MISSING]
    body = [[row[k].rstrip("⁰¹²³⁴⁵⁶⁷⁸⁹ ") for k in kept] for row in rows]
    headers = [shown.headers[k] for k in kept]
    return "\n".join(aligned(headers, body)) + "\n"


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
