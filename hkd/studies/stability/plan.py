"""How quality develops over a training, and over seeds: the milestones of a run, and the paper's Table 5."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from hkd.plan.asked import evaluating, passing
from hkd.plan.memory import quality_mb
from hkd.plan.rows import reported
from hkd.plan.runs import Plan
from hkd.plan.stages import figure_files, run_code, sampling_settings
from hkd.plan.study import Study
from hkd.plan.work import Definition, Files, Needs, Stage
from hkd.settings.sections import Ema, Positive
from hkd.settings.studies import StudySection
from hkd.store.paths import DATASET, METHOD, SEED, Layout
from hkd.studies.stability.table import PrintedRow

NAME = "stability"


class Stability(StudySection):
    """Quality at the milestones of a training; `epochs`: how many the printed ones are counted of."""

    run: str
    epochs: Positive


def settings(plan: Plan) -> Stability:
    """Return the study's settings."""
    return plan.study(NAME, Stability)


def dataset(plan: Plan) -> str:
    """Return the study's data set."""
    return plan.study_dataset(settings(plan).dataset)


def printed(plan: Plan) -> list[PrintedRow]:
    """Return what the paper printed of its stability, in its order."""
    tables = [table for table in plan.tables.values() if table.dataset == dataset(plan)]
    found = [reported(plan, table).get("tables", {}).get("table5") for table in tables]
    return next(([PrintedRow(**row) for row in table["rows"]] for table in found if table), [])


def averaging(plan: Plan) -> tuple[Ema, int]:
    """Return how the run averages its weights, and its batch."""
    training = plan.run(dataset(plan), settings(plan).run).training
    return training.ema, training.batch


def files(plan: Plan) -> list[str]:
    """Return the quality over training of the run, one file per seed."""
    run = settings(plan).run
    return [_measured_files(plan.layout, dataset(plan), run, seed).outputs["metrics"] for seed in plan.seeds]


def _measured_files(layout: Layout, dataset: str = DATASET, method: str = METHOD, seed: int | str = SEED) -> Files:
    run = layout.run(dataset, method, seed)
    return Files({"metrics": run.of("metrics/stability.json")}, run.log(NAME), recorded=("metrics",))


def _measured(plan: Plan, dataset: str, method: str, seed: int | str) -> Definition:
    run, files = plan.run(dataset, method), plan.layout.run(dataset, method, seed)
    images = run.sampling.n_samples
    total = 2 * len(run.training.milestones) * images  # of averaged and of raw weights
    asked = evaluating(plan, dataset, method, total * run.sampling.nfe[0], least=240)
    asked += passing(plan, dataset, total, least=60)
    return Definition(
        inputs={
            "milestones": files.milestones,
            "config": files.config,
            "reference": plan.layout.reference(dataset),
            "extractor": plan.layout.extractor(dataset, "metric"),
        },
        settings={**sampling_settings(run), "nfe": run.sampling.nfe[0]},
        code=("hkd.experiment.quality", "hkd.training.milestones", *run_code(plan, dataset, method)),
        needs=Needs(gpu=plan.gpus, mem_mb=quality_mb(plan, dataset, method, images), minutes=asked),
    )


def _table_files(layout: Layout) -> Files:
    return Files({"table": f"{layout.table('table5')}.csv"}, layout.top.log("table5"), recorded=("table",))


def _table(plan: Plan) -> Definition:
    law, batch = averaging(plan)
    return Definition(
        {"runs": files(plan)},
        {**_shown(plan), "averaging": law.model_dump(), "batch": batch},
        code=("hkd.studies.stability.table", "hkd.training.ema"),
    )


def _figure(plan: Plan) -> Definition:
    on = dataset(plan)
    about = {
        "title": plan.title(on, settings(plan).run),
        "dataset": plan.dataset(on).title,
        "benchmark": plan.benchmark.benchmark,
    }
    code = ("hkd.studies.stability.figure", "hkd.studies.stability.table", "hkd.figures.save")
    return Definition({"runs": files(plan)}, {**_shown(plan), **about}, code=code)


def _shown(plan: Plan) -> dict[str, Any]:
    return {**settings(plan).model_dump(mode="json"), "printed": [asdict(row) for row in printed(plan)]}


MEASURED = Stage("stability", _measured_files, _measured)
TABLE = Stage("stability_table", _table_files, _table, local=True)
FIGURE = Stage("stability_figure", figure_files(NAME), _figure, local=True, command="figure stability")
STUDY = Study(
    name=NAME,
    sections={NAME: Stability},
    parts=(MEASURED, TABLE, FIGURE),
    tables=("stability_table",),
    figures=("stability_figure",),
)
