"""Is HKD what it says: closed latents, a determined spectrum, bands that carry factors? The parts of the study."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import Any, get_args

from hkd.plan.runs import HELD_OUT, Plan
from hkd.plan.stages import figure_files, run_code
from hkd.plan.study import Study
from hkd.plan.work import Definition, Files, Inputs, Needs, Stage
from hkd.settings.origins import ConfigError, nearest
from hkd.settings.studies import OrderBy
from hkd.store.paths import DATASET, METHOD, SEED, Layout
from hkd.studies.interpretability.questions import (
    NAME,
    Interpretability,
    Spectrum,
    check,
    check_runs,
    dataset,
    settings,
    spectrum_dataset,
    spectrum_settings,
)

__all__ = ["NAME", "check_runs", "dataset", "settings", "spectrum_dataset", "spectrum_settings"]

ORDER = "{order}"


@dataclass(frozen=True)
class Pair:
    """Two spectra to compare, as weights files: of one run at two seeds, or of one seed from two initial operators."""

    run: str
    kind: str
    first: str
    second: str


def titles(plan: Plan) -> dict[str, str]:
    """Return the titles of all runs that are named in the table."""
    study = settings(plan)
    runs = (*study.closure, *study.spectra, *study.factors, *_loss_runs(study))
    return {run: plan.title(dataset(plan), run) for run in runs}


# -- what was measured: files of every run, one per seed ---------------------------------------------------------------


def closure_files(plan: Plan) -> dict[str, list[str]]:
    """Return the closure errors of every run, one file per seed."""
    on = dataset(plan)
    return {
        run: [_closure_files(plan.layout, on, run, seed).outputs["errors"] for seed in plan.seeds]
        for run in settings(plan).closure
    }


def quality_files(plan: Plan) -> dict[str, list[str]]:
    """Return the metrics of every run whose intermediate states are asked for, one file per seed."""
    on = dataset(plan)
    return {run: [plan.layout.run(on, run, seed).metrics(1) for seed in plan.seeds] for run in settings(plan).closure}


def factor_files(plan: Plan) -> dict[str, dict[str, list[str]]]:
    """Return the tests of bands and factors of every run, by order, one file per seed."""
    study, on = settings(plan), dataset(plan)

    def files(run: str, order: str) -> list[str]:
        return [_factor_files(plan.layout, on, run, seed, order).outputs["test"] for seed in plan.seeds]

    return {run: {order: files(run, order) for order in study.orders} for run in study.factors}


def loss_files(plan: Plan) -> dict[str, dict[str, list[str]]]:
    """Return metrics and errors over time, one file per seed, of the runs with and without the trajectory loss."""
    on, found = dataset(plan), {}
    for run in _loss_runs(settings(plan)):
        runs = [plan.layout.run(on, run, seed) for seed in plan.seeds]
        found[run] = {"metrics": [one.metrics(1) for one in runs], "errors": [one.trajectory_error for one in runs]}
    return found


def agreement_file(plan: Plan) -> str:
    """Return the agreement of spectra between seeds and initial operators."""
    return _agreement_files(plan.layout, dataset(plan)).outputs["pairs"]


def pairs(plan: Plan, dataset: str) -> list[Pair]:
    """Return the spectra to compare: those of all pairs of seeds, and those of both starts at each seed."""
    study, found = settings(plan), []
    for run in study.spectra:
        weights = {seed: plan.layout.run(dataset, run, seed).weights for seed in plan.seeds}
        found += [Pair(run, "seeds", weights[a], weights[b]) for a, b in combinations(plan.seeds, 2)]
        if other := study.initialisations.get(run):
            starts = [(weights[seed], plan.layout.run(dataset, other, seed).weights) for seed in plan.seeds]
            found += [Pair(run, "initial operators", *pair) for pair in starts]
    return found


def _loss_runs(study: Interpretability) -> tuple[str, ...]:
    return study.trajectory_loss, study.equal_steps, study.equal_compute


# -- the parts ---------------------------------------------------------------------------------------------------------


def _of_run(plan: Plan, dataset: str, method: str, seed: int | str) -> dict[str, str]:
    run = plan.layout.run(dataset, method, seed)
    return {"weights": run.weights, "config": run.config}


def _spectrum_files(layout: Layout, dataset: str = DATASET, method: str = METHOD, seed: int | str = SEED) -> Files:
    run = layout.run(dataset, method, seed)
    return Files({"arrays": run.of("spectrum/spectrum.npz")}, run.log("spectrum"), recorded=("arrays",))


def _spectrum(plan: Plan, dataset: str, method: str, seed: int | str) -> Definition:
    return Definition(
        inputs=_of_run(plan, dataset, method, seed),
        # what is shown changes no array, and how many images pass at once no more than their rounding
        settings=spectrum_settings(plan).model_dump(mode="json", exclude={"dataset", "run", "shown", "batch"}),
        code=("hkd.studies.interpretability.analysis", *run_code(plan, dataset, method)),
        needs=Needs(gpu=plan.gpus, mem_mb=4000, minutes=60),
    )


def _closure_files(layout: Layout, dataset: str = DATASET, method: str = METHOD, seed: int | str = SEED) -> Files:
    run = layout.run(dataset, method, seed)
    return Files({"errors": run.of(f"{NAME}/closure.json")}, run.log("closure"), recorded=("errors",))


def _closure(plan: Plan, dataset: str, method: str, seed: int | str) -> Definition:
    teacher = plan.trajectory_set(dataset, HELD_OUT).teacher
    stored = {"trajectories": plan.layout.trajectories(dataset, HELD_OUT).manifest}
    return Definition(
        inputs={
            **_of_run(plan, dataset, method, seed),
            "teacher": plan.base_weights(dataset, teacher),
            **stored,
        },
        settings=settings(plan).model_dump(mode="json", include={"trajectories", "batch"}),
        code=(
            "hkd.studies.interpretability.closure",
            *run_code(plan, dataset, method),
            *run_code(plan, dataset, teacher),
        ),
        needs=Needs(gpu=plan.gpus, mem_mb=4000, minutes=60),
    )


def _factor_files(
    layout: Layout,
    dataset: str = DATASET,
    method: str = METHOD,
    seed: int | str = SEED,
    order: str = ORDER,
) -> Files:
    run = layout.run(dataset, method, seed)
    return Files({"test": run.of(f"{NAME}/factors-{order}.json")}, run.log(f"factors-{order}"), recorded=("test",))


def _factors(plan: Plan, dataset: str, method: str, seed: int | str, order: str) -> Definition:
    if order not in get_args(OrderBy):
        raise ConfigError(f"order_by: '{order}' is unknown. {nearest(order, list(get_args(OrderBy)))}")
    extractor = {"extractor": plan.layout.extractor(dataset, "metric")}
    return Definition(
        inputs={**_of_run(plan, dataset, method, seed), **extractor},
        settings={
            "order_by": order,
            **settings(plan).model_dump(mode="json", include={"pairs", "draws", "tolerance"}),
            **spectrum_settings(plan).model_dump(mode="json", include={"ascending", "edges"}),
            "preprocessing": plan.extractor(dataset, "metric").preprocessing,
        },
        code=("hkd.studies.interpretability.band_swaps", "hkd.experiment.extractors", *run_code(plan, dataset, method)),
        needs=Needs(gpu=plan.gpus, mem_mb=4000, minutes=120),
    )


def _agreement_files(layout: Layout, dataset: str = DATASET) -> Files:
    folder = layout.dataset(dataset)
    return Files({"pairs": folder.of(f"{NAME}/agreement.json")}, layout.top.log("agreement"), recorded=("pairs",))


def _agreement(plan: Plan, dataset: str) -> Definition:
    study, compared = settings(plan), pairs(plan, dataset)
    runs = (*study.spectra, *(other for run, other in study.initialisations.items() if run in study.spectra))
    code = dict.fromkeys(module for run in runs for module in run_code(plan, dataset, run))
    return Definition(
        inputs={"weights": list(dict.fromkeys(path for pair in compared for path in (pair.first, pair.second)))},
        settings={
            **study.model_dump(mode="json", include={"orders", "draws"}),
            "pairs": [vars(pair) for pair in compared],
        },
        code=("hkd.studies.interpretability.agreements", *code),
        needs=Needs(mem_mb=4000, minutes=60),
    )


def _table_files(layout: Layout) -> Files:
    outputs = {"table": layout.top.of(f"{NAME}.csv"), "text": layout.top.of(f"{NAME}.md")}
    return Files(outputs, layout.top.log(NAME), recorded=("table", "text"))


def _table(plan: Plan) -> Definition:
    return Definition(
        _measured(plan),
        _printed(plan),
        code=("hkd.studies.interpretability.evidence", "hkd.studies.interpretability.findings"),
    )


def _figure(plan: Plan) -> Definition:
    shown = {**_printed(plan), "order_by": spectrum_settings(plan).order_by}
    return Definition(_measured(plan), shown, code=("hkd.studies.interpretability.figure", "hkd.figures.save"))


def _spectrum_figure(plan: Plan) -> Definition:
    study, on = spectrum_settings(plan), spectrum_dataset(plan)
    return Definition(
        inputs={"spectrum": _spectrum_files(plan.layout, on, study.run, 0).outputs["arrays"]},
        settings={
            **study.model_dump(mode="json"),
            "run_title": plan.title(on, study.run),
            "title": plan.dataset(on).title,
            "benchmark": plan.benchmark.benchmark,
        },
        code=("hkd.studies.interpretability.spectrum_figure", "hkd.figures.save"),
    )


def _measured(plan: Plan) -> Inputs:
    """Return every file that the table is made of, once all that the study names are known to be runs."""
    check_runs(plan)
    losses = loss_files(plan).values()
    metrics = [path for paths in quality_files(plan).values() for path in paths]
    metrics += [path for kinds in losses for path in kinds["metrics"]]
    return {
        "closure": [path for paths in closure_files(plan).values() for path in paths],
        "factors": [path for orders in factor_files(plan).values() for paths in orders.values() for path in paths],
        "metrics": list(dict.fromkeys(metrics)),
        "errors": [path for kinds in losses for path in kinds["errors"]],
        "agreement": agreement_file(plan),
    }


def _printed(plan: Plan) -> dict[str, Any]:
    """Return what table and figure say besides what was measured."""
    return {
        **settings(plan).model_dump(mode="json"),
        "titles": titles(plan),
        "title": plan.dataset(dataset(plan)).title,
        "benchmark": plan.benchmark.benchmark,
        "seeds": list(plan.seeds),
    }


SPECTRUM = Stage("spectrum", _spectrum_files, _spectrum)
CLOSURE = Stage("closure", _closure_files, _closure)
FACTORS = Stage("band_factors", _factor_files, _factors)
AGREEMENT = Stage("agreement", _agreement_files, _agreement)
TABLE = Stage("interpretability", _table_files, _table, local=True)
SPECTRUM_FIGURE = Stage(
    "spectrum_figure", figure_files("spectrum"), _spectrum_figure, local=True, command="figure spectrum"
)
FIGURE = Stage("interpretability_figure", figure_files(NAME), _figure, local=True, command="figure interpretability")
STUDY = Study(
    name=NAME,
    sections={NAME: Interpretability, "spectrum": Spectrum},
    parts=(SPECTRUM, CLOSURE, FACTORS, AGREEMENT, TABLE, SPECTRUM_FIGURE, FIGURE),
    check=check,
)
