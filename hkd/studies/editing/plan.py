"""What bands of modes change in an image, and where: settings, files and parts of the study of editing."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from hkd.plan.runs import Plan
from hkd.plan.stages import figure_files, run_code
from hkd.plan.study import Study
from hkd.plan.work import Definition, Files, Needs, Stage
from hkd.settings.sections import Fraction, Positive, Rate
from hkd.settings.studies import Edges, OrderBy, Shown, StudySection
from hkd.store.paths import DATASET, METHOD, SEED, Layout

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


def _files(layout: Layout, dataset: str = DATASET, method: str = METHOD, seed: int | str = SEED) -> Files:
    run = layout.run(dataset, method, seed)
    outputs = {"arrays": run.of("editing/editing.npz"), "metrics": run.of("editing/editing.json")}
    return Files(outputs, run.log(NAME), recorded=("arrays", "metrics"))


def _edited(plan: Plan, dataset: str, method: str, seed: int | str) -> Definition:
    run = plan.layout.run(dataset, method, seed)
    return Definition(
        inputs={
            "images": plan.layout.data(dataset, plan.reference_split(dataset)).manifest,
            "weights": run.weights,
            "config": run.config,
            "perceptual": plan.layout.extractor(dataset, "perceptual"),
        },
        spare=("images", "config", "perceptual"),
        # on which run the figure is drawn, and how many rows it has, change no array
        settings=settings(plan).model_dump(exclude={"dataset", "run", "shown"}),
        code=("hkd.studies.editing.edits", "hkd.experiment.perceptual", *run_code(plan, dataset, method)),
        needs=Needs(gpu=plan.gpus, mem_mb=4000, minutes=60),
    )


def _figure(plan: Plan) -> Definition:
    study, on = settings(plan), dataset(plan)
    files = _files(plan.layout, on, study.run, 0)
    return Definition(
        inputs={**files.outputs, "weights": plan.layout.run(on, study.run, 0).weights},
        settings={
            **study.model_dump(),
            "title": plan.title(on, study.run),
            "on": plan.dataset(on).title,
            "benchmark": plan.benchmark.benchmark,
        },
        code=("hkd.studies.editing.figure", "hkd.studies.options", "hkd.figures.save"),
    )


EDITED = Stage("edit", _files, _edited)
FIGURE = Stage("editing_figure", figure_files(NAME), _figure, local=True, command="figure editing")
STUDY = Study(name=NAME, sections={NAME: Editing}, parts=(EDITED, FIGURE), figures=("editing_figure",))
