"""Nearest training images of samples: settings, files and part."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from hkd.plan.asked import passing
from hkd.plan.memory import neighbours_mb
from hkd.plan.rows import cells, printed_side, row_title
from hkd.plan.runs import Plan
from hkd.plan.scores import extractor_files, feature_code, features_settings, scores
from hkd.plan.study import Study
from hkd.plan.work import Definition, Files, Needs, Stage
from hkd.settings.columns import views_of
from hkd.settings.sections import Positive
from hkd.settings.studies import StudySection
from hkd.store.paths import Layout

NAME = "nearest"
BLOCK = 512  # rows whose distances to all training images are held, of hkd.studies.nearest.neighbours


class Nearest(StudySection):
    """How samples are held against the training images.

    Attributes:
        table: whose rows are looked at, with their first seed.
        images: training images, taken one by one from their set and held against the others, to be the measure.
        near: of these, the share that sticks so much to another that a sample doing as much counts as close.
        shown: samples in the figure, those that stick most to one training image.
    """

    table: str
    images: Annotated[int, Field(ge=100)]
    near: Annotated[float, Field(gt=0, lt=0.1)]
    shown: Positive


def settings(plan: Plan) -> Nearest:
    """Return the study's settings."""
    return plan.study(NAME, Nearest)


def found_rows(plan: Plan) -> list[tuple[str, int, str]]:
    """Return title, evaluations and run (group/name) of every row that is looked at, once where it is printed twice."""
    table = settings(plan).table
    spec = plan.table(table)
    runs = [(row_title(plan, spec, row.method), row.nfe, row.method) for row, _ in cells(plan, table) if row.method]
    return list(dict.fromkeys(runs))


def view(plan: Plan, dataset: str) -> str:
    """Return the features in which distances are taken: those for photographs, where scores are made of them."""
    return next((found for found in views_of(scores(plan, dataset)) if found.startswith("effnet_")), "own_A")


def _files(layout: Layout) -> Files:
    stem = layout.figure(NAME)
    drawn = {"pdf": f"{stem}.pdf", "png": f"{stem}.png", "caption": f"{stem}.md"}
    return Files({"table": layout.top.of(f"{NAME}.csv"), **drawn}, layout.top.log(NAME), recorded=("table",))


def _nearest(plan: Plan) -> Definition:
    study = settings(plan)
    on = plan.table(study.table).dataset
    training = plan.dataset(on).data.count or 0
    runs = [(plan.layout.run(on, method, 0), nfe) for _, nfe, method in found_rows(plan)]
    return Definition(
        inputs={
            "samples": [run.samples(nfe) for run, nfe in runs],
            "features": [run.features(nfe) for run, nfe in runs],
            "images": plan.layout.data(on, "train").manifest,
            "extractors": extractor_files(plan, on),
        },
        settings=_settings(plan, study, on),
        code=(
            "hkd.studies.nearest.neighbours",
            "hkd.studies.nearest.figure",
            "hkd.data.image_set",
            "hkd.figures.save",
            *feature_code(plan, on),
        ),
        needs=Needs(
            gpu=plan.gpus,
            mem_mb=neighbours_mb(plan, on, training, BLOCK),
            minutes=passing(plan, on, training, least=30),
        ),
    )


def _settings(plan: Plan, study: Nearest, on: str) -> dict[str, Any]:
    shown = study.model_dump(mode="json", exclude={"table", "dataset"})
    networks = features_settings(plan, on)
    return {
        **shown,
        "view": view(plan, on),
        "rows": printed_side(plan, study.table),
        **{key: networks[key] for key in ("extractor", "networks", "pins")},
    }


PART = Stage(NAME, _files, _nearest)
STUDY = Study(name=NAME, sections={NAME: Nearest}, parts=(PART,))
