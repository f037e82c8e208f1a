"""The table of paired differences: each with its interval, the smallest difference that the design detects, a verdict.

A pair of runs of which a seed is missing, or diverged, decides nothing, however large the difference of the others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any

from hkd.report.orderings import paired
from hkd.report.verdicts import Verdict as Order

COLUMNS = (
    *("lower", "higher", "seeds", "fdn_lower", "fdn_higher", "difference", "low", "high", "detectable"),
    *("differences", "verdict"),
)
Scores = Sequence[float | None]
"""FDn of every seed in order; None where there is none."""


class Verdict(StrEnum):
    """What paired seeds say of an order, in the words of the table."""

    RESOLVED = "resolved"
    REVERSED = "resolved in reverse"
    NOT_RESOLVED = "not resolved"
    NOT_RUN = "not run"


_WORDS = {Order.REPRODUCED: Verdict.RESOLVED, Order.WORSE: Verdict.REVERSED}


def score(content: Mapping[str, Any] | None) -> float | None:
    """Return FDn of a metrics file; None where there is no file, or the training diverged."""
    if content is None or content.get("diverged_at") is not None:
        return None
    return float(content["metrics"]["fdn"])


def lines(
    pairs: Sequence[tuple[str, str]],
    scores: Mapping[str, Scores],
    titles: Mapping[str, str],
    *,
    confidence: float,
    power: float,
) -> list[dict[str, Any]]:
    """Return one line per pair with `COLUMNS`.

    Args:
        pairs: of runs, the one first that shall have the lower FDn. scores: by run.
    """
    return [_line(titles[a], titles[b], scores[a], scores[b], confidence, power) for a, b in pairs]


def _line(lower: str, higher: str, low: Scores, high: Scores, confidence: float, power: float) -> dict[str, Any]:
    line: dict[str, Any] = {**dict.fromkeys(COLUMNS, ""), "lower": lower, "higher": higher, "seeds": len(low)}
    missing = sorted({seed for side in (low, high) for seed, value in enumerate(side) if value is None})
    if missing:
        return line | {"verdict": f"{Verdict.NOT_RUN}: no FDn of seed {', '.join(map(str, missing))}"}
    if len(low) < 2:
        return line | {"verdict": f"{Verdict.NOT_RUN}: needs 2 seeds"}
    differences = [float(b) - float(a) for a, b in zip(low, high, strict=True)]  # type: ignore[arg-type]
    found = paired(differences, confidence, power)
    assert found.half is not None and found.detectable is not None
    return line | {
        "fdn_lower": f"{_mean(low):.4g}",
        "fdn_higher": f"{_mean(high):.4g}",
        "difference": f"{found.mean:.4g}",
        "low": f"{found.mean - found.half:.4g}",
        "high": f"{found.mean + found.half:.4g}",
        "detectable": f"{found.detectable:.4g}",
        "differences": " ".join(f"{difference:.4g}" for difference in differences),
        "verdict": str(_WORDS.get(found.verdict, Verdict.NOT_RESOLVED)),
    }


def text(found: Sequence[Mapping[str, Any]], about: str) -> str:
    """Return the table in words, a line per pair."""
    return "\n".join([f"# Do the orders hold?\n\n{about}.\n", *(f"- {said(line)}." for line in found)]) + "\n"


def said(line: Mapping[str, Any]) -> str:
    """Return what a line says: nothing stronger than its verdict."""
    who, verdict = f"{line['lower']} below {line['higher']}", str(line["verdict"])
    if not line["difference"]:
        return f"{who}: {verdict}"
    return (
        f"{who}: {verdict} ({line['fdn_lower']} and {line['fdn_higher']}; difference {line['difference']}, interval "
        f"{line['low']} to {line['high']}; {line['seeds']} seeds detect {line['detectable']} or more)"
    )


def as_results(
    scores: Mapping[str, Scores], titles: Mapping[str, str], about: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    """Return the scores as a result file of findings: of a run with a missing seed its title alone."""
    rows = {
        run.rpartition("/")[2]: {
            "title": titles[run],
            **({} if None in values or not values else {"fdn": {"values": list(values)}}),
        }
        for run, values in scores.items()
    }
    return {"about": {**about, "quantities": {"fdn": "FDn"}}, "rows": rows}


def _mean(values: Scores) -> float:
    known = [float(value) for value in values if value is not None]
    return sum(known) / len(known)
