"""Result files of findings: measured numbers by table, row and column, with the command and the commit behind them.

A file is one JSON mapping. `about` holds `command`, `commit` and `source` (where the numbers come from); every other
key is a table, which maps a row to its columns. A value is a number, a text, or a quantity over seeds: its single
`values` in the order of seeds, or `mean` and `sd`, with `n` if it is known, where these alone are kept. The row's
`title` names it in text.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hkd.report.collect import ReportError
from hkd.report.orderings import Summary
from hkd.store import bounded
from hkd.store.lines import shortened

ABOUT, TITLE = "about", "title"
FACTS = ("command", "commit", "source")
LARGEST, SEEDS = 1e12, 10_000  # of a measured number, and of the seeds of one quantity


@dataclass(frozen=True)
class Quantity:
    """A mean over seeds.

    Attributes:
        sd: None where no spread is kept, or of one seed. n: seeds, None where their number is not known.
        values: of every seed, in their order; none where they are not kept.
    """

    mean: float
    sd: float | None = None
    n: int | None = None
    values: tuple[float, ...] = ()

    @property
    def summary(self) -> Summary | None:
        """The mean with its spread, if there is one."""
        return None if self.sd is None or self.n is None else Summary(self.mean, self.sd, self.n)


Value = Quantity | str


@dataclass(frozen=True)
class Results:
    """What a result file holds.

    Attributes:
        file: its name, for messages. about: facts. tables: table -> row -> column -> value, in the file's order.
    """

    file: str
    about: Mapping[str, Any]
    tables: Mapping[str, Mapping[str, Mapping[str, Value]]]

    def rows(self, table: str) -> Mapping[str, Mapping[str, Value]]:
        """Return the rows of a table.

        Raises:
            ReportError: there is no such table.
        """
        if table not in self.tables:
            raise ReportError(f"{self.file}: no table '{table}', which the text names; it has {', '.join(self.tables)}")
        return self.tables[table]

    def value(self, table: str, row: str, column: str) -> Value | None:
        """Return a value; None where the row was not run, or has no such column."""
        return self.rows(table).get(row, {}).get(column)

    def title(self, table: str, row: str) -> str:
        """Return the title of a row, its name where it has none."""
        return str(self.rows(table).get(row, {}).get(TITLE, row))


def read_results(path: Path) -> Results:
    """Return what a result file holds.

    Raises:
        ReportError: it is missing, damaged, or not of this form; the message names file, key and value.
    """
    try:
        content = bounded.parse_json(bounded.read_bytes(path, bounded.SHORT_JSON_BYTES))
    except FileNotFoundError:
        raise ReportError(f"{path}: missing; take the section that cites it out of the text, or put it back") from None
    except bounded.Damaged as error:
        raise ReportError(f"{path}: {error}; put back the committed file") from None
    return results(content, str(path))


def results(content: Any, file: str) -> Results:
    """Return the results of a file's content.

    Raises:
        ReportError: it has another form; the message names file, key and value.
    """
    about = _mapping(_mapping(content, file, "the file").get(ABOUT), file, ABOUT)
    for key in FACTS:
        if not isinstance(about.get(key), str):
            raise ReportError(f"{file}: {ABOUT}.{key} = {shortened(repr(about.get(key)))}; state it as text")
    tables = {
        name: {
            row: {column: _value(cell, file, f"{name}.{row}.{column}") for column, cell in cells.items()}
            for row, cells in ((row, _mapping(cells, file, f"{name}.{row}")) for row, cells in table.items())
        }
        for name, table in ((name, _mapping(table, file, name)) for name, table in content.items() if name != ABOUT)
    }
    return Results(file, about, tables)


def _mapping(value: Any, file: str, key: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ReportError(f"{file}: {shortened(key)} is no mapping; see hkd/report/results.py for the form of the file")
    return value


def _value(cell: Any, file: str, key: str) -> Value:
    if isinstance(cell, str):
        return cell
    if _is_number(cell):
        return Quantity(float(cell))
    if isinstance(cell, dict) and set(cell) == {"values"} and _are_numbers(cell["values"]):
        values = tuple(float(value) for value in cell["values"])
        sd = statistics.stdev(values) if len(values) > 1 else None
        return Quantity(statistics.fmean(values), sd, len(values), values)
    if isinstance(cell, dict) and set(cell) in ({"mean", "sd"}, {"mean", "sd", "n"}):
        mean, sd, n = cell["mean"], cell["sd"], cell.get("n")
        if _is_number(mean) and _is_number(sd) and sd >= 0 and (n is None or (isinstance(n, int) and 1 < n <= SEEDS)):
            return Quantity(float(mean), float(sd), n)
    key = shortened(key)
    raise ReportError(
        f"{file}: {key} is neither a number, a text, `values`, nor `mean`, `sd` and `n`, two seeds or more"
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= LARGEST


def _are_numbers(values: Any) -> bool:
    return isinstance(values, list) and 0 < len(values) <= SEEDS and all(_is_number(value) for value in values)
