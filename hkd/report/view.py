"""A table as people read it, shared by Markdown and terminal: few digits, reasons and remarks gathered below."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hkd.report.compare import Paper
from hkd.settings.columns import COLUMNS, SCORES, Column, column
from hkd.store.records import check_digest

BEFORE = ("category", "method", "route", "dataset", "nfe", "n_samples", "n_common", "n_reference", "extractor")
AFTER = (
    *("estimate", "reported_fid", "comparable", "why_not"),
    *("params", "train_images", "network_evals", "train_seconds", "train_cpu_seconds", "train_gpu_seconds", "seeds"),
    *("trainings", "fdn_training_sd", "config_digest"),
)
INTEGERS = (
    *("nfe", "n_samples", "n_common", "n_reference", "params", "train_images", "network_evals", "seeds", "trainings"),
)
TEXTS = ("category", "method", "route", "dataset", "extractor", "estimate", "comparable", "why_not", "config_digest")
Line = Mapping[str, Any]
COSTS = {  # heading -> its entry, and what it is
    "CPU-min": (
        "train_cpu_seconds",
        "processor minutes of a row's own training, without those of its base, teacher, pairs and earlier flows; "
        "—: on a GPU, of imported weights, or not recorded",
    ),
    "GPU-min": ("train_gpu_seconds", "minutes of a row's own training by the clock, times its GPUs"),
}
FINE = ("kid", "subset_kid")  # kinds of scores whose numbers are small, and may be of either sign
PRINTED = ("Printed FID", "Comparable")
PHOTOGRAPHS = tuple(SCORES[name].title for name in ("kid_effnet", "fd_effnet64"))
MISSING = "—"
ESTIMATE = "≈"
SPREAD = "Spread: standard deviation of FDn over trainings of a row (how many) from one base and on one set of pairs"
GIVEN = ("shipped", "released")  # routes of weights that the run has not trained
SUPERSCRIPTS = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


@dataclass(frozen=True)
class View:
    """What is shown: a title, an explaining sentence or two, sections of rows, and remarks below.

    Attributes:
        sections: (heading, rows of cells); the heading is empty where the paper prints none.
        reasons: why numbers do not compare: the common reasons first, then one line per superscript.
        notes: remarks on printed numbers.
        teachers: sentences on which rows others start from or learn from; they stand in `about` too.
    """

    title: str
    about: list[str]
    headers: list[str]
    sections: list[tuple[str, list[list[str]]]]
    reasons: list[str]
    notes: list[str]
    teachers: list[str] = field(default_factory=list)


def view(
    lines: Sequence[Line], paper: Paper, notes: Sequence[tuple[str, str]] = (), teachers: Sequence[str] = ()
) -> View:
    """Return the view of a table.

    Args:
        lines: of one set of columns in their order; None where there is no value.
        notes: (row, remark) pairs.
        teachers: sentences on which rows others start from or learn from.
    """
    common = _common(lines)
    shown = _shown(lines)
    marks: dict[str, int] = {}
    wide = {"own_n": _sizes(lines), "printed": _reproduces(lines), "spread": _retrained(lines)}
    costs = {head: key for head, (key, _) in COSTS.items() if any(line.get(key) is not None for line in lines)}
    decimals = {asked.name: _decimals(asked, lines) for asked in shown}
    sections: list[tuple[str, list[list[str]]]] = []
    for line in lines:
        if not sections or sections[-1][0] != line["category"]:
            sections.append((line["category"], []))
        sections[-1][1].append(_cells(line, decimals, _mark(line, common, marks), costs.values(), **wide))
    name = _metric_name(lines)
    n_common = next((line["n_common"] for line in lines if line["n_common"] is not None), None)
    headers = [
        *("Method", "Route", "NFE", *(["n"] if _sizes(lines) else [])),
        *_beside_fdn(decimals, [asked.heading(name, n_common) for asked in shown], "Spread", wide["spread"]),
        *(PRINTED if _reproduces(lines) else ()),
        *("Parameters", "Training images", "Network evaluations", *costs, "Seeds"),
    ]
    if not _reproduces(lines):
        common, marks = [], {}
    reasons = [f"Every measured row: {'; '.join(common)}."] if common else []
    reasons += [f"{_superscript(number)} {text}." for text, number in marks.items()]
    remarks = [f"{row}: {remark}." for row, remark in notes] + ([f"{paper.note}."] if paper.note else [])
    about = [*_about(lines, paper, name), *(f"{head}: {COSTS[head][1]}." for head in costs), *teachers]
    return View(paper.title, about, headers, sections, reasons, remarks, list(teachers))


def stored_lines(path: Path) -> list[dict[str, Any]]:
    """Return the lines of a table that was written as CSV; None for an empty cell.

    Raises:
        ArtifactError: the file is missing, or was changed since it was written.
    """
    check_digest(path, "table")
    with path.open(newline="", encoding="utf-8") as file:
        return [{name: _value(name, cell) for name, cell in line.items()} for line in csv.DictReader(file)]


def _value(name: str, cell: str) -> Any:
    if name in TEXTS:
        return cell or (None if name in ("route", "dataset", "extractor") else "")
    if not cell:
        return None
    return int(float(cell)) if name in INTEGERS else float(cell)


def number(value: Any) -> str:
    """Return a measured value with few digits: two decimals from 1 upwards, three significant ones below."""
    if value is None:
        return MISSING
    return f"{value:,.2f}" if abs(value) >= 1 or value == 0 else f"{value:.3g}"


def whole(value: Any) -> str:
    """Return a count with thousands separators."""
    return MISSING if value is None else f"{round(value):,}"


def minutes(seconds: Any) -> str:
    """Return seconds as minutes: whole ones from 10 upwards, one decimal below."""
    if not seconds:
        return MISSING if seconds is None else "0"
    value = seconds / 60
    return f"{value:,.0f}" if value >= 9.95 else f"{value:.1f}" if value >= 0.05 else "<0.1"


def of_draws(routes: Iterable[str]) -> list[str]:
    """Return what to know of rows of several seeds whose weights none of them trained, by their routes; or nothing."""
    same = [route for route in dict.fromkeys(routes) if route in GIVEN]
    return [f"Route {' and '.join(same)}: all seeds sample the same weights, so ± is of draws alone."] if same else []


def _beside(line: Line, mark: str) -> tuple[str, str]:
    """Return the printed number, and whether the measured one compares with it."""
    reported = line["reported_fid"]
    return MISSING if reported is None else f"{reported:.2f}", f"{line['comparable']}{mark}"


def _reproduces(lines: Sequence[Line]) -> bool:
    """Whether anything was printed of a table's rows: of own images nothing is."""
    return any(line["reported_fid"] is not None for line in lines)


def _retrained(lines: Sequence[Line]) -> bool:
    """Whether FDn of several trainings is known of any row with given weights; of others it stands beside the mean."""
    return any(_has_spread(line) and line["route"] in GIVEN for line in lines)


def _has_spread(line: Line) -> bool:
    return line.get("fdn_training_sd") is not None and line.get("fdn") is not None


def _trainings(line: Line, decimals: int) -> str:
    if not _has_spread(line):
        return MISSING
    return f"{_rounded(line['fdn_training_sd'], decimals)} ({line['trainings']})"


def _rounded(value: float, decimals: int) -> str:
    """Return a number with so many decimals; with its first digit where that would read as nothing (-0.000)."""
    shown = f"{value:,.{decimals}f}"
    return shown if shown.strip("-0.") or not value else f"{value:.1g}"


def _beside_fdn(shown: Iterable[str], cells: list[str], spread: str, wanted: bool) -> list[str]:
    """Return the cells of scores with the spread right after FDn, whose spread it is."""
    at = list(shown).index("fdn") + 1 if wanted else len(cells)
    return [*cells[:at], *([spread] if wanted else []), *cells[at:]]


def _cells(
    line: Line,
    decimals: Mapping[str, int],
    mark: str,
    costs: Iterable[str],
    *,
    own_n: bool,
    printed: bool,
    spread: bool,
) -> list[str]:
    """Return the cells of a row.

    Args:
        decimals: of every score that is shown, by its column.
        costs: entries of what a training took.
    """
    scores = [_score(line, column(name), digits) for name, digits in decimals.items()]
    return [
        str(line["method"]),
        MISSING if line["route"] is None else str(line["route"]),
        whole(line["nfe"]),
        *([whole(line["n_samples"])] if own_n else []),
        *_beside_fdn(decimals, scores, _trainings(line, decimals.get("fdn", 0)), spread),
        *(_beside(line, mark) if printed else ()),
        *(whole(line[key]) for key in ("params", "train_images", "network_evals")),
        *(minutes(line.get(key)) for key in costs),
        whole(line["seeds"]),
    ]


def _decimals(asked: Column, lines: Sequence[Line]) -> int:
    """Return how many decimals a column shows: two, of KID three, and three digits of its largest value below 1."""
    largest = max((abs(line[asked.name]) for line in lines if line[asked.name] is not None), default=0.0)
    least = 3 if SCORES[SCORES[asked.score].base or asked.score].kind in FINE else 2
    return max(least, 2 - math.floor(math.log10(largest))) if 0 < largest < 1 else least


def _shown(lines: Sequence[Line]) -> list[Column]:
    """Return the columns of scores to show: a spread stands beside its mean, a common n only where numbers differ."""
    asked = [column(name) for name in (lines[0] if lines else ()) if name in COLUMNS]
    one_n = all(line["n_samples"] == line["n_common"] for line in lines if line["seeds"] is not None)
    scores = {item.score for item in asked if item.derived == ""}
    return [
        item
        for item in asked
        if not (item.derived == "sd" and item.score in scores) and not (item.derived == "common" and one_n)
    ]


def _sizes(lines: Sequence[Line]) -> bool:
    """Whether rows have different numbers of images."""
    return len({line["n_samples"] for line in lines if line["n_samples"] is not None}) > 1


def _score(line: Line, asked: Column, decimals: int) -> str:
    value = line[asked.name]
    if value is None:
        return MISSING
    sd = next((line[c] for c in line if c in COLUMNS and COLUMNS[c] == Column(c, asked.score, "sd")), None)
    spread = f" ± {_rounded(sd, decimals)}" if asked.derived == "" and sd is not None else ""
    return f"{_sign(line, asked)}{_rounded(value, decimals)}{spread}"


def _sign(line: Line, asked: Column) -> str:
    """Return the mark of an estimate, or nothing."""
    groups = [group.partition(":")[0].split() for group in str(line["estimate"]).split("; ")]
    return ESTIMATE if any(asked.name in names for names in groups) else ""


def _common(lines: Sequence[Line]) -> list[str]:
    """Return the reasons that all measured rows share, in their order."""
    reasons = [_reasons(line) for line in lines if line["seeds"] is not None]
    if len(reasons) < 2:
        return []
    return [text for text in reasons[0] if all(text in other for other in reasons)]


def _mark(line: Line, common: list[str], marks: dict[str, int]) -> str:
    own = [text for text in _reasons(line) if text not in common]
    return " ".join(_superscript(marks.setdefault(text, len(marks) + 1)) for text in own)


def _reasons(line: Line) -> list[str]:
    return line["why_not"].split("; ") if line["why_not"] else []


def _superscript(number: int) -> str:
    return str(number).translate(SUPERSCRIPTS)


def _metric_name(lines: Sequence[Line]) -> str:
    """Return FID for Inception's features only, FD for any other's."""
    return "FID" if {line["extractor"] for line in lines if line["extractor"] is not None} == {"FID"} else "FD"


def _about(lines: Sequence[Line], paper: Paper, name: str) -> list[str]:
    measured = next((line for line in lines if line["seeds"] is not None), None)
    printed = f"Printed FID: the paper's number on {paper.dataset_title}. {MISSING}: no number."
    if measured is None:
        return ["Nothing measured yet.", *([printed] if _reproduces(lines) else [])]
    seeds = max(line["seeds"] for line in lines if line["seeds"] is not None)
    spread = f"mean ± standard deviation over {seeds} seeds" if seeds > 1 else "one seed"
    groups = [group for line in lines if line["seeds"] is not None for group in str(line["estimate"]).split("; ")]
    estimates = list(dict.fromkeys(group.partition(": ")[2] for group in groups if group))
    sizes = sorted({int(line["n_samples"]) for line in lines if line["n_samples"] is not None})
    generated = whole(sizes[0]) if len(sizes) == 1 else f"{whole(sizes[0])} to {whole(sizes[-1])}"
    return [
        f"Measured on {measured['dataset']}: {generated} generated against "
        f"{whole(measured['n_reference'])} reference images, features of {measured['extractor']}, {spread}.",
        f"{name}: Fréchet distance by our own code; under a library's name, by that library on the same images; "
        f"FDn: 100 × {name} / trace of the reference covariance.",
        *of_draws(line["route"] for line in lines if (line["seeds"] or 0) > 1),
        *([f"{ESTIMATE}: an estimate from too few images, and too high: {'; '.join(estimates)}."] if estimates else []),
        *([f"{SPREAD}."] if _retrained(lines) else []),
        *([printed] if _reproduces(lines) else []),
    ]
