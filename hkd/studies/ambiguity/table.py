"""The table of the ambiguity study: each open choice, the change of FDn, and the smallest detectable change."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hkd.report.collect import ReportError
from hkd.studies.ambiguity.effects import Design, holm

MATTERS, NOT_DETECTED, DIVERGED = "matters", "not detected", "diverged"
SUGGESTIVE = "suggestive: p below the level before adjustment"
SMALLEST_P = 1e-6
COLUMNS = (
    *("variation", "choice", "value", "against", "paper", "seeds", "fdn_against", "fdn_variation", "difference"),
    *("change_percent", "ratios", "sd_additive_percent", "sd_plain_percent", "detectable_percent"),
    *("detectable_difference", "p", "p_holm", "network_evals", "verdict"),
)


@dataclass(frozen=True)
class Arm:
    """One arm of the study; `scores` is FDn of every seed, in order, empty when it was not run.

    Attributes:
        name: of the variation; `against` is the arm it varies.
        choice, value: the key that is varied, and its value here.
        paper: whether the full-scale settings have this value, as the one that we believe to be the paper's.
        not_run: the reason why there are no scores.
        diverged: number of seeds whose training ended in a loss that is not finite.
        network_evals: network evaluations of its training.
    """

    name: str
    choice: str
    value: str
    against: str
    paper: bool = False
    scores: tuple[float, ...] = ()
    not_run: str = ""
    diverged: int = 0
    network_evals: int | None = None


def measured(contents: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return what the metrics files of an arm's seeds say of it, as arguments of `Arm`; nothing of an arm not run."""
    if not contents:
        return {}
    diverged = [content.get("diverged_at") is not None for content in contents]
    scores = [math.nan if lost else c["metrics"]["fdn"] for lost, c in zip(diverged, contents, strict=True)]
    return {
        "scores": tuple(scores),
        "diverged": sum(diverged),
        "network_evals": contents[0]["budget"]["network_evals"],
    }


def summary(found: Sequence[Mapping[str, Any]], design: Design) -> list[str]:
    """Return the table as lines for a terminal."""
    shown = []
    for line in found:
        change = f"{line['change_percent']:+8.1f} %" if "change_percent" in line else " " * 10
        shown.append(f"{change}  {line['choice']} = {line['value']}: {line['verdict']}")
    return [
        *shown,
        f"spread of one paired difference: {percent(design.additive):.1f} % if seeds shift all arms alike, "
        f"{percent(design.plain):.1f} % without that; changes are judged by the larger",
        f"smallest change that this design detects: {percent(design.detectable):.1f} %",
    ]


def design_facts(design: Design) -> dict[str, float]:
    """Return what the record says of the design."""
    return {
        "sd_additive_percent": percent(design.additive),
        "sd_plain_percent": percent(design.plain),
        "degrees_of_freedom": design.freedom,
        "detectable_percent": percent(design.detectable),
    }


def lines(centre: Arm, variations: Sequence[Arm], *, level: float, power: float) -> tuple[list[dict[str, Any]], Design]:
    """Return one line per variation with `COLUMNS`, and the design by which all changes are judged.

    A variation that diverged for any seed has no change: its scores are of weights from the middle of a training.

    Raises:
        ReportError: the centre itself diverged, or too few arms are left to tell the spread.
    """
    if centre.diverged:
        raise ReportError(f"{centre.name}: the centre of the study diverged; choose settings that train")
    measured = {arm.name: np.log(arm.scores) for arm in (centre, *variations) if arm.scores and not arm.diverged}
    try:
        design = Design.of(list(measured.values()), level=level, power=power)
    except ValueError as error:
        raise ReportError(str(error)) from None
    compared = [arm for arm in variations if arm.name in measured and arm.against in measured]
    changes = {arm.name: measured[arm.name] - measured[arm.against] for arm in compared}
    p_values = {name: design.p_value(float(change.mean())) for name, change in changes.items()}
    adjusted = dict(zip(p_values, holm(list(p_values.values())), strict=True))
    found = []
    for arm in variations:
        line = _about(arm)
        if arm.name in changes:
            line |= _changed(changes[arm.name], measured[arm.name], measured[arm.against], design)
            p, p_holm = p_values[arm.name], adjusted[arm.name]
            line |= {"p": p, "p_holm": p_holm, "verdict": verdict(p, p_holm, level)}
        found.append(line)
    return found, design


def verdict(p: float, p_holm: float, level: float) -> str:
    """Return the verdict on a change, by its p-value before and after the adjustment for multiple tests."""
    if p_holm < level:
        return MATTERS
    return SUGGESTIVE if p < level else NOT_DETECTED


def to_csv(found: Sequence[Mapping[str, Any]]) -> str:
    """Return lines as CSV text: six significant digits, empty where there is no number.

    P-values below 1e-6 are written as that: a t distribution of so few degrees of freedom is not known further out.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n", restval="")
    writer.writeheader()
    writer.writerows({key: _cell(key, value) for key, value in line.items()} for line in found)
    return text.getvalue()


def _cell(key: str, value: Any) -> Any:
    if key in ("p", "p_holm") and isinstance(value, float) and value < SMALLEST_P:
        return f"<{SMALLEST_P:g}"
    return f"{value:.6g}" if isinstance(value, float) else value


def p_value(cell: str) -> float:
    """Return the p-value of a cell, or the bound that it is below."""
    return float(cell.removeprefix("<"))


def from_csv(path: Path) -> list[dict[str, str]]:
    """Return the lines of a written table as text.

    Raises:
        ReportError: the file is not there, or is a table of other columns.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            found = list(reader)
    except FileNotFoundError:
        raise ReportError(f"{path}: missing; run `hkd ambiguity`, or `snakemake --cores all {path}`") from None
    if tuple(reader.fieldnames or ()) != COLUMNS:
        raise ReportError(f"{path}: not a table of this version; delete it and run `hkd ambiguity` again")
    return found


def percent(log_ratio: float) -> float:
    """Return a log ratio as a change in percent."""
    return 100 * float(np.expm1(log_ratio))


def _about(arm: Arm) -> dict[str, Any]:
    """Return the cells of an arm that need no measurement, with the verdict of one without a change."""
    line: dict[str, Any] = {key: getattr(arm, key) for key in ("choice", "value", "against", "network_evals")}
    line |= {"variation": arm.name, "paper": "yes" if arm.paper else "no", "seeds": len(arm.scores)}
    if arm.not_run:
        return line | {"verdict": f"not run: {arm.not_run}"}
    if arm.diverged:
        return line | {"verdict": f"{DIVERGED}: {arm.diverged} of {len(arm.scores)} seeds"}
    return line | {"verdict": f"not run: {arm.against}, which it varies, diverged"}


def _changed(change: Any, own: Any, other: Any, design: Design) -> dict[str, Any]:
    """Return the cells of a measured change."""
    mean, base = float(change.mean()), float(np.exp(other).mean())
    return {
        "fdn_against": base,
        "fdn_variation": float(np.exp(own).mean()),
        "difference": float((np.exp(own) - np.exp(other)).mean()),
        "change_percent": percent(mean),
        "ratios": " ".join(f"{ratio:.4g}" for ratio in np.exp(change)),
        "sd_additive_percent": percent(design.additive),
        "sd_plain_percent": percent(design.plain),
        "detectable_percent": percent(design.detectable),
        "detectable_difference": base * float(np.expm1(design.detectable)),
    }
