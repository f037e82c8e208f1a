"""The table of the search: every trial, and for each row what choosing among them gains on seeds it was not made on.

The best of many trials is better than it should be on the seeds that it was chosen by. So for every seed the choice is
made by the mean over the others, and judged at this one: as many paired differences as there are seeds.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hkd.report.orderings import paired
from hkd.report.verdicts import Verdict

COLUMNS = (
    *("method", "rate", "steps", "batch", "lr", "train_steps", "train_batch", "network_evals", "fdn", "values"),
    *("own", "chosen", "gain", "low", "high", "detectable", "verdict"),
)
RESOLVED, REVERSED, NOT_RESOLVED, NOT_RUN = "resolved", "resolved in reverse", "not resolved", "not run"


@dataclass(frozen=True)
class Tried:
    """One trial of a method.

    Attributes:
        facts: cells of the table. own: whether it is the method's own settings.
        scores: FDn of every seed in order; None where there is none, or the training diverged.
    """

    facts: Mapping[str, Any]
    own: bool
    scores: tuple[float | None, ...]

    @property
    def whole(self) -> bool:
        """Whether it has a score of every seed."""
        return None not in self.scores

    def mean(self, left_out: int | None = None) -> float:
        """Mean over its seeds, without the one of a number."""
        return statistics.fmean(float(s) for k, s in enumerate(self.scores) if k != left_out and s is not None)


def lines(method: str, tried: Sequence[Tried], *, confidence: float, power: float) -> list[dict[str, Any]]:
    """Return one line per trial with `COLUMNS`; what the choice gains stands beside the method's own settings."""
    whole = [trial for trial in tried if trial.whole]
    best = min(whole, key=Tried.mean) if whole else None
    found = []
    for trial in tried:
        line = {**dict.fromkeys(COLUMNS, ""), "method": method, **trial.facts}
        line["own"], line["chosen"] = ("yes" if said else "no" for said in (trial.own, trial is best))
        line["values"] = " ".join("diverged" if s is None else f"{s:.4g}" for s in trial.scores)
        line["fdn"] = f"{trial.mean():.4g}" if trial.whole else ""
        found.append(line | (_gain(trial, whole, confidence, power) if trial.own else {}))
    return found


def _gain(own: Tried, whole: Sequence[Tried], confidence: float, power: float) -> dict[str, str]:
    """Return what the choice gains over a method's own settings: positive where FDn falls."""
    if not own.whole:
        return {"verdict": f"{NOT_RUN}: its own settings have no score of every seed"}
    gains = []
    for seed, score in enumerate(own.scores):
        chosen = min(whole, key=lambda trial: trial.mean(left_out=seed))
        gains.append(float(score) - float(chosen.scores[seed]))  # type: ignore[arg-type]
    found = paired(gains, confidence, power)
    assert found.half is not None and found.detectable is not None
    words = {Verdict.REPRODUCED: RESOLVED, Verdict.WORSE: REVERSED}
    numbers = {"gain": found.mean, "low": found.mean - found.half, "high": found.mean + found.half}
    shown = {key: f"{value:.4g}" for key, value in {**numbers, "detectable": found.detectable}.items()}
    return {**shown, "verdict": words.get(found.verdict, NOT_RESOLVED)}


def summary(found: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return a line per method for a terminal: its best trial, and what choosing it gains."""
    said = []
    for own in (line for line in found if line["own"] == "yes"):
        mine = [line for line in found if line["method"] == own["method"]]
        best = next((f"{x['rate']} x rate, {x['steps']} x steps" for x in mine if x["chosen"] == "yes"), "none")
        gain = (
            f"gain {own['gain']} ({own['low']} to {own['high']}; seen from {own['detectable']})" if own["gain"] else ""
        )
        said.append(
            f"{own['method']}: best of {len(mine)} trials {best}; {gain + ', ' if gain else ''}{own['verdict']}"
        )
    return said
