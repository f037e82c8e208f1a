"""What a file of configs/claims may say: numbers, orderings, statements, each with its citation."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from hkd.settings.origins import Section
from hkd.settings.sections import Positive, Rate

LEARNED = "trajectories"  # key of a training's record: the settings of the set that it learned from


class Cite(Section):
    """Where a claim stands: its source, and a table with row and column, or a section of the text.

    `nfe`, `category` and `epoch` tell rows of one label apart.
    """

    source: str
    table: Positive | None = None
    row: str = ""
    column: str = ""
    section: str = ""
    nfe: Positive | None = None
    category: str = ""
    epoch: Annotated[int, Field(ge=-1)] | None = None

    @model_validator(mode="after")
    def _somewhere(self) -> Cite:
        if not self.table and not self.section:
            raise ValueError("names neither a table nor a section")
        return self


class Cell(Section):
    """A cell of a table that a study leaves in the results folder, or a value in a JSON file of it.

    Attributes:
        file: below the results folder, `{dataset}` standing for that of studies; where: what stands in other columns of
            its line.
        column: the cell: a number, or one for each seed with spaces between, or a decision. Of JSON, keys with dots
            between.
        quantity: what the numbers are, where it is not what was printed.
        must: what other columns must say for the numbers to compare with the printed one.
    """

    file: Annotated[str, Field(pattern=r"^(\{dataset\}/)?([\w-]+/)*[\w-]+\.(csv|json)$")]
    where: dict[str, str] = {}
    column: str
    quantity: str = ""
    must: dict[str, str] = {}


class Number(Section):
    """A printed number.

    Attributes:
        reported: file of configs/reported that holds it; or `value`, where it stands in none.
        rounding: unit of its last digit.
        minimum_of: evaluations of one network that it is the smallest of, where its source says so.
        protocol: how it was measured, as far as that is stated.
        run, nfe: what answers it, where that is not the row's own; conditions: the table of configs/reported whose
            data set, reference and lengths of training hold for it.
        cell: of a study, where that answers it; unanswered: why nothing here does.
        ranked_against: claims that the text ranks it against. same_as: the claim that it is a second printing of.
    """

    kind: Literal["number"]
    cite: Cite
    reported: str
    conditions: str
    rounding: Rate
    quantity: str
    protocol: str
    value: float | None = None
    minimum_of: Positive = 1
    run: str | None = None
    nfe: Positive | None = None
    cell: Cell | None = None
    unanswered: str = ""
    ranked_against: tuple[str, ...] = ()
    same_as: str | None = None
    note: str = ""


class Ordering(Section):
    """That one printed number is the smaller: `lower` and `higher` are claims whose runs are compared seed by seed."""

    kind: Literal["ordering"]
    cite: Cite
    quote: str
    lower: str
    higher: str
    note: str = ""


class Statement(Section):
    """What the text says without a number; a study answers it by a decision that `agrees`, `disagrees`, or neither."""

    kind: Literal["statement"]
    cite: Cite
    quote: str
    study: str
    cell: Cell
    agrees: tuple[str, ...]
    disagrees: tuple[str, ...]
    note: str = ""


SECTIONS: dict[str, type[Number | Ordering | Statement]] = {
    "number": Number,
    "ordering": Ordering,
    "statement": Statement,
}
