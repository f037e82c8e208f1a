"""A claim with its verdict, and the marks that it may have."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from hkd.report.orderings import Paired
from hkd.report.verdicts import Comparison, Verdict
from hkd.studies.comparison.claims import Claim
from hkd.studies.comparison.gathered import Found
from hkd.studies.comparison.pairs import SCORE


class Mark(StrEnum):
    """What a reader must know of the runs behind a verdict, or of its claim; a colon and the particulars follow."""

    SELECTED = "selected"
    NO_RECORD = "no record"
    NO_CHECKPOINT = "checkpoint not recorded"
    VERSIONS = "several versions of the code"
    NOT_FROZEN = "not as frozen"
    BYPASSED = "bypassed"
    NO_BYPASS = "bypasses nothing"

    def of(self, text: str) -> str:
        """Return the mark with its particulars."""
        return f"{self}: {text}"


@dataclass(frozen=True)
class Line:
    """A claim with its verdict.

    Attributes:
        found: what was measured, of an ordering first the lower.
        dataset: on which; scale: of the runs.
        reasons: why it does not compare, or is a toy; gaps: what is missing or refused.
        marks: what a reader must know of runs or claim: selected, no record, changed since frozen.
        unfit: why the scores of an ordering, or what a study read, can decide nothing, whatever their number.
        number, order: the arithmetic behind the verdict; lower: mean of an ordering's lower side. decision: of a study.
    """

    claim: Claim
    verdict: Verdict
    found: tuple[Found, ...] = ()
    dataset: str = ""
    scale: str = ""
    reasons: tuple[str, ...] = ()
    gaps: str = ""
    marks: tuple[str, ...] = ()
    number: Comparison | None = None
    order: Paired | None = None
    lower: float | None = None
    decision: str = ""
    seeds: int = 0
    unfit: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def has(self, mark: Mark) -> bool:
        """Whether it has a mark of this kind."""
        return any(text.startswith(f"{mark}: ") for text in self.marks)

    @property
    def estimate(self) -> bool:
        """Whether the distance of its runs is of too few images, and too high."""
        return any(one.doubts(SCORE) for one in self.found)

    @property
    def too_few(self) -> bool:
        """Whether it is of so few that it is no number."""
        return any(one.says_nothing(SCORE) for one in self.found)

    @property
    def told(self) -> str:
        """The verdict with the kinds of its marks, for the cell of a table."""
        kinds = ", ".join(mark for mark in Mark if self.has(mark))
        return f"{self.verdict} ({kinds})" if kinds else str(self.verdict)
