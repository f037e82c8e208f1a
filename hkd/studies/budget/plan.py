"""One-step methods at equal numbers of evaluations: the runs that are compared, and all that stands behind each."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from pydantic import field_validator

from hkd.plan.asked import evaluating, passing
from hkd.plan.memory import quality_mb
from hkd.plan.runs import Plan
from hkd.plan.stages import run_code
from hkd.plan.study import Study
from hkd.plan.work import Definition, Files, Needs, Stage
from hkd.settings.merge import Resolver
from hkd.settings.origins import ConfigError, Layers, nearest
from hkd.settings.sections import Positive
from hkd.settings.studies import StudySection
from hkd.store.paths import DATASET, METHOD, SEED, Layout

NAME = "budget"
NFE = 1  # what is compared are methods that make an image in one step


class Budget(StudySection):
    """One-step methods at equal numbers of evaluations of the networks that they train.

    Attributes:
        set: settings laid over those of every method.
        methods: what each needs besides, so that its training makes `evaluations`.
        evaluations: of student, target and fake denoiser together, that each training makes.
        images, batch: measured at each milestone, and made at once.
    """

    set: dict[str, Any]
    methods: dict[str, dict[str, Any]]
    evaluations: Positive
    images: Positive
    batch: Positive

    @field_validator("set")
    @classmethod
    def _with_milestones(cls, settings: dict[str, Any]) -> dict[str, Any]:
        if not settings.get("training", {}).get("milestones"):
            raise ValueError("name training.milestones: the curve of a method is measured at the weights on its way")
        return settings


@dataclass
class Behind:
    """All that a run stands on, each once: trained runs, and sets of pairs or trajectories."""

    runs: list[str] = field(default_factory=list)
    sets: list[str] = field(default_factory=list)


def settings(plan: Plan) -> Budget:
    """Return the settings of the comparison."""
    return plan.study(NAME, Budget)


def dataset(plan: Plan) -> str:
    """Return the data set of the comparison."""
    return plan.study_dataset(settings(plan).dataset)


def runs(plan: Plan) -> list[str]:
    """Return the runs that are compared, as group/name."""
    return [f"{NAME}/{name}" for name in settings(plan).methods]


def run_settings(resolver: Resolver, dataset: str, name: str) -> Layers:
    """Return the settings of a method in the comparison: its own, then the study's `set`, then its line there."""
    known = resolver.study(NAME, Budget).methods
    if name not in known:
        raise ConfigError(f"{NAME}/{name}: the study '{NAME}' compares no such method. {nearest(name, list(known))}")
    layers = resolver.study_layers(NAME)
    merged = resolver.layers(dataset, f"methods/{name}").put(layers.pick("set"))
    return merged.put(layers.pick("methods", name))


def behind(plan: Plan, method: str) -> Behind:
    """Return the runs and sets whose cost a method's images carry, besides its own training."""
    found = Behind()
    _collect(plan, method, found)
    return found


def _collect(plan: Plan, method: str, found: Behind) -> None:
    run = plan.run(dataset(plan), method)
    bases = [base for base in (run.init, run.teacher) if base]
    kind, _, name = run.feed.partition("/")
    if kind == "trajectories" and name not in found.sets:
        found.sets.append(name)
        bases.append(plan.trajectory_set(dataset(plan), name).teacher)
    for base in bases:
        if base not in found.runs:
            found.runs.append(base)
            if not plan.given(dataset(plan), base):
                _collect(plan, base, found)


def curve(plan: Plan, method: str, seed: int) -> str:
    """Return the file of a run's distances on the way."""
    return _curve_files(plan.layout, dataset(plan), method, seed).outputs["curve"]


def _curve_files(layout: Layout, dataset: str = DATASET, method: str = METHOD, seed: int | str = SEED) -> Files:
    run = layout.run(dataset, method, seed)
    return Files({"curve": run.of("budget/curve.json")}, run.log(NAME), recorded=("curve",))


def _curve(plan: Plan, dataset: str, method: str, seed: int | str) -> Definition:
    run, images = plan.layout.run(dataset, method, seed), settings(plan).images
    total = images * len(plan.run(dataset, method).training.milestones)
    asked = evaluating(plan, dataset, method, NFE * total, least=60) + passing(plan, dataset, total, least=0)
    return Definition(
        inputs={
            "weights": run.weights,
            "config": run.config,
            "milestones": run.milestones,
            "reference": plan.layout.reference(dataset),
            "extractor": plan.layout.extractor(dataset, "metric"),
        },
        settings={"images": images, "nfe": NFE},
        code=("hkd.studies.budget.curve", "hkd.training.milestones", *run_code(plan, dataset, method)),
        needs=Needs(gpu=plan.gpus, mem_mb=quality_mb(plan, dataset, method, images), minutes=asked),
    )


def _table_files(layout: Layout) -> Files:
    stem = layout.figure(NAME)
    outputs = {"table": layout.top.of("budget.csv")}
    drawn = {"pdf": f"{stem}.pdf", "png": f"{stem}.png", "caption": f"{stem}.md"}
    return Files({**outputs, **drawn}, layout.top.log(NAME), recorded=("table",))


def _table(plan: Plan) -> Definition:
    on, compared, study = dataset(plan), runs(plan), settings(plan)
    stands_on = [behind(plan, method) for method in compared]
    own = [plan.layout.run(on, method, seed).weights for method in compared for seed in plan.seeds]
    return Definition(
        inputs={
            "curves": [curve(plan, method, seed) for method in compared for seed in plan.seeds],
            "weights": [*own, *(plan.base_weights(on, base) for found in stands_on for base in found.runs)],
            "trajectories": [plan.layout.trajectories(on, name).manifest for found in stands_on for name in found.sets],
        },
        settings={
            "titles": {method: plan.title(on, method) for method in compared},
            "dataset": plan.dataset(on).title,
            "benchmark": plan.benchmark.benchmark,
            "seeds": plan.benchmark.seeds,
            "evaluations": study.evaluations,
            "images": study.images,
        },
        code=("hkd.studies.budget.table", "hkd.studies.budget.figure", "hkd.figures.save"),
    )


CURVE = Stage("budget_curve", _curve_files, _curve)
TABLE = Stage("budget", _table_files, _table, local=True)
STUDY = Study(name=NAME, sections={NAME: Budget}, parts=(CURVE, TABLE), runs=run_settings)
