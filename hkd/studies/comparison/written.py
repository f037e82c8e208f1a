"""Every text that the comparison leaves: the claims, and Tables 1 to 6, each as CSV, Markdown and LaTeX."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hkd.report.csv import to_csv
from hkd.studies.comparison.line import Line
from hkd.studies.comparison.papers import csv_text, latex_text, markdown_text, paper_table
from hkd.studies.comparison.table import COLUMNS, cells, latex, markdown


def texts(lines: Sequence[Line], about: Sequence[str], titles: Mapping[int, str], frozen: str) -> dict[str, str]:
    """Return the text of every output, by the names that the study's plan gives to them.

    Args:
        about: sentences above each; titles: of the paper's tables, by number; frozen: digest of what was frozen.
    """
    found = {
        "csv": to_csv([cells(line, frozen) for line in lines], COLUMNS),
        "markdown": markdown(lines, about),
        "latex": latex(lines, about),
    }
    for number, title in titles.items():
        table = paper_table(number, title, lines)
        found |= {
            f"table{number}_csv": csv_text(table, frozen),
            f"table{number}_markdown": markdown_text(table, about),
            f"table{number}_latex": latex_text(table, about),
        }
    return found
