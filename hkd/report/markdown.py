"""Markdown text of a table's view, aligned so that its source is readable too."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from hkd.report.view import COSTS, MISSING, PHOTOGRAPHS, View
from hkd.store.refusals import ArtifactError

LEFT = 2  # the first columns are words, the rest numbers
WIDTH = 120  # characters of a line; what is wider goes into a further table below, of the same rows
WORDS = ("Method", "Route")
KEYS = ("Method", "NFE", "n")  # columns that each of them has
BESIDE = ("Spread",)  # columns that never leave the one before them: they say something of it
# of the README
SHORT = ("Method", "Route", "NFE", "n", *PHOTOGRAPHS, "FDn", "Spread", "Training images", *COSTS)


def markdown(shown: View) -> str:
    """Return the view as Markdown text: aligned columns, headings as bold rows, reasons and remarks as lists.

    Columns that do not fit into `WIDTH` stand in further tables of the same rows.
    """
    body: list[list[str]] = []
    for heading, rows in shown.sections:
        body += ([[f"**{heading}**", *[""] * (len(shown.headers) - 1)]] if heading else []) + rows
    lines = [f"# {shown.title}", "", *shown.about, "", *_of_a_view(shown.headers, body)]
    lines += _list("Why measured and printed numbers do not compare", shown.reasons)
    lines += _list("Remarks", shown.notes)
    return "\n".join(lines) + "\n"


def fitted(
    headers: Sequence[str],
    body: Sequence[Sequence[str]],
    *,
    left: int = LEFT,
    keys: Collection[int] = (),
    beside: Collection[int] = (),
) -> list[str]:
    """Return the lines of a table, in several tables of the same rows where it is wider than `WIDTH`.

    Args:
        left: how many of the first columns are words; the rest are numbers.
        keys: positions of the columns that lead each of the tables; by default the first ones that tell the rows apart.
        beside: positions of columns that stand in the table of the column before them, as far as they fit.
    """
    lines: list[str] = []
    for columns in _parts(headers, body, keys or _telling(body), beside):
        cells = [[row[k] for k in columns] for row in body]
        heads = [headers[k] for k in columns]
        lines += ["", *aligned(heads, cells, sum(k < left for k in columns))]
    return lines[1:]


def _telling(body: Sequence[Sequence[str]]) -> range:
    """Return the fewest of the first columns in which no two rows are the same; one where there are none such."""
    width = len(body[0]) if body else 1
    return next((range(k) for k in range(1, width) if len({tuple(row[:k]) for row in body}) == len(body)), range(1))


def _parts(
    headers: Sequence[str], body: Sequence[Sequence[str]], keys: Collection[int], beside: Collection[int]
) -> list[list[int]]:
    """Return the columns of each table, as many as fit into its lines; the key columns lead every one."""
    widths = [max(2, *(len(line[k]) for line in (headers, *body))) + len(" | ") for k in range(len(headers))]

    def fit(columns: Iterable[int]) -> bool:
        return sum(widths[k] for k in {*keys, *columns}) + 1 <= WIDTH

    together: list[list[int]] = []
    for k in range(len(headers)):
        if k in beside and together and fit([*together[-1], k]):
            together[-1].append(k)
        else:
            together.append([k])
    parts: list[list[int]] = [[]]
    for columns in together:
        if not fit([*parts[-1], *columns]) and len(parts[-1]) > len(keys):
            parts.append(sorted(keys))
        parts[-1] += [k for k in columns if k not in parts[-1]]
    return parts


def _of_a_view(headers: Sequence[str], body: Sequence[Sequence[str]]) -> list[str]:
    words, keys, beside = ([k for k, head in enumerate(headers) if head in names] for names in (WORDS, KEYS, BESIDE))
    return fitted(headers, body, left=len(words), keys=keys, beside=beside)


def short(shown: View) -> str:
    """Return only the rows with numbers, in the columns that need none of the remarks below the whole table."""
    kept = [k for k, header in enumerate(shown.headers) if header in SHORT]
    told = shown.headers.index("FDn" if "FDn" in shown.headers else "Seeds")
    rows = [row for _, section in shown.sections for row in section if row[told] != MISSING]
    body = [[row[k].rstrip("⁰¹²³⁴⁵⁶⁷⁸⁹ ") for k in kept] for row in rows]
    headers = [shown.headers[k] for k in kept]
    return "\n".join([*_of_a_view(headers, body), *(["", *shown.teachers] if shown.teachers else [])]) + "\n"


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
