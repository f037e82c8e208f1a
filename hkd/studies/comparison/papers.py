"""Tables 1 to 6 as the paper orders them: what was measured under every protocol, printed, verdict, training."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hkd.report.csv import to_csv
from hkd.report.latex import booktabs
from hkd.report.markdown import fitted
from hkd.report.view import ESTIMATE, MISSING, number, of_draws, whole
from hkd.settings.columns import SCORES
from hkd.studies.comparison.gathered import TOO_FEW, numbers
from hkd.studies.comparison.line import Line
from hkd.studies.comparison.said import Number
from hkd.studies.comparison.table import quote

DISTANCES = ("distance", "library")  # kinds of scores that are a Fréchet distance under some protocol
BEFORE = ("category", "method", "route", "nfe", "n", "seeds")
SOURCE = "of source"  # heading of the training images behind a printed number, beside those of ours
AFTER = (
    *("reported", "reported_sd", "verdict", "marks"),
    *("train_images", "reported_train_images", "network_evals", "claim", "frozen"),
)


@dataclass(frozen=True)
class PaperTable:
    """One of the paper's tables, beside what was measured.

    Attributes:
        title: of the table, as it is printed.
        protocols: keys of the columns of numbers, each with its heading.
        lines: claims of the table, in its order.
    """

    title: str
    protocols: Mapping[str, str]
    lines: Sequence[Line]


def paper_table(number_: int, title: str, lines: Sequence[Line]) -> PaperTable:
    """Return the table with this number of the paper: those of the lines that cite a row of it."""
    mine = [
        line
        for line in lines
        if isinstance(line.claim.said, Number) and line.claim.said.cite.table == number_ and not line.claim.said.value
    ]
    found = {key for line in mine for key in _scores(line)}
    order = [name for name in SCORES if name in found] + sorted(found - SCORES.keys())
    return PaperTable(title, {name: _heading(name, mine) for name in order}, mine)


def csv_text(table: PaperTable, frozen: str) -> str:
    """Return the table as CSV: mean and standard deviation under every protocol."""
    return to_csv([_cells(line, table, frozen) for line in table.lines], _columns(table))


def markdown_text(table: PaperTable, about: Sequence[str]) -> str:
    """Return the table as Markdown."""
    headers, sections = _view(table)
    body: list[list[str]] = []
    for heading, rows in sections:
        body += [[f"**{heading}**", *[""] * (len(headers) - 1)], *rows] if heading else rows
    tables = fitted(headers, body, left=1, keys=(0, 1), beside=[headers.index(name) for name in ("Verdict", SOURCE)])
    return "\n".join([f"# {table.title}", "", *about, *_legend(table), "", *tables]) + "\n"


def latex_text(table: PaperTable, about: Sequence[str]) -> str:
    """Return the table as LaTeX."""
    headers, sections = _view(table)
    return booktabs(headers, sections, left=1, comments=[table.title, *about, *_legend(table)])


def _legend(table: PaperTable) -> list[str]:
    """Return what the columns are measured on and through, and why some numbers are estimates."""
    rows = [row for line in table.lines for found in line.found for row in found.lines if "extractor" in row]
    if not rows:
        return []
    on, through = (dict.fromkeys(str(row[key]) for row in rows) for key in ("dataset", "extractor"))
    shown = [(found, key) for line in table.lines for found in line.found for key in _scores(line)]
    doubts = dict.fromkeys(text for found, key in shown for text in found.doubts(key))
    said = [f"Measured on {', '.join(on)} through {', '.join(through)}; n: generated images. Mean ± sd over seeds."]
    said += of_draws(row["route"] for row in rows if row["seed"])
    if any(found.says_nothing(key) for line in table.lines for found in line.found for key in table.protocols):
        said.append(f"{MISSING}: not measured, or on so few images that n {TOO_FEW}.")
    return said + ([f"{ESTIMATE}: an estimate: {'; '.join(doubts)}."] if doubts else [])


def _scores(line: Line) -> dict[str, tuple[float, ...]]:
    """Return the distances of a row under every protocol, one number per seed."""
    said, found = line.claim.said, line.found[0] if line.found else None
    if found is None or not found.lines or not isinstance(said, Number):
        return {}
    if said.cell:
        text = found.lines[0]["cell"]
        return {said.cell.quantity or said.quantity: numbers(text, line.claim.id)} if line.number else {}
    keys = [name for name, score in SCORES.items() if score.kind in DISTANCES and not name.startswith("sfid")]
    held = [key for key in keys if all(key in one["scores"] for one in found.lines)]
    return {key: tuple(one["scores"][key] for one in found.lines) for key in held if not found.says_nothing(key)}


def _heading(name: str, lines: Sequence[Line]) -> str:
    if name not in SCORES:
        return name
    used = {one["extractor"] for line in lines for found in line.found for one in found.lines if "extractor" in one}
    return SCORES[name].title.format(name="FID" if used == {"FID"} else "FD")


def _cells(line: Line, table: PaperTable, frozen: str) -> dict[str, Any]:
    claim, first = line.claim, _first(line)
    cells: dict[str, Any] = {
        "category": claim.category,
        "method": _label(line),
        "route": first.get("route", ""),
        "nfe": claim.nfe,
        "n": first.get("n_generated", ""),
        "seeds": line.seeds or "",
        "reported": claim.value,
        "reported_sd": "" if claim.printed_sd is None else claim.printed_sd,
        "verdict": str(line.verdict),
        "marks": "; ".join(line.marks),
        "train_images": "" if (spent := _spent(line, "train_images")) is None else round(spent),
        "network_evals": "" if (evals := _spent(line, "network_evals")) is None else round(evals),
        "reported_train_images": "" if claim.train_images is None else claim.train_images,
        "claim": claim.id,
        "frozen": frozen,
    }
    for key, values in _scores(line).items():
        cells[key] = f"{statistics.fmean(values):.6g}"
        cells[f"{key}_sd"] = f"{statistics.stdev(values):.6g}" if len(values) > 1 else ""
    return {key: cells.get(key, "") for key in _columns(table)}


def _columns(table: PaperTable) -> list[str]:
    return [*BEFORE, *(f"{key}{end}" for key in table.protocols for end in ("", "_sd")), *AFTER]


def _view(table: PaperTable) -> tuple[list[str], list[tuple[str, list[list[str]]]]]:
    after = ["Reported", "Verdict", "Route", "Seeds", "Training images", SOURCE, "Network evaluations"]
    headers = ["Method", "NFE", "n", *table.protocols.values(), *after]
    sections: list[tuple[str, list[list[str]]]] = []
    for line in table.lines:
        if not sections or sections[-1][0] != line.claim.category:
            sections.append((line.claim.category, []))
        scores = _scores(line)
        sections[-1][1].append(
            [
                _label(line),
                whole(line.claim.nfe),
                whole(_first(line).get("n_generated")),
                *(_estimate(line, key) + _spread(scores.get(key)) for key in table.protocols),
                quote(line).partition(" ")[2],
                line.told,
                str(_first(line).get("route", MISSING)),
                whole(line.seeds or None),
                whole(_spent(line, "train_images")),
                whole(line.claim.train_images),
                whole(_spent(line, "network_evals")),
            ]
        )
    return headers, sections


def _label(line: Line) -> str:
    epoch = line.claim.said.cite.epoch
    if epoch is None:
        return line.claim.label
    return "before training" if epoch < 0 else f"epoch {epoch}"


def _first(line: Line) -> Mapping[str, Any]:
    return line.found[0].lines[0] if line.found and line.found[0].lines else {}


def _spent(line: Line, key: str) -> float | None:
    """Return the mean of what the trainings cost, images that they saw or evaluations, where it is known."""
    spent = [one.get(key) for found in line.found for one in found.lines]
    known = [float(value) for value in spent if value is not None]
    return statistics.fmean(known) if known else None


def _estimate(line: Line, key: str) -> str:
    """Return the mark of a score that is made of too few images, or nothing."""
    return ESTIMATE if key in _scores(line) and any(found.doubts(key) for found in line.found) else ""


def _spread(values: Sequence[float] | None) -> str:
    if not values:
        return MISSING
    spread = f" ± {statistics.stdev(values):.2f}" if len(values) > 1 else ""
    return f"{number(statistics.fmean(values))}{spread}"
