"""The checked sections of configs/studies: what each study of finished runs does, and on which runs.

A study reads weights, trajectories or metrics that the workflow has made, and writes arrays or a table of its own.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, model_validator

from hkd.config import Section, nearest
from hkd.settings import Fraction, Positive


class Variation(Section):
    """One open choice, taken otherwise than the arm that it varies takes it.

    `choice` and `value` name it in the table. `set` are settings of a run, laid over those of `against`. `paper`
    says that the full-scale settings take this value. `not_run` says why there is none.
    """

    choice: str
    value: str
    paper: bool = False
    against: str = "centre"
    set: dict[str, Any] = {}
    not_run: str = ""

    @model_validator(mode="after")
    def _complete(self) -> Variation:
        if bool(self.set) == bool(self.not_run):
            raise ValueError("state either what it sets (`set`) or why it is not run (`not_run`)")
        return self


class Ambiguity(Section):
    """One-at-a-time variations around a run, the centre: which of the choices left open matters?

    `set` is laid over the settings of the centre, for all arms alike. `level` and `power`: of the smallest change
    that the table prints beside each change.
    """

    centre: str
    seeds: Annotated[int, Field(ge=2)]
    nfe: Positive
    level: Annotated[Fraction, Field(gt=0, lt=1)]
    power: Annotated[Fraction, Field(gt=0, lt=1)]
    set: dict[str, Any]
    variations: dict[Annotated[str, Field(pattern=r"^[a-z0-9_]+$")], Variation]

    @model_validator(mode="after")
    def _complete(self) -> Ambiguity:
        if "centre" in self.variations:
            raise ValueError("no variation may be named 'centre'")
        for name, variation in self.variations.items():
            other = variation.against
            known = [n for n, v in self.variations.items() if v.set and v.against == "centre" and n != name]
            if other != "centre" and other not in known:
                raise ValueError(f"variations.{name}.against = '{other}'. {nearest(other, ['centre', *known])}")
        return self
