"""A table's view for the terminal, printed at the end of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from hkd.report.view import PHOTOGRAPHS, PRINTED, View

if TYPE_CHECKING:
    from collections.abc import Sequence

SHOWN = ("Method", "NFE", "n", "FD", "FID", "FDn", "Spread", *PHOTOGRAPHS, *PRINTED, "Training images", "Seeds")
WIDTH = 112  # in a log file, where there is no terminal to ask


def show(shown: View, files: Sequence[str] = (), console: Console | None = None) -> None:
    """Print the main columns of a view, its reasons, and where the whole table lies."""
    console = console or _console()
    kept = [k for k, header in enumerate(shown.headers) if header in SHOWN or header.startswith("FDn at")]
    table = Table(box=SIMPLE_HEAD, title=shown.title, title_style="bold", title_justify="left", pad_edge=False)
    for k in kept:
        # one word a line, so that heads of numbers leave their width to the names of methods
        head = shown.headers[k].replace(" ", "\n")
        table.add_column(head, justify="left" if k == 0 else "right", no_wrap=k > 0, overflow="fold")
    for position, (heading, rows) in enumerate(shown.sections):
        if heading:
            if position:
                table.add_row()
            table.add_row(Text(heading, style="italic"))
        for cells in rows:
            table.add_row(*(Text(cells[k]) for k in kept), style="bold" if cells[0] == "HKD" else "")
    console.print(table)
    for line in (*shown.about, *shown.reasons):
        console.print(Text(line, style="dim"))
    if files:
        console.print(Text("In full: " + ", ".join(files)))


def _console() -> Console:
    console = Console()
    return console if console.is_terminal else Console(width=WIDTH)
