"""The findings as text: a page's sections are made of result files, and an order is told only where it is resolved.

A section is a template beside its result file. What stands between double braces in it is measured:

    {{table.row.column .2f}}            a value, with its spread where it has one; `.mean` after it leaves that out
    {{about.commit}}                    a fact about the measurement
    {{order table.column .2f: a < b}}   what the interval says of two rows, in words that it carries
    {{ordered table.column: a < b < c}} whether a whole order is resolved
    {{titles table: column = value}}    the titles of the rows with a value, and {{count ...}} their number
    {{table name: Heading = column .2f; ...}}   the rows of a table

The rest of a template states no decimals, percentages or spreads, and compares nothing: such a sentence is refused.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from itertools import pairwise
from pathlib import Path
from typing import Final

from hkd.report.collect import ReportError
from hkd.report.markdown import fitted
from hkd.report.orderings import Apart, paired, unpaired
from hkd.report.results import ABOUT, TITLE, Quantity, Results, Value, read_results
from hkd.store import bounded

CONFIDENCE: Final = 0.95
POWER: Final = 0.8
WIDTH: Final = 120
PAGE_BYTES: Final = 1 << 20
NO_VALUE = "–"
RESOLVED, REVERSED, NOT_RESOLVED, NOT_RUN = "resolved", "resolved in reverse", "not resolved", "not run"
CONTRADICTED = "contradicted"  # of an order of several rows
NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")

_DIRECTIVE = re.compile(r"\{\{(.+?)\}\}", re.DOTALL)
_FORMAT = re.compile(r"[+]?,?(\.\d)?[feg]?")
_GLUED = re.compile(r" (?=[-+*±%<=] |[%±](?:\W|$))|(?<=±) ")  # a line that begins with one of these reads otherwise
_SECTION = re.compile(r"<!-- finding:(?P<name>\w+):start -->\n(?P<text>.*?)<!-- finding:(?P=name):end -->", re.DOTALL)
_SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[A-Z*`(])")
_CODE = re.compile(r"`[^`]*`")
_STATED = re.compile(r"[−-]?\d+\.\d+|\d[\d,.]*\s?%|±")
_COMPARED = re.compile(
    r"\b(?:better|best|worse|worst|lower(?! left| half)|higher|nearer|fewer|beats?|wins?|loses?|(?:more|less) than)\b",
    re.IGNORECASE,
)
_CARRIED = re.compile(r"\{\{(?:order|ordered) |\.decision\b")


def sections(page: str) -> dict[str, str]:
    """Return the text of every generated section of a page, by name."""
    return {found["name"]: found["text"] for found in _SECTION.finditer(page)}


def written(page: str, folder: Path) -> str:
    """Return the page with every section made anew from `folder`, which holds NAME.md and NAME.json for each.

    Raises:
        ReportError: a template or a result file is missing, damaged, or names what is not there.
    """

    def made(found: re.Match[str]) -> str:
        start, end = (f"<!-- finding:{found['name']}:{side} -->" for side in ("start", "end"))
        return f"{start}\n{section(folder, found['name'])}{end}"

    return _SECTION.sub(made, page)


def section(folder: Path, name: str) -> str:
    """Return the text of one section."""
    results, template = read_results(folder / f"{name}.json"), folder / f"{name}.md"
    return rendered(read_page(template, f"it holds the words of {results.file}"), results, str(template))


def read_page(path: Path, use: str) -> str:
    """Return the text of a page or template.

    Args:
        use: what is said of it where it is missing.
    Raises:
        ReportError: it is missing, no text in UTF-8, or larger than any.
    """
    try:
        return bounded.read_bytes(path, PAGE_BYTES).decode("utf-8")
    except FileNotFoundError:
        raise ReportError(f"{path}: missing; {use}") from None
    except UnicodeDecodeError as error:
        raise ReportError(f"{path}: not UTF-8 at byte {error.start}; put back the committed file") from None
    except bounded.Damaged as error:
        raise ReportError(f"{path}: {error}; put back the committed file") from None


def disagreements(page: str, folder: Path) -> list[str]:
    """Return a line for every sentence, and every row of a table, that its result file does not give."""
    found = []
    for name, text in sections(page).items():
        given, stands = _said(section(folder, name)), _said(text)
        other = [sentence for sentence in stands if sentence not in given]
        for sentence in other:
            near = get_close_matches(sentence, given, n=1, cutoff=0.0)
            found.append(f"{name}: '{sentence}' is not what {folder / name}.json gives: '{near[0] if near else ''}'")
        if not other:
            found += [f"{name}: '{sentence}' is missing" for sentence in given if sentence not in stands]
    return found


def rendered(template: str, results: Results, file: str) -> str:
    """Return the text of a template, wrapped, with what was measured in it.

    Raises:
        ReportError: it names what is not there, or states or compares numbers itself.
    """
    blocks = [block for block in re.split(r"\n{2,}", template.strip()) if block]
    return "\n\n".join(_block(block, results, file) for block in blocks) + "\n"


def _block(block: str, results: Results, file: str) -> str:
    if block.startswith("{{table "):
        return _table(block.strip()[2:-2], results, file)
    for sentence in _SENTENCE.split(_DIRECTIVE.sub(lambda found: found[0].replace(".", "\0"), " ".join(block.split()))):
        _check(sentence.replace("\0", "."), file)
    items = re.split(r"\n(?=- )", block)
    return "\n".join(_wrapped(_DIRECTIVE.sub(lambda found: _measured(found[1], results, file), item)) for item in items)


def _wrapped(text: str) -> str:
    indent = "  " if text.startswith("- ") else ""
    options = {"break_long_words": False, "break_on_hyphens": False}
    glued = _GLUED.sub("\0", " ".join(text[len(indent) :].split()))
    lines = textwrap.fill(glued, WIDTH - len(indent), **options)  # type: ignore[arg-type]
    return (
        textwrap.indent(lines, "  ").replace("  ", "- ", 1).replace("\0", " ") if indent else lines.replace("\0", " ")
    )


def _check(sentence: str, file: str) -> None:
    """Refuse a sentence that states a measured number, or an order, in words of its own."""
    words = _CODE.sub("", _DIRECTIVE.sub("", sentence))
    if stated := _STATED.search(words):
        raise ReportError(
            f"{file}: '{sentence}' states {stated[0]} itself; put it into the result file and refer to it"
        )
    compared = _COMPARED.search(words)
    if compared and not _CARRIED.search(sentence):
        raise ReportError(
            f"{file}: '{sentence}' says '{compared[0]}', which no interval carries; use {{{{order ...}}}}"
        )


def _said(text: str) -> list[str]:
    """Return the sentences and table rows of a text, each on one line."""
    found = []
    for block in text.strip().split("\n\n"):
        lines = block.splitlines() if block.startswith("|") else _SENTENCE.split(" ".join(block.split()))
        found += [" ".join(line.split()) for line in lines]
    return found


# -- what stands between braces ----------------------------------------------------------------------------------------


def _measured(text: str, results: Results, file: str) -> str:
    text = " ".join(text.split())
    verb, _, rest = text.partition(" ")
    verbs: dict[str, Callable[[str, Results, str], str]] = {
        "order": _order,
        "ordered": _ordered,
        "titles": lambda asked, of, where: _listed([of.title(table, row) for table, row in _chosen(asked, of, where)]),
        "count": lambda asked, of, where: _in_words(len(_chosen(asked, of, where))),
    }
    if verb in verbs:
        return verbs[verb](rest, results, file)
    return _cell(text, results, file)


def _cell(text: str, results: Results, file: str) -> str:
    address, _, spec = text.partition(" ")
    parts = address.split(".")
    if parts[0] == ABOUT and len(parts) == 2 and parts[1] in results.about:
        fact = results.about[parts[1]]
        return f"{fact:,}" if isinstance(fact, int) else str(fact)
    bare = len(parts) == 4 and parts.pop() == "mean"
    if len(parts) != 3:
        raise ReportError(f"{file}: {{{{{text}}}}} names no value; write table.row.column and how it is shown")
    value = results.value(*parts)
    if value is None:
        raise ReportError(f"{file}: {{{{{text}}}}} is not in {results.file}; take it out of the text or measure it")
    return _shown(value, spec, file, bare=bare)


def _shown(value: Value, spec: str, file: str, *, bare: bool = False) -> str:
    if isinstance(value, str):
        return value
    if not _FORMAT.fullmatch(spec):
        raise ReportError(f"{file}: '{spec}' is no way to show a number; write as .2f or ,.0f")
    spread = "" if value.sd is None or bare else f" ± {_number(value.sd, spec.removeprefix('+'))}"
    return f"{_number(value.mean, spec)}{spread}"


def _number(value: float, spec: str) -> str:
    return format(value, spec or "g").replace("-", "−")


def _table(text: str, results: Results, file: str) -> str:
    """Return the rows of a table whose columns are asked for as `Heading = column format`."""
    name, _, asked = text.removeprefix("table ").partition(":")
    columns = [tuple(part.strip() for part in column.rpartition("=")[::2]) for column in asked.split(";")]
    headings, keys = [heading for heading, _ in columns], [key.partition(" ")[::2] for _, key in columns]
    rows = results.rows(name.strip())
    body = []
    for row, cells in rows.items():
        values = [(results.title(name.strip(), row) if key == TITLE else cells.get(key), spec) for key, spec in keys]
        body.append([NO_VALUE if value is None else _shown(value, spec, file) for value, spec in values])
    beside = [k for k, heading in enumerate(headings) if not heading[:1].isupper()]  # they go on with the one before
    return "\n".join(fitted(headings, body, left=1, beside=beside))


def _chosen(asked: str, results: Results, file: str) -> list[tuple[str, str]]:
    """Return the (table, row) of every row whose column has a value, asked for as `table: column = value`."""
    table, _, condition = asked.partition(":")
    column, equal, wanted = (part.strip() for part in condition.partition("="))
    if not equal:
        raise ReportError(f"{file}: '{asked}' chooses no rows; write table: column = value")
    return [(table, row) for row, cells in results.rows(table).items() if cells.get(column) == wanted]


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:-1]) + (" and " if names[:-1] else "") + names[-1] if names else "none"


def _in_words(count: int) -> str:
    return NUMBERS[count] if count < len(NUMBERS) else str(count)


# -- orders ------------------------------------------------------------------------------------------------------------


def _order(asked: str, results: Results, file: str) -> str:
    """Return what the interval says of two rows, asked for as `table.column format: row < row`.

    A difference found below the size that a design detects would be missed more than once in five times: where it is
    found it is probably overstated.
    """
    (table, column, spec), rows = _asked(asked, file)
    if len(rows) != 2:
        raise ReportError(f"{file}: '{asked}' orders {len(rows)} rows; write table.column: row < row")
    lower, higher = (results.title(table, row) for row in rows)
    what = str(results.about.get("quantities", {}).get(column, column))
    sides = [results.value(table, row, column) for row in rows]
    apart = _apart(*sides)
    if isinstance(apart, str):
        return f"nothing is said of the order of {lower} and {higher} in {what} ({apart})"
    low, high, mean, seen = (
        _number(v, spec or ".2f") for v in (*_interval(apart), abs(apart.mean), apart.detectable)
    )  # fmt: skip
    seeds = _seeds(sides)
    if _verdict(apart) == NOT_RESOLVED:
        return (
            f"{lower} and {higher} are not told apart in {what} (difference {_number(apart.mean, spec or '.2f')}, "
            f"95 % interval {low} to {high}; {seeds} detect {seen} or more)"
        )
    if _verdict(apart) == REVERSED:
        lower, higher = higher, lower
    doubt = "" if abs(apart.mean) >= apart.detectable else ", of which this falls short: it is probably overstated"
    return (
        f"{lower} has a lower {what} than {higher}, by {mean} (95 % interval {low} to {high}; "
        f"{seeds} detect {seen} or more{doubt})"
    )


def _ordered(asked: str, results: Results, file: str) -> str:
    """Return whether an order of rows is resolved, asked for as `table.column: row < row < row`."""
    (table, column, _), rows = _asked(asked, file)
    values = [results.value(table, row, column) for row in rows]
    found = [
        NOT_RUN if isinstance(apart, str) else _verdict(apart) for apart in (_apart(*two) for two in pairwise(values))
    ]
    if NOT_RUN in found:
        return NOT_RUN
    reverse = found.count(REVERSED)
    if reverse in (0, len(found)):
        return found[0] if len(set(found)) == 1 else NOT_RESOLVED
    are = "is" if reverse == 1 else "are"
    return f"{CONTRADICTED}: {_in_words(reverse)} of its {_in_words(len(found))} neighbouring pairs {are} {REVERSED}"


def _asked(asked: str, file: str) -> tuple[tuple[str, str, str], list[str]]:
    head, colon, names = asked.partition(":")
    address, _, spec = head.strip().partition(" ")
    table, dot, column = address.partition(".")
    rows = [name.strip() for name in names.split("<")]
    if not (colon and dot and len(rows) > 1):
        raise ReportError(f"{file}: '{asked}' orders nothing; write table.column: row < row")
    return (table, column, spec), rows


def _apart(lower: Value | None, higher: Value | None) -> Apart | str:
    """Return how far two rows lie apart, or why nothing can be said."""
    if not (isinstance(lower, Quantity) and isinstance(higher, Quantity)):
        return NOT_RUN
    if len(lower.values) == len(higher.values) > 1:
        differences = [high - low for low, high in zip(lower.values, higher.values, strict=True)]
        found = paired(differences, CONFIDENCE, POWER)
        assert found.half is not None and found.detectable is not None
        return Apart(found.mean, found.half, found.detectable)
    if lower.summary is None or higher.summary is None:
        return "one seed, or no spread kept"
    return unpaired(lower.summary, higher.summary, CONFIDENCE, POWER)


def _verdict(apart: Apart) -> str:
    if apart.mean - apart.half > 0:
        return RESOLVED
    return REVERSED if apart.mean + apart.half < 0 else NOT_RESOLVED


def _interval(apart: Apart) -> tuple[float, float]:
    """Return the interval, of the size of the difference where its sign is resolved."""
    ends = (apart.mean - apart.half, apart.mean + apart.half)
    return (-ends[1], -ends[0]) if _verdict(apart) == REVERSED else ends


def _seeds(sides: Sequence[Value | None]) -> str:
    counts = {side.n for side in sides if isinstance(side, Quantity) and side.n}
    return f"{' and '.join(str(count) for count in sorted(counts))} seeds"
