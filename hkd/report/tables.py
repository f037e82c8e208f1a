"""A table of the paper with measured beside printed numbers, as data, CSV and Markdown.

Every printed row stays in the table; a row that was not run has empty numbers and says so.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import pandas as pd

from hkd.report.collect import BUDGET, COSTS, below, check_protocols, check_seeds, lines_of, score
from hkd.report.compare import Paper, why_not
from hkd.report.markdown import markdown
from hkd.report.view import AFTER, BEFORE, INTEGERS, view
from hkd.settings.columns import DEFAULT, Column, column
from hkd.store.atomic import write_text

ANCHORS = "Anchors"  # category of the rows that say where a scale begins and ends
NUMBERS = ("reported_fid", "train_seconds", *COSTS, "fdn_training_sd")


class PrintedRow(Protocol):
    """A row of the plan: the paper's printed number, and the run (group/name) that reproduces it, if there is one."""

    @property
    def category(self) -> str: ...
    @property
    def label(self) -> str: ...
    @property
    def nfe(self) -> int: ...
    @property
    def method(self) -> str | None: ...
    @property
    def fid(self) -> float | None: ...
    @property
    def note(self) -> str: ...


def table(
    rows: Iterable[PrintedRow],
    metrics: pd.DataFrame,
    paper: Paper,
    *,
    columns: Sequence[str] = DEFAULT,
    n_common: int | None = None,
    real: Mapping[int, Mapping[str, float]] | None = None,
    diverged: Mapping[tuple[str, int], str] | None = None,
    trainings: Mapping[tuple[str, int], Sequence[float]] | None = None,
    spent: Mapping[str, float] | None = None,
) -> pd.DataFrame:
    """Return one line per row with BEFORE, `columns` and AFTER: means over seeds, empty where nothing was measured.

    Standard deviations over seeds (ddof 1) are empty with one seed. `estimate` names the columns whose numbers come
    from too few images, and why. A row that is printed twice has numbers the first time only; the second refers to the
    first.

    Args:
        metrics: lines of `collect`.
        columns: names of `hkd.settings.columns`.
        real: scores of so many real images against the reference, for the rows of anchors; of fewer than `n_common`
            none is shown, as of generated ones.
        diverged: by run and NFE, what to say in place of numbers of rows whose training diverged for any seed.
        trainings: FDn of all known trainings of rows with shipped weights, likewise; of a row that was trained here
            they are its seeds.
        spent: CPU-seconds of the training of given weights, by run, where their metrics do not say.
        n_common: number of images at which rows are compared; by default the smallest of any row. A row of fewer has
            no numbers.
    Raises:
        ReportError: the lines mix protocols within a column, or settings within a row.
    """
    rows = list(rows)
    asked = {(row.method, row.nfe) for row in rows}
    wanted = [key in asked for key in zip(metrics["method"], metrics["nfe"], strict=True)]
    used = metrics[pd.Series(wanted, index=metrics.index, dtype=bool)]
    sizes = used["n_generated"]
    if not used.empty and not (n_common and sizes.max() >= n_common):
        n_common = int(sizes.min())
    check_protocols(used, columns, n_common)
    first_category: dict[tuple[str, int, str | None], str] = {}
    lines = []
    for row in rows:
        key = (row.label, row.nfe, row.method)
        line = _printed(row)
        if key in first_category:
            line |= {"comparable": "no", "why_not": f"printed twice: see the row under {first_category[key]}"}
        else:
            first_category[key] = row.category
            lost = (diverged or {}).get((row.method or "", row.nfe))
            known = (trainings or {}).get((row.method or "", row.nfe))
            measured = {"comparable": "no", "why_not": lost}
            line |= measured if lost else _measured(row, used, paper, columns, n_common, known, spent or {})
        lines.append(line)
    known_at = {n: scores for n, scores in (real or {}).items() if n >= (n_common or 0)}
    lines += [_real(n, scores, _doubts(lines, n, scores)) for n, scores in known_at.items()]
    frame = pd.DataFrame(lines, columns=[*BEFORE, *columns, *AFTER])
    return frame.astype(dict.fromkeys(INTEGERS, "Int64") | dict.fromkeys((*columns, *NUMBERS), "float64"))


def to_csv(frame: pd.DataFrame) -> str:
    """Return a table as CSV text: six significant digits, empty where there is no number."""
    return str(frame.to_csv(index=False, float_format="%.6g", lineterminator="\n"))


def write(
    stem: Path | str,
    frame: pd.DataFrame,
    rows: Sequence[PrintedRow],
    paper: Paper,
    remarks: Sequence[tuple[str, str]] = (),
    *,
    verdicts: Path | None = None,
    teachers: Sequence[str] = (),
) -> list[Path]:
    """Write `stem`.csv and `stem`.md and return their paths.

    Args:
        remarks: on what was measured, as (row, text); those on what was printed are the rows' own.
        teachers: sentences on which rows others start from or learn from.
        verdicts: the text, made later, that has the verdicts on these rows; it lies below the table's folder.
    """
    csv, text = Path(f"{stem}.csv"), Path(f"{stem}.md")
    notes = [(f"{row.label}, {row.nfe:,} NFE", row.note) for row in rows if row.note]
    shown = view(lines_of(frame), paper, [*notes, *remarks], teachers)
    if verdicts:
        link = verdicts.relative_to(text.parent).as_posix()
        written = "which `hkd compare` and the end of every run write"
        pointer = f"Every printed number with its verdict: [{link}]({link}), {written}."
        shown = replace(shown, about=[*shown.about, "", pointer])
    write_text(text, markdown(shown))
    write_text(csv, to_csv(frame))
    return [csv, text]


def _real(n: int, scores: Mapping[str, float], doubts: str) -> dict[str, Any]:
    """Return the row of so many real images."""
    why = "real images of the reference in the place of generated ones, against the rest of it"
    found = {"category": ANCHORS, "method": "Real images", "n_samples": n, **scores}
    return {**found, "estimate": doubts, "comparable": "no", "why_not": why}


def _doubts(lines: Iterable[Mapping[str, Any]], n: int, scores: Iterable[str]) -> str:
    """Return which scores of so many images are estimates and why: the reasons that all rows of as many share."""
    wanted = list(scores)
    rows = []
    for line in lines:
        if line.get("n_samples") == n:
            groups = (group.partition(": ") for group in line["estimate"].split("; ") if group)
            rows.append({why: set(names.split()) for names, _, why in groups})
    shared = [why for why in rows[0] if all(why in row for row in rows)] if rows else []
    named = {why: [name for name in wanted if any(name in row[why] for row in rows)] for why in shared}
    return "; ".join(f"{' '.join(names)}: {why}" for why, names in named.items() if names)


def _printed(row: PrintedRow) -> dict[str, Any]:
    """Return the printed cells of a row."""
    return {"category": row.category, "method": row.label, "nfe": row.nfe, "reported_fid": row.fid}


def _measured(
    row: PrintedRow,
    metrics: pd.DataFrame,
    paper: Paper,
    columns: Sequence[str],
    n_common: int | None,
    trainings: Sequence[float] | None,
    spent: Mapping[str, float],
) -> dict[str, Any]:
    """Return the measured cells of a row, or why there are none."""
    if row.method is None:
        return {"comparable": "no", "why_not": "not run: not a row of this benchmark"}
    lines = metrics[(metrics["method"] == row.method) & (metrics["nfe"] == row.nfe)]
    if lines.empty:
        return {"comparable": "no", "why_not": f"not run: no metrics of {row.method} at {row.nfe} NFE"}
    check_seeds(lines)
    first = lines_of(lines)[0]
    budget = {key: _mean(lines[key]) for key in (*BUDGET, *COSTS)}
    if budget["train_cpu_seconds"] is None and first["route"] == "shipped":
        budget["train_cpu_seconds"] = spent.get(row.method)
    reasons = why_not(first | budget, paper, row.fid)
    if first["selected"]:
        reasons.insert(0, f"selected: {first['selected']}")
    if below(first, n_common):
        reasons.insert(0, f"{first['n_generated']:,} images, too few for a number")
    whole = {key: None if budget[key] is None else round(budget[key]) for key in BUDGET if key in INTEGERS}
    return {
        **{key: first[key] for key in ("route", "dataset", "n_reference", "extractor")},
        "n_samples": first["n_generated"],
        "n_common": n_common,
        **{name: _score(lines_of(lines), column(name), n_common) for name in columns},
        "estimate": _estimates(first, columns, n_common),
        "comparable": "no" if reasons else "yes",
        "why_not": "; ".join(reasons),
        **whole,
        **{key: None if budget[key] is None else round(budget[key], 1) for key in ("train_seconds", *COSTS)},
        "seeds": len(lines),
        **_spread(
            trainings if first["route"] != "train" else [line["fdn"] for line in lines["scores"] if "fdn" in line]
        ),
        "config_digest": first["settings_digest"],
    }


def _spread(trainings: Sequence[float] | None) -> dict[str, Any]:
    """Return of how many trainings of a row FDn is known, and its standard deviation over them."""
    if not trainings:
        return {}
    return {"trainings": len(trainings), "fdn_training_sd": statistics.stdev(trainings) if len(trainings) > 1 else None}


def _score(lines: list[dict[str, Any]], asked: Column, n_common: int | None) -> float | None:
    """Return the number of a column over the seeds of one row; None for a spread of one seed, or of too few images."""
    if any(below(line, n_common) for line in lines):
        return None
    values = [score(line, asked, n_common)[0] for line in lines]
    if asked.derived == "sd":
        return statistics.stdev(values) if len(values) > 1 else None
    if asked.derived == "range_sd":  # pooled over seeds: the root of the mean variance
        return math.sqrt(statistics.fmean(value * value for value in values))
    return min(values) if asked.derived in ("min", "range_min") else statistics.fmean(values)


def _estimates(line: dict[str, Any], columns: Sequence[str], n_common: int | None) -> str:
    """Return `column: reason` for every column whose score comes from too few images, grouped by reason."""
    why: dict[str, list[str]] = {}
    for asked in map(column, columns if not below(line, n_common) else ()):
        _, protocol = score(line, asked, n_common)
        if protocol["estimate"]:
            why.setdefault(", ".join(protocol["estimate"]), []).append(asked.name)
    return "; ".join(f"{' '.join(names)}: {reason}" for reason, names in why.items())


def _mean(values: pd.Series[Any]) -> Any:
    """Return the mean, or None when any value is unknown."""
    return None if values.isna().any() else float(values.astype("float64").mean())
