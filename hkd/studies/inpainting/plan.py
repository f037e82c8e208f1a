"""Whether missing pixels and colours can be restored without training: settings, files and parts of the study."""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from hkd.plan.runs import Plan
from hkd.plan.stages import figure_files, run_code
from hkd.plan.study import Study
from hkd.plan.work import Definition, Files, Needs, Stage
from hkd.settings.sections import Positive
from hkd.settings.studies import Shown, StudySection
from hkd.store.paths import DATASET, METHOD, SEED, Layout

NAME = "inpainting"


class Inpainting(StudySection):
    """Restoring images from a part of their pixels or from their luminance; `shown`: columns in the figure."""

    run: str
    source: Literal["generated", "dataset"]
    images: Positive
    masks: tuple[Literal["lower_half", "centre", "grid"], ...]
    steps: Positive
    shown: Shown

    @model_validator(mode="after")
    def _complete(self) -> Inpainting:
        if not self.masks:
            raise ValueError("masks: state at least one")
        return self


def settings(plan: Plan) -> Inpainting:
    """Return the study's settings."""
    return plan.study(NAME, Inpainting)


def dataset(plan: Plan) -> str:
    """Return the study's data set."""
    return plan.study_dataset(settings(plan).dataset)


def source(plan: Plan) -> str:
    """Return what the restored images are, in the words of a caption."""
    if settings(plan).source == "generated":
        return "generated images"
    held_out = plan.reference_split(dataset(plan)) == "reference"
    return f"images of the {'held-out' if held_out else 'training'} set"


def _files(layout: Layout, dataset: str = DATASET, method: str = METHOD, seed: int | str = SEED) -> Files:
    run = layout.run(dataset, method, seed)
    outputs = {"arrays": run.of("inpainting/inpainting.npz"), "metrics": run.of("inpainting/inpainting.json")}
    return Files(outputs, run.log(NAME), recorded=("arrays", "metrics"))


def _restored(plan: Plan, dataset: str, method: str, seed: int | str) -> Definition:
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
        code=("hkd.studies.inpainting.restoration", "hkd.experiment.perceptual", *run_code(plan, dataset, method)),
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
            "truth": source(plan),
        },
        code=("hkd.studies.inpainting.figure", "hkd.studies.options", "hkd.figures.save"),
    )


RESTORED = Stage("inpaint", _files, _restored)
FIGURE = Stage("inpainting_figure", figure_files(NAME), _figure, local=True, command="figure inpainting")
STUDY = Study(name=NAME, sections={NAME: Inpainting}, parts=(RESTORED, FIGURE), figures=("inpainting_figure",))
