"""Does the order of two runs hold? The pairs that are asked for, and what the table is made of."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator, model_validator

from hkd.plan.runs import Plan
from hkd.plan.study import Study
from hkd.plan.work import Definition, Files, Stage
from hkd.settings.sections import Fraction, Positive
from hkd.settings.studies import StudySection
from hkd.store.paths import Layout

NAME = "paired"
Inside = Annotated[Fraction, Field(gt=0, lt=1)]


class Paired(StudySection):
    """Pairs of runs, as group/name, the one first that shall have the lower FDn.

    Attributes:
        confidence: of intervals; power: of the smallest difference that the design detects.
    """

    pairs: tuple[tuple[str, str], ...]
    nfe: Positive
    confidence: Inside
    power: Inside

    @field_validator("pairs")
    @classmethod
    def _of_two(cls, pairs: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
        if not pairs:
            raise ValueError("name at least one pair of runs")
        for pair in pairs:
            if pair[0] == pair[1]:
                raise ValueError(f"{pair[0]} is paired with itself; name two runs")
            if pairs.count(pair) > 1:
                raise ValueError(f"{pair[0]} and {pair[1]} are paired twice; name each pair once")
        return pairs

    @model_validator(mode="after")
    def _power_above_the_level(self) -> Paired:
        if self.power <= 1 - self.confidence:
            raise ValueError(f"power {self.power:g}: a test that sees nothing rejects as often; make it larger")
        return self


def settings(plan: Plan) -> Paired:
    """Return the study's settings."""
    return plan.study(NAME, Paired)


def dataset(plan: Plan) -> str:
    """Return the study's data set."""
    return plan.study_dataset(settings(plan).dataset)


def runs(plan: Plan) -> list[str]:
    """Return every run that is paired, once, in the order of the pairs."""
    return list(dict.fromkeys(run for pair in settings(plan).pairs for run in pair))


def metrics(plan: Plan) -> dict[str, list[str]]:
    """Return the metrics files of every run, one per seed of the benchmark."""
    on, nfe = dataset(plan), settings(plan).nfe
    return {run: [plan.layout.run(on, run, seed).metrics(nfe) for seed in plan.seeds] for run in runs(plan)}


def _files(layout: Layout) -> Files:
    outputs = {kind: layout.top.of(f"{NAME}.{kind}") for kind in ("csv", "md", "json")}
    return Files(outputs, layout.top.log(NAME), recorded=("csv", "md", "json"))


def _table(plan: Plan) -> Definition:
    on = dataset(plan)
    return Definition(
        inputs={"metrics": [path for paths in metrics(plan).values() for path in paths]},
        settings={
            **settings(plan).model_dump(mode="json"),
            "titles": {run: plan.title(on, run) for run in runs(plan)},
            "title": plan.dataset(on).title,
            "benchmark": plan.benchmark.benchmark,
            "seeds": list(plan.seeds),
        },
        code=("hkd.studies.paired.table",),
    )


TABLE = Stage(NAME, _files, _table, local=True)
STUDY = Study(name=NAME, sections={NAME: Paired}, parts=(TABLE,))
