"""The same search for every live row: equal trials over rate, batch and steps, on seeds that no table uses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field, field_validator

from hkd.plan.runs import Plan
from hkd.plan.study import Study
from hkd.plan.work import Definition, Files, Stage
from hkd.settings.merge import Resolver
from hkd.settings.origins import ConfigError, Layers, nearest
from hkd.settings.sections import Fraction, Positive, Rate
from hkd.settings.studies import StudySection
from hkd.store.paths import Layout

NAME = "search"
OWN = 1.0  # a factor of a row's own settings
Inside = Annotated[Fraction, Field(gt=0, lt=1)]


class Search(StudySection):
    """Trials around the settings of every method, the same number for each.

    Attributes:
        methods: names in configs/methods.
        rates: factors of a method's own learning rate. shapes: factors of its steps and of its batch.
        lengths: keys that count steps, scaled as these are, where a method has them.
        seeds: of every trial.
        confidence, power: of intervals, and of the smallest difference that the design detects.
        set: settings laid over those of every trial.
    """

    methods: tuple[str, ...]
    rates: tuple[Rate, ...]
    shapes: tuple[tuple[Rate, Rate], ...]
    lengths: tuple[str, ...]
    seeds: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=2)]
    nfe: Positive
    confidence: Inside
    power: Inside
    set: dict[str, Any]

    @field_validator("rates")
    @classmethod
    def _own_rate(cls, rates: tuple[float, ...]) -> tuple[float, ...]:
        if OWN not in rates:
            raise ValueError("must name 1.0, a row's own rate, which the others are held against")
        return rates

    @field_validator("shapes")
    @classmethod
    def _equal_evaluations(cls, shapes: tuple[tuple[float, float], ...]) -> tuple[tuple[float, float], ...]:
        if (OWN, OWN) not in shapes:
            raise ValueError("must name [1.0, 1.0], a row's own steps and batch, which the others are held against")
        for steps, batch in shapes:
            if abs(steps * batch - 1) > 1e-6:
                raise ValueError(f"[{steps:g}, {batch:g}] makes {steps * batch:g} times the evaluations; make it 1")
        return shapes


@dataclass(frozen=True)
class Trial:
    """Factors of a method's own rate, steps and batch; `name` is that of its runs."""

    name: str
    rate: float
    steps: float
    batch: float

    @property
    def own(self) -> bool:
        """Whether it is the method's own settings."""
        return self.rate == self.steps == self.batch == OWN


def settings(plan: Plan) -> Search:
    """Return the study's settings."""
    return plan.study(NAME, Search)


def dataset(plan: Plan) -> str:
    """Return the study's data set."""
    return plan.study_dataset(settings(plan).dataset)


def trials(study: Search, method: str) -> list[Trial]:
    """Return the trials of a method: every rate at every shape."""
    grid = [(rate, steps, batch) for rate in study.rates for steps, batch in study.shapes]
    return [Trial(f"{method}_{number}", *factors) for number, factors in enumerate(grid)]


def run_settings(resolver: Resolver, dataset: str, name: str) -> Layers:
    """Return the settings of a trial: its method's own, the study's `set`, then rate, steps and batch scaled."""
    study = resolver.study(NAME, Search)
    known = {trial.name: (method, trial) for method in study.methods for trial in trials(study, method)}
    if name not in known:
        raise ConfigError(f"{NAME}/{name}: the study '{NAME}' has no such trial. {nearest(name, list(known))}")
    method, trial = known[name]
    merged = resolver.layers(dataset, f"methods/{method}").put(resolver.study_layers(NAME).pick("set"))
    factors = {"training.optimizer.lr": trial.rate, "training.steps": trial.steps, "training.batch": trial.batch}
    factors |= dict.fromkeys(study.lengths, trial.steps)
    for key, factor in factors.items():
        path = tuple(key.split("."))
        own = merged.pick(*path[:-1]).values.get(path[-1])
        if own is not None and factor != OWN:
            scaled = own * factor if key == "training.optimizer.lr" else max(round(own * factor), min(own, 1))
            merged.put(_at(path, scaled))
    return merged


def _at(path: tuple[str, ...], value: Any) -> Layers:
    values: Any = value
    for key in reversed(path):
        values = {key: values}
    return Layers(values, {path: f"configs/studies/{NAME}.yaml"})


def metrics(plan: Plan) -> dict[str, list[str]]:
    """Return the metrics files of every trial, one per seed, by the name of its runs."""
    study, on = settings(plan), dataset(plan)
    return {
        trial.name: [plan.layout.run(on, f"{NAME}/{trial.name}", seed).metrics(study.nfe) for seed in study.seeds]
        for method in study.methods
        for trial in trials(study, method)
    }


def _files(layout: Layout) -> Files:
    return Files({"table": layout.top.of(f"{NAME}.csv")}, layout.top.log(NAME), recorded=("table",))


def _table(plan: Plan) -> Definition:
    check_seeds(plan)
    return Definition(
        inputs={"metrics": [path for paths in metrics(plan).values() for path in paths]},
        settings=settings(plan).model_dump(mode="json"),
        code=("hkd.studies.search.table",),
    )


def check_seeds(plan: Plan) -> None:
    """Refuse seeds that tables use too: what was chosen on them would be reported on them.

    Raises:
        ConfigError: naming the seeds.
    """
    used = sorted({*settings(plan).seeds} & {*plan.seeds})
    if used:
        raise ConfigError(
            f"studies/{NAME}.yaml, seeds: {', '.join(map(str, used))} are seeds of the benchmark's tables; name others"
        )


TABLE = Stage(NAME, _files, _table, local=True)
STUDY = Study(name=NAME, sections={NAME: Search}, parts=(TABLE,), runs=run_settings, results_of_divergence=True)
