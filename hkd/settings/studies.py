"""What the sections of studies share; each study's own section stands in its `plan.py`."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, ValidationInfo

from hkd.settings.origins import Section
from hkd.settings.sections import Fraction, Positive

OrderBy = Literal["alpha", "abs_alpha", "abs_eig"]
Draws = Annotated[int, Field(ge=100)]


class StudySection(Section):
    """A file of configs/studies. `dataset`: on whose runs it is made; the benchmark's unless given."""

    dataset: str | None = None


def _increasing(edges: tuple[float, ...]) -> tuple[float, ...]:
    if any(low >= high for low, high in pairwise((0.0, *edges, 1.0))):
        raise ValueError("must increase within (0, 1)")
    return edges


def _of_the_images(shown: int, about: ValidationInfo) -> int:
    images = about.data.get("images", shown)
    if shown > images:
        raise ValueError(f"there are only {images} images; make it smaller, or `images` larger")
    return shown


Edges = Annotated[tuple[Fraction, ...], AfterValidator(_increasing)]
Shown = Annotated[Positive, AfterValidator(_of_the_images)]
