"""What bands of modes change in an image, and where: settings, files and parts of the study of editing."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from hkd.plan.runs import Plan
from hkd.plan.stages import figure_files
from hkd.plan.study import Study
from hkd.plan.work import Definition, Stage
from hkd.settings.sections import Fraction, Positive, Rate
from hkd.settings.studies import Edges, OrderBy, Shown, StudySection
from hkd.studies.one_run import beside_weights, of_figure, of_images

NAME = "editing"


class Editing(StudySection):
    """Blending the modes of one image with those of another, in one region and one band.

    Attributes:
        run: whose figure is drawn.
        source: images drawn by the run, or those of the data set that no method trains on, where there are any.
        ratios: of the other image; control: the ratio at which all modes are blended.
        order_by, ascending, edges, band: which modes are blended.
        mid: noise level at which they are; None for half way through mapped time.
        times: noise levels, from T to eps, at which the strongest edit is repeated.
        shown: rows in the figure.
    """

    run: str
    source: Literal["generated", "dataset"]
    images: Positive
    region: Literal["lower_left_triangle", "lower_half", "lower_left_quadrant"]
    ratios: tuple[Fraction, ...]
    control: Fraction
    order_by: OrderBy
    ascending: bool
    edges: Edges
    band: Annotated[int, Field(ge=0)]
    mid: Rate | None
    times: Annotated[int, Field(ge=2)]
    shown: Shown

    @model_validator(mode="after")
    def _complete(self) -> Editing:
        if not self.ratios:
            raise ValueError("ratios: state at least one")
        if self.band > len(self.edges):
            raise ValueError(f"band {self.band}: {len(self.edges)} edges make the bands 0 to {len(self.edges)}")
        return self


def settings(plan: Plan) -> Editing:
    """Return the study's settings."""
    return plan.study(NAME, Editing)


def dataset(plan: Plan) -> str:
    """Return the study's data set."""
    return plan.study_dataset(settings(plan).dataset)


def _edited(plan: Plan, dataset: str, method: str, seed: int | str) -> Definition:
    return of_images(plan, settings(plan), dataset, method, seed, code="hkd.studies.editing.edits")


def _figure(plan: Plan) -> Definition:
    study, on = settings(plan), dataset(plan)
    return of_figure(plan, study, FILES, run=study.run, on=on, code="hkd.studies.editing.figure")


FILES = beside_weights("editing/editing", NAME)
EDITED = Stage("edit", FILES, _edited)
FIGURE = Stage("editing_figure", figure_files(NAME), _figure, local=True, command="figure editing")
STUDY = Study(name=NAME, sections={NAME: Editing}, parts=(EDITED, FIGURE), figures=("editing_figure",))
