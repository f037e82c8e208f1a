"""A table as people read it, shared by Markdown and terminal: few digits, reasons and remarks gathered below."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from hkd.report.collect import lines_of
from hkd.report.compare import Paper

MISSING = "—"
SUPERSCRIPTS = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


@dataclass(frozen=True)
class View:
    """What is shown: a title, an explaining sentence or two, sections of rows, and remarks below.

    Attributes:
        sections: (heading, rows of cells); the heading is empty where the paper prints none.
        reasons: why numbers do not compare: the common reasons first, then one line per superscript.
        notes: remarks on printed numbers.
    """

    title: str
    about: list[str]
    headers: list[str]
    sections: list[tuple[str, list[list[str]]]]
    reasons: list[str]
    notes: list[str]


def view(frame: pd.DataFrame, paper: Paper, notes: Sequence[tuple[str, str]] = ()) -> View:
    """Return the view of a table; `notes` are (row, remark) pairs."""
    lines = lines_of(frame)
    common = _common(lines)
    marks: dict[str, int] = {}
    sections: list[tuple[str, list[list[str]]]] = []
    for line in lines:
        if not sections or sections[-1][0] != line["category"]:
            sections.append((line["category"], []))
        sections[-1][1].append(_cells(line, _mark(line, common, marks)))
    name = _metric_name(lines)
    headers = [
        *("Method", "Route", "NFE", name, "torch-fidelity", "clean-fid", "FDn", "Printed FID", "Comparable"),
        *("Parameters", "Training images", "Network evaluations", "Training, s", "Seeds"),
    ]
    reasons = [f"Every measured row: {'; '.join(common)}."] if common else []
    reasons += [f"{_superscript(number)} {text}." for text, number in marks.items()]
    remarks = [f"{row}: {remark}." for row, remark in notes] + ([f"{paper.note}."] if paper.note else [])
    return View(paper.title, _about(lines, paper, name), headers, sections, reasons, remarks)


def number(value: Any) -> str:
    """Return a measured value with few digits: two decimals from 1 upwards, three significant ones below."""
    if pd.isna(value):
        return MISSING
    return f"{value:,.2f}" if abs(value) >= 1 or value == 0 else f"{value:.3g}"


def whole(value: Any) -> str:
    """Return a count with thousands separators."""
    return MISSING if pd.isna(value) else f"{round(value):,}"


def _cells(line: dict[str, Any], mark: str) -> list[str]:
    spread = "" if pd.isna(line["fid_sd"]) else f" ± {_like(line['fid_sd'], line['fid_own'])}"
    return [
        str(line["method"]),
        MISSING if pd.isna(line["route"]) else str(line["route"]),
        whole(line["nfe"]),
        number(line["fid_own"]) + spread,
        *(number(line[key]) for key in ("fid_torch_fidelity", "fid_clean_fid", "fdn")),
        MISSING if pd.isna(line["reported_fid"]) else f"{line['reported_fid']:.2f}",
        f"{line['comparable']}{mark}",
        *(whole(line[key]) for key in ("params", "train_images", "network_evals", "train_seconds", "seeds")),
    ]


def _like(spread: float, mean: float) -> str:
    """Return the spread with as many decimals as the mean shows."""
    return f"{spread:.{len(number(mean).partition('.')[2])}f}"


def _common(lines: list[dict[str, Any]]) -> list[str]:
    """Return the reasons that all measured rows share, in their order."""
    reasons = [_reasons(line) for line in lines if not pd.isna(line["seeds"])]
    if len(reasons) < 2:
        return []
    return [text for text in reasons[0] if all(text in other for other in reasons)]


def _mark(line: dict[str, Any], common: list[str], marks: dict[str, int]) -> str:
    own = [text for text in _reasons(line) if text not in common]
    return " ".join(_superscript(marks.setdefault(text, len(marks) + 1)) for text in own)


def _reasons(line: dict[str, Any]) -> list[str]:
    return line["why_not"].split("; ") if line["why_not"] else []


def _superscript(number: int) -> str:
    return str(number).translate(SUPERSCRIPTS)


def _metric_name(lines: list[dict[str, Any]]) -> str:
    """Return FID for Inception's features only, FD for any other's."""
    return "FID" if {line["extractor"] for line in lines if not pd.isna(line["extractor"])} == {"FID"} else "FD"


def _about(lines: list[dict[str, Any]], paper: Paper, name: str) -> list[str]:
    measured = next((line for line in lines if not pd.isna(line["seeds"])), None)
    printed = f"Printed FID: the paper's number on {paper.dataset_title}. {MISSING}: no number."
    if measured is None:
        return ["Nothing measured yet.", printed]
    seeds = max(line["seeds"] for line in lines if not pd.isna(line["seeds"]))
    spread = f"mean ± standard deviation over {seeds} seeds" if seeds > 1 else "one seed"
    return [
        f"Measured on {measured['dataset']}: {whole(measured['n_samples'])} generated against "
        f"{whole(measured['n_reference'])} reference images, features of {measured['extractor']}, {spread}.",
        f"{name}: Fréchet distance by our own code, then by each library on the same images; "
        f"FDn: 100 × {name} / trace of the reference covariance.",
        printed,
    ]
