"""Seconds an image of finished runs, for the rows of the paper's Table 6: settings, files and parts of the study."""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple

from pydantic import Field

from hkd.plan.asked import evaluating
from hkd.plan.rows import answering, reported
from hkd.plan.runs import Plan
from hkd.plan.stages import run_code, sampling_settings
from hkd.plan.study import Study
from hkd.plan.work import Definition, Files, Needs, Stage
from hkd.settings.benchmark import Table
from hkd.settings.origins import ConfigError
from hkd.settings.sections import Batch
from hkd.settings.studies import StudySection
from hkd.store.paths import DATASET, METHOD, NFE, SEED, Layout

NAME = "latency"
PRINTED, ROWS = "table6", "table1"  # the table of seconds, and the one whose rows are the same runs


class Latency(StudySection):
    """How long a run takes to make a batch of images, from noise on.

    Attributes:
        within_all: whether `all` makes the table.
        batch: images at a time. warm_up, repeats: calls that do not count, and calls that do.
    """

    within_all: bool
    batch: Batch
    warm_up: Annotated[int, Field(ge=1, le=1000)]
    repeats: Annotated[int, Field(ge=1, le=10_000)]


class Timed(NamedTuple):
    """A printed row, and the run that answers it; None: this benchmark does not run it."""

    label: str
    nfe: int
    seconds: float
    run: str
    answer: str | None


def settings(plan: Plan) -> Latency:
    """Return the study's settings."""
    return plan.study(NAME, Latency)


def table(plan: Plan) -> Table:
    """Return the benchmark's table whose rows are timed.

    Raises:
        ConfigError: it has none.
    """
    for found in plan.tables.values():
        if found.rows == ROWS and PRINTED in reported(plan, found).get("tables", {}):
            return found
    raise ConfigError(
        f"studies.{NAME}: no table of benchmark '{plan.benchmark.benchmark}' has the rows of {ROWS}, whose seconds "
        "are printed; name a benchmark that has, as configs/benchmarks/cifar10.yaml"
    )


def rows(plan: Plan) -> list[Timed]:
    """Return the rows of the printed table, in its order."""
    spec = table(plan)
    found = []
    for item in reported(plan, spec)["tables"][PRINTED]["rows"]:
        run, answer = item["run"], None
        if (spec.run is None or run in spec.run) and (plan.configs / f"{run}.yaml").exists():
            taken = answering(plan, spec, run)
            answer = taken if item["nfe"] in plan.run(spec.dataset, taken).sampling.nfe else None
        found.append(Timed(item["method"], item["nfe"], item["seconds"], run, answer))
    return found


def timings(plan: Plan, row: Timed) -> list[str]:
    """Return the files that answer a row, one for each seed."""
    on = table(plan).dataset
    seeds = plan.seeds if row.answer else ()
    return [_files(plan.layout, on, str(row.answer), seed, row.nfe).outputs["timing"] for seed in seeds]


def _files(
    layout: Layout, dataset: str = DATASET, method: str = METHOD, seed: int | str = SEED, nfe: int | str = NFE
) -> Files:
    run = layout.run(dataset, method, seed)
    return Files({"timing": run.of(f"latency/nfe{nfe}.json")}, run.log(f"latency-nfe{nfe}"), recorded=("timing",))


def _timing(plan: Plan, dataset: str, method: str, seed: int | str, nfe: int | str) -> Definition:
    run, study = plan.layout.run(dataset, method, seed), settings(plan)
    made = (study.warm_up + study.repeats) * study.batch * int(nfe)
    sampling = sampling_settings(plan.run(dataset, method))
    return Definition(
        inputs={"weights": run.weights, "config": run.config},
        settings={**study.model_dump(exclude={"dataset", "within_all"}), "draws": sampling.get("draws", "host")},
        code=("hkd.studies.latency.timed", *run_code(plan, dataset, method)),
        needs=Needs(gpu=plan.gpus, mem_mb=4000, minutes=evaluating(plan, dataset, method, made, least=60)),
    )


def _table_files(layout: Layout) -> Files:
    stem = layout.table(PRINTED)
    outputs = {"csv": f"{stem}.csv", "markdown": f"{stem}.md", "latex": f"{stem}.tex"}
    return Files(outputs, layout.top.log(PRINTED), recorded=("csv", "markdown", "latex"))


def _table(plan: Plan) -> Definition:
    shown: list[Any] = [list(row) for row in rows(plan)]
    about = [plan.dataset(table(plan).dataset).title, plan.benchmark.benchmark]
    return Definition(
        inputs={"timings": [path for row in rows(plan) for path in timings(plan, row)]},
        settings=[shown, *about],
        code=("hkd.studies.latency.table", "hkd.studies.latency.read", "hkd.report.csv"),
    )


TIMING = Stage(NAME, _files, _timing)
TABLE = Stage("latency_table", _table_files, _table, local=True)
STUDY = Study(
    name=NAME,
    sections={NAME: Latency},
    parts=(TIMING, TABLE),
    tables=("latency_table",),
    within_all=lambda plan: settings(plan).within_all,
)
