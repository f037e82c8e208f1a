"""What a difference in the score is worth: real images against real ones, clean and with known mistakes."""

from __future__ import annotations

from hkd.plan.asked import passing
from hkd.plan.memory import halves_mb
from hkd.plan.runs import Plan
from hkd.plan.scores import extractor_files, feature_code, features_settings
from hkd.plan.study import Study
from hkd.plan.work import Definition, Files, Needs, Stage
from hkd.settings.sections import Positive
from hkd.settings.studies import StudySection
from hkd.store.paths import Layout

NAME = "calibration"
CLASSES = 5  # of preprocessing, A to E
KINDS = 15  # sets that each split passes through the networks: as they are, damaged in every way, and the other half


class Calibration(StudySection):
    """How many real images are taken, in a seeded order, and how often they are split into halves at random."""

    images: Positive
    splits: Positive


def settings(plan: Plan) -> Calibration:
    """Return the study's settings."""
    return plan.study(NAME, Calibration)


def dataset(plan: Plan) -> str:
    """Return the study's data set."""
    return plan.study_dataset(settings(plan).dataset)


def _files(layout: Layout) -> Files:
    stem = layout.figure(NAME)
    drawn = {"pdf": f"{stem}.pdf", "png": f"{stem}.png", "caption": f"{stem}.md"}
    return Files({"table": layout.top.of("calibration.csv"), **drawn}, layout.top.log(NAME), recorded=("table",))


def _table(plan: Plan, dataset: str = "") -> Definition:
    on = dataset or plan.study_dataset(settings(plan).dataset)
    networks, taken = features_settings(plan, on), settings(plan)
    asked = passing(plan, on, KINDS * taken.splits * taken.images, least=120)
    return Definition(
        inputs={
            "images": plan.layout.data(on, plan.reference_split(on)).manifest,
            "extractors": extractor_files(plan, on),
        },
        settings={
            **settings(plan).model_dump(mode="json"),
            **{key: networks[key] for key in ("extractor", "networks", "pins")},
            "title": plan.dataset(on).title,
        },
        code=(
            "hkd.studies.calibration.calibrate",
            "hkd.studies.calibration.figure",
            "hkd.figures.save",
            *feature_code(plan, on),
        ),
        needs=Needs(gpu=plan.gpus, mem_mb=halves_mb(plan, on, taken.images, CLASSES), minutes=asked),
    )


TABLE = Stage("calibration", lambda layout, dataset="": _files(layout), _table, command="calibrate")
STUDY = Study(name=NAME, sections={NAME: Calibration}, parts=(TABLE,))
