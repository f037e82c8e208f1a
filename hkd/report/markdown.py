"""Markdown text of a table's view, aligned so that its source is readable too."""

from __future__ import annotations

from hkd.report.view import MISSING, View

LEFT = 2  # the first columns are words, the rest numbers


def markdown(shown: View) -> str:
    """Return the view as Markdown text: aligned columns, headings as bold rows, reasons and remarks as lists."""
    width = len(shown.headers)
    body: list[list[str]] = []
    for heading, rows in shown.sections:
        body += ([[f"**{heading}**", *[""] * (width - 1)]] if heading else []) + rows
    widths = [max(len(line[k]) for line in (shown.headers, *body)) for k in range(width)]
    rule = [f":{'-' * (w - 1)}" if k < LEFT else f"{'-' * (w - 1)}:" for k, w in enumerate(widths)]
    lines = [f"# {shown.title}", "", *shown.about, ""]
    lines += [_row(cells, widths) for cells in (shown.headers, rule, *body)]
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
    widths = [max(len(line[k]) for line in (headers, *body)) for k in range(len(kept))]
    rule = [f":{'-' * (w - 1)}" if k < LEFT else f"{'-' * (w - 1)}:" for k, w in enumerate(widths)]
    return "\n".join(_row(cells, widths) for cells in (headers, rule, *body)) + "\n"


def _row(cells: list[str], widths: list[int]) -> str:
    padded = [c.ljust(w) if k < LEFT else c.rjust(w) for k, (c, w) in enumerate(zip(cells, widths, strict=True))]
    return f"| {' | '.join(padded)} |"


def _list(title: str, items: list[str]) -> list[str]:
    return ["", f"**{title}**", "", *(f"- {item}" for item in items)] if items else []
