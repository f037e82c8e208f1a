"""The rules of the comparison, which configs/studies/comparison.yaml states: what counts as reproduced."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from hkd.settings.origins import Section
from hkd.settings.sections import Fraction, Positive, Rate
from hkd.settings.studies import StudySection

Inside = Annotated[Fraction, Field(gt=0, lt=1)]


class Margin(Section):
    """How far a reproduction may lie from a printed number: `ranked` of the distance to the nearest printed row that
    the text ranks it against; where there is none, `otherwise` times the number itself."""

    ranked: Inside
    otherwise: Inside


class Laboratories(Section):
    """By how much laboratories differ that train and measure the same method.

    Attributes:
        relative: standard deviation of the log ratio of two laboratories' numbers, one seed of each.
        quantities: that it was estimated of. It says nothing of others: two devices differ in seconds by no such law.
        freedom: degrees of freedom that it was estimated with; None: it is taken as known.
        interval: of `relative`, 95 %, for the reader.
        pairs: what it was estimated from, as (one laboratory's, the other's), by method.
    """

    relative: Annotated[float, Field(ge=0)]
    freedom: Positive | None
    quantities: tuple[str, ...]
    interval: tuple[Rate, Rate] | None = None
    pairs: dict[str, tuple[Rate, Rate]] = {}


class Comparison(StudySection):
    """When a claim counts as reproduced.

    Attributes:
        confidence: of every interval; power: of the smallest difference that a design detects.
        checkpoint: which weights of a training count.
        equal_budget: below the paper's scale, by how large a share the network evaluations of two rows may differ for
            their order to mean anything.
        selected: runs whose checkpoint, or a key, was chosen by the score: why, by group/name.
    """

    confidence: Inside
    power: Inside
    margin: Margin
    laboratories: Laboratories
    checkpoint: Literal["last"]
    equal_budget: Fraction
    selected: dict[str, str] = {}

    @model_validator(mode="after")
    def _power_above_the_level(self) -> Comparison:
        if self.power <= 1 - self.confidence:
            raise ValueError(f"power {self.power:g}: a test that sees nothing rejects as often; make it larger")
        return self
