"""Whether missing pixels and colours can be restored without training: settings, files and parts of the study."""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from hkd.plan.runs import Plan
from hkd.plan.stages import figure_files
from hkd.plan.study import Study
from hkd.plan.work import Definition, Stage
from hkd.settings.sections import Positive
from hkd.settings.studies import Shown, StudySection
from hkd.studies.one_run import beside_weights, of_figure, of_images

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


def _restored(plan: Plan, dataset: str, method: str, seed: int | str) -> Definition:
    return of_images(plan, settings(plan), dataset, method, seed, code="hkd.studies.inpainting.restoration")


def _figure(plan: Plan) -> Definition:
    study, on, code = settings(plan), dataset(plan), "hkd.studies.inpainting.figure"
    return of_figure(plan, study, FILES, run=study.run, on=on, code=code, truth=source(plan))


FILES = beside_weights("inpainting/inpainting", NAME)
RESTORED = Stage("inpaint", FILES, _restored)
FIGURE = Stage("inpainting_figure", figure_files(NAME), _figure, local=True, command="figure inpainting")
STUDY = Study(name=NAME, sections={NAME: Inpainting}, parts=(RESTORED, FIGURE), figures=("inpainting_figure",))
