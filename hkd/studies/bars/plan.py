"""Whether results meet the quality bars of their benchmark: which bars, and what their values are read from."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from pydantic import AfterValidator, model_validator

from hkd.plan.runs import Plan
from hkd.plan.study import Study
from hkd.plan.work import Definition, Files, Needs, Stage
from hkd.settings.origins import ConfigError, Section, nearest
from hkd.settings.sections import Positive
from hkd.settings.studies import StudySection
from hkd.store.paths import Layout

NAME = "bars"
FORMS = "fdn/{group}/{method}/{nfe}, error/{group}/{method}/{state}, quality/{head} or real_vs_real"
VALUE = re.compile(r"(?P<kind>fdn|error)/(?P<run>\w+/\w+)/(?P<at>\d+)|quality/(?P<head>\w+)|real_vs_real")


def _known(name: str) -> str:
    if not VALUE.fullmatch(name):
        raise ValueError(f"expected {FORMS}")
    return name


ValueName = Annotated[str, AfterValidator(_known)]


class Bar(Section):
    """A value that must be `at_most` or `at_least` a limit, which is a number or another value, times `times`."""

    title: str
    value: ValueName
    at_most: float | ValueName | None = None
    at_least: float | ValueName | None = None
    times: float = 1.0

    @model_validator(mode="after")
    def _one_limit(self) -> Bar:
        if (self.at_most is None) == (self.at_least is None):
            raise ValueError("state either `at_most` or `at_least`")
        return self

    @property
    def names(self) -> list[str]:
        """The names of the values that it compares."""
        return [item for item in (self.value, self.at_most, self.at_least) if isinstance(item, str)]


class Bars(StudySection):
    """All quality bars, by name; a benchmark says which it must meet. `real_images`: drawn for the bar of real ones."""

    real_images: Positive
    bars: dict[str, Bar]


@dataclass(frozen=True)
class Value:
    """A value that bars ask for.

    Attributes:
        kind: fdn or error, of a run over seeds; quality, of the metric's network; or real_vs_real.
        inputs: the files that it is read from, by the names of stages' inputs.
        part: what is read there: which state of the trajectories, or which head of the network.
    """

    kind: str
    inputs: Mapping[str, list[str]]
    part: str = ""


def settings(plan: Plan) -> Bars:
    """Return the study's settings."""
    return plan.study(NAME, Bars)


def dataset(plan: Plan) -> str:
    """Return the study's data set."""
    return plan.study_dataset(settings(plan).dataset)


def asked(plan: Plan) -> dict[str, Bar]:
    """Return the bars that the benchmark must meet, by name.

    Raises:
        ConfigError: the benchmark names one that does not exist.
    """
    known = settings(plan).bars
    for name in plan.benchmark.bars:
        if name not in known:
            where, file = plan.layers.origin(("bars",)), plan.configs / f"studies/{NAME}.yaml"
            raise ConfigError(f"{where}: bars: {file} has no bar '{name}'. {nearest(name, list(known))}")
    return {name: known[name] for name in plan.benchmark.bars}


def values(plan: Plan) -> dict[str, Value]:
    """Return the values that these bars ask for, by name."""
    return {name: _value(plan, name) for bar in asked(plan).values() for name in bar.names}


def _value(plan: Plan, name: str) -> Value:
    found, on = VALUE.fullmatch(name), dataset(plan)
    assert found is not None, "the section has checked it"
    extractor = [plan.layout.extractor(on, "metric")]
    runs = [plan.layout.run(on, str(found["run"]), seed) for seed in plan.seeds]
    if found["kind"] == "fdn":
        return Value("fdn", {"metrics": [run.metrics(found["at"]) for run in runs]})
    if found["kind"] == "error":
        return Value("error", {"errors": [run.trajectory_error for run in runs]}, found["at"])
    if found["head"]:
        return Value("quality", {"extractor": extractor}, found["head"])
    return Value("real_vs_real", {"reference": [plan.layout.reference(on)], "extractor": extractor})


def _files(layout: Layout) -> Files:
    return Files({"table": layout.top.of("bars.csv")}, layout.top.log(NAME), recorded=("table",))


def _table(plan: Plan) -> Definition:
    inputs: dict[str, list[str]] = {}
    for value in values(plan).values():
        for name, paths in value.inputs.items():
            inputs.setdefault(name, []).extend(paths)
    data = plan.dataset(dataset(plan)).data
    return Definition(
        inputs=inputs,
        settings={
            "bars": {name: bar.model_dump(mode="json") for name, bar in asked(plan).items()},
            "real_images": settings(plan).real_images,
            "data": {"seed": data.seed, "resolution": data.resolution},
        },
        code=("hkd.studies.bars.judge", "hkd.studies.bars.values", f"hkd.data.kinds.{data.kind}"),
        needs=Needs(mem_mb=4000),
    )


TABLE = Stage("bars", _files, _table)
STUDY = Study(name=NAME, sections={NAME: Bars}, parts=(TABLE,), check=asked)
