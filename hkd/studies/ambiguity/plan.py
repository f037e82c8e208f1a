"""Which of the choices that the paper leaves open matter: the arms of the study, and what its table is made of."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, ValidationInfo, field_validator, model_validator

from hkd.plan.runs import Plan
from hkd.plan.stages import figure_files
from hkd.plan.study import Study
from hkd.plan.work import Definition, Files, Stage
from hkd.settings.merge import Resolver
from hkd.settings.origins import ConfigError, Layers, Section, nearest
from hkd.settings.sections import Fraction, Positive
from hkd.settings.studies import StudySection
from hkd.store.paths import Layout

NAME, CENTRE = "ambiguity", "centre"


class Variation(Section):
    """One open choice, taken otherwise than the arm that it varies takes it.

    `choice` and `value` name it in the table. `set` are settings of a run, laid over those of `against`. `paper`
    says that the full-scale settings take this value. `not_run` says why there is none.
    """

    choice: str
    value: str
    paper: bool = False
    against: str = "centre"
    set: dict[str, Any] = {}
    not_run: str = ""

    @model_validator(mode="after")
    def _complete(self) -> Variation:
        if bool(self.set) == bool(self.not_run):
            raise ValueError("state either what it sets (`set`) or why it is not run (`not_run`)")
        return self


class Ambiguity(StudySection):
    """One-at-a-time variations around a run, the centre: which of the choices left open matters?

    `set` is laid over the settings of the centre, for all arms alike. `level` and `power`: of the smallest change
    that the table prints beside each change. `only`: the variations that a benchmark asks for; all if it names none.
    """

    centre: str
    seeds: Annotated[int, Field(ge=2)]
    nfe: Positive
    level: Annotated[Fraction, Field(gt=0, lt=1)]
    power: Annotated[Fraction, Field(gt=0, lt=1)]
    set: dict[str, Any]
    variations: dict[Annotated[str, Field(pattern=r"^[a-z0-9_]+$")], Variation]
    only: tuple[str, ...] = ()

    @property
    def chosen(self) -> dict[str, Variation]:
        """The variations of the study, by name."""
        return {name: self.variations[name] for name in self.only or self.variations}

    @field_validator("power")
    @classmethod
    def _above_the_level(cls, power: float, about: ValidationInfo) -> float:
        level = about.data.get("level", 0.0)
        if power <= level:
            raise ValueError(f"must be above the level, {level:g}: a test that sees nothing rejects as often")
        return power

    @model_validator(mode="after")
    def _complete(self) -> Ambiguity:
        if "centre" in self.variations:
            raise ValueError("no variation may be named 'centre'")
        for name, variation in self.variations.items():
            other = variation.against
            known = [n for n, v in self.variations.items() if v.set and v.against == "centre" and n != name]
            if other != "centre" and other not in known:
                raise ValueError(f"variations.{name}.against = '{other}'. {nearest(other, ['centre', *known])}")
        for name in self.only:
            if name not in self.variations:
                raise ValueError(f"only: '{name}'. {nearest(name, list(self.variations))}")
            if (other := self.variations[name].against) not in ("centre", *self.only):
                raise ValueError(f"only: '{name}' varies '{other}', which is not among them; name that too")
        return self


def settings(plan: Plan) -> Ambiguity:
    """Return the study's settings."""
    return plan.study(NAME, Ambiguity)


def dataset(plan: Plan) -> str:
    """Return the study's data set."""
    return plan.study_dataset(settings(plan).dataset)


def arms(plan: Plan) -> dict[str, list[str]]:
    """Return the metrics files, one per seed, of the centre and of every variation that is run, by name."""
    study, on = settings(plan), dataset(plan)
    names = [CENTRE, *(name for name, variation in study.chosen.items() if variation.set)]
    seeds = range(study.seeds)
    return {name: [plan.layout.run(on, f"{NAME}/{name}", seed).metrics(study.nfe) for seed in seeds] for name in names}


def run_settings(resolver: Resolver, dataset: str, name: str) -> Layers:
    """Return the settings of an arm: the centre's and `set`, then those of what it varies, then its own."""
    study, layers = resolver.study(NAME, Ambiguity), resolver.study_layers(NAME)
    merged = resolver.layers(dataset, study.centre).put(layers.pick("set"))
    if name == CENTRE:
        return merged
    known = [other for other, variation in study.chosen.items() if variation.set]
    if name not in known:
        raise ConfigError(f"{NAME}/{name}: the study '{NAME}' runs no such variation. {nearest(name, known)}")
    for step in (study.variations[name].against, name):
        merged.put(layers.pick("variations", step, "set"))
    return merged


def _table_files(layout: Layout) -> Files:
    return Files({"table": layout.top.of("ambiguity.csv")}, layout.top.log(NAME), recorded=("table",))


def _table(plan: Plan) -> Definition:
    return Definition(
        inputs={"metrics": [path for paths in arms(plan).values() for path in paths]},
        settings=settings(plan).model_dump(mode="json"),
        code=("hkd.studies.ambiguity.table",),
    )


def _figure(plan: Plan) -> Definition:
    about = {"title": plan.dataset(dataset(plan)).title, "scale": plan.benchmark.scale}
    return Definition(
        inputs={"table": _table_files(plan.layout).outputs["table"]},
        settings={**settings(plan).model_dump(mode="json"), **about},
        code=("hkd.studies.ambiguity.figure", "hkd.studies.ambiguity.table", "hkd.figures.save"),
    )


TABLE = Stage("ambiguity", _table_files, _table, local=True)
FIGURE = Stage("ambiguity_figure", figure_files(NAME), _figure, local=True, command="figure ambiguity")
STUDY = Study(
    name=NAME,
    sections={NAME: Ambiguity},
    parts=(TABLE, FIGURE),
    runs=run_settings,
    results_of_divergence=True,
)
