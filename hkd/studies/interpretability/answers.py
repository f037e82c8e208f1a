"""An answer of the study: a number beside its null or limit, the decision under the rules, and the words for both.

Decisions follow `Rules`, which stand in configs/studies/interpretability.yaml and were fixed before looking. Questions,
quantities and decisions have short names in the code; their words are what the table shows.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

from hkd.report.collect import ReportError
from hkd.studies.interpretability.quantities import Quantity

if TYPE_CHECKING:
    from hkd.studies.interpretability.questions import Rules

BESIDE = ("perfect", "teacher")  # what a perfect one-step generator and the teacher would score
COLUMNS = (
    *("question", "run", "title", "quantity", "mean", "sd", "n", "reference", "reference_is", "decision"),
    *("note", *BESIDE),
)


class Question(StrEnum):
    """A question of the study, in the words of the table."""

    ACCESSIBLE = "Is every intermediate state accessible?"
    DETERMINED = "Is the spectrum determined?"
    LOSS = "Does the trajectory loss help?"
    FACTORS = "Do bands of eigenvalues carry factors?"


class Decision(StrEnum):
    """The answer that a number gives under the rules, in the words of the table."""

    NONE = ""
    NOT_RUN = "not run: needs 2 seeds"
    CLOSED = "closed"
    NOT_CLOSED = "not closed"
    ACCESSIBLE = "accessible"
    NOT_ACCESSIBLE = "not accessible"
    NEARER_TO_STATE = "the state"
    NEARER_TO_CLEAN = "the clean image"
    NEARER_DEPENDS = "depends on the time"
    CONSISTENT = "consistent"
    NOT_CONSISTENT = "not consistent"
    BELOW = "below"
    ABOVE = "above"
    UNDECIDED = "undecided"
    DETERMINED = "determined"
    PARTLY_DETERMINED = "partly determined"
    NOT_DETERMINED = "not determined"
    HELPS = "helps"
    HURTS = "hurts"
    NO_DIFFERENCE = "no difference that this design could detect"
    CARRY_FACTORS = "carry factors"
    DIVIDE_FACTORS = "divide factors"
    IN_SOME_SEEDS = "in some seeds"
    NO_EVIDENCE = "no evidence"
    TEST_SENSITIVE = "the test can see"
    TEST_BLIND = "the test is blind"
    VOID = "says nothing: a perfect one-step generator fails too"


@dataclass(frozen=True)
class Row:
    """One number and the decision that follows from it; `mean` and `sd` are over `n` seeds, or pairs of seeds.

    Attributes:
        note: why the number is an estimate only, of those that were read through a feature network.
        perfect, teacher: what a perfect one-step generator and the teacher would score; None where that is not asked.
    """

    question: Question
    run: str
    title: str
    quantity: Quantity
    values: tuple[float, ...]
    reference: float | None
    reference_is: str
    decision: Decision
    note: str = ""
    perfect: float | None = None
    teacher: float | None = None

    @property
    def mean(self) -> float:
        """Mean over seeds; nan when nothing was measured."""
        return float(np.mean(self.values)) if self.values else math.nan

    @property
    def sd(self) -> float | None:
        """Standard deviation over seeds (ddof 1), None with fewer than two."""
        return float(np.std(self.values, ddof=1)) if len(self.values) > 1 else None

    def cells(self) -> dict[str, str]:
        """Return the row of the table."""
        numbers = {"mean": self.mean if self.values else None, "sd": self.sd, "reference": self.reference}
        numbers |= {"perfect": self.perfect, "teacher": self.teacher}
        shown = {key: "" if value is None else f"{value:.4g}" for key, value in numbers.items()}
        texts = ("question", "run", "title", "reference_is", "decision", "note")
        words = {key: str(getattr(self, key)) for key in texts}
        cells = {**words, **shown, "quantity": self.quantity.text, "n": str(len(self.values))}
        return {key: cells[key] for key in COLUMNS}


def compared(values: Sequence[float], limit: float, rules: Rules) -> Decision:
    """Return whether the mean lies below or above a limit, which is undecided where its interval holds the limit.

    A single value has no interval, and so is not run.
    """
    half = half_width(values, rules.confidence)
    if half is None:
        return Decision.NOT_RUN
    difference = float(np.mean(values)) - limit
    if not abs(difference) > half:  # a mean that is nan decides nothing either
        return Decision.UNDECIDED
    return Decision.BELOW if difference < 0 else Decision.ABOVE


def half_width(values: Sequence[float], confidence: float) -> float | None:
    """Return half the width of Student's interval for the mean; None with fewer than two values."""
    if len(values) < 2:
        return None
    quantile = stats.t.ppf(0.5 + confidence / 2, len(values) - 1)
    return float(quantile * np.std(values, ddof=1) / math.sqrt(len(values)))


def noted(doubts: Iterable[str]) -> str:
    """Return the doubts about scores of several seeds, each once."""
    return "; ".join(dict.fromkeys(text for text in doubts if text))


def no_level(key: str, where: str, sigmas: Sequence[float]) -> ReportError:
    """Return the refusal of a rule that no noise level meets."""
    return ReportError(
        f"studies.interpretability.rules.{key}: no noise level {where} among {', '.join(f'{s:g}' for s in sigmas)}; "
        "widen it in configs/studies/interpretability.yaml"
    )
