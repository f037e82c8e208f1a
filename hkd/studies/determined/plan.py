"""Does the data determine the spectrum, or a common start? Its runs, teachers among them, its settings and parts."""

from __future__ import annotations

from itertools import combinations, permutations
from typing import Annotated, Any

from pydantic import Field, model_validator

from hkd.plan.runs import Plan
from hkd.plan.stages import figure_files, run_code
from hkd.plan.study import Study
from hkd.plan.work import Definition, Files, Needs, Stage
from hkd.settings.merge import Resolver
from hkd.settings.origins import ConfigError, Layers, Section, nearest
from hkd.settings.sections import Fraction, Positive, Rate
from hkd.settings.studies import Draws, OrderBy, StudySection
from hkd.store.paths import Layout

NAME, TEACHER = "determined", "teacher"
FIXED, FREE = "Gaussian data, fixed encoder", "Gaussian data, free encoder"
CONTROLS = {FIXED: False, FREE: True}


class Teacher(Section):
    """The run whose seeds are the teachers, and settings laid over its own."""

    run: str
    set: dict[str, Any]


class Gaussian(Section):
    """The control: Gaussian data of known rates, `channels` x `resolution` x `resolution` values an image.

    Attributes:
        variance: smallest and largest. start: standard deviation of exponents before training. seeds: trainings.
        kept: steps after which spectra are compared; the last one ends the training.
    """

    channels: Annotated[int, Field(ge=2, multiple_of=2)]
    resolution: Positive
    variance: tuple[Rate, Rate]
    start: Rate
    lr: Rate
    batch: Positive
    seeds: Annotated[int, Field(ge=2)]
    kept: tuple[Positive, ...]

    @model_validator(mode="after")
    def _ascending(self) -> Gaussian:
        if not self.variance[0] < self.variance[1]:
            raise ValueError("variance: the first must be below the second")
        if not self.kept or list(self.kept) != sorted(set(self.kept)):
            raise ValueError("kept: name steps in ascending order")
        return self


class Determined(StudySection):
    """Which trainings are compared, and from which agreement on spectra count as the same.

    Attributes:
        run, set: the run of HKD that every student varies, and settings laid over it.
        teacher: the teachers; a student names one, and its trajectories, in its own settings.
        students: name -> settings.
        compare: kind -> pairs of students, or of one student with itself, at different seeds.
    """

    run: str
    set: dict[str, Any]
    teacher: Teacher
    students: dict[Annotated[str, Field(pattern=r"^[a-z0-9_]+$")], dict[str, Any]]
    compare: dict[str, tuple[tuple[str, str], ...]]
    orders: tuple[OrderBy, ...]
    draws: Draws
    determined_above: Fraction
    gaussian: Gaussian

    @model_validator(mode="after")
    def _complete(self) -> Determined:
        if TEACHER in self.students:
            raise ValueError(f"no student may be named '{TEACHER}'")
        if not self.set.get("training", {}).get("milestones"):
            raise ValueError("set: name training.milestones, at which spectra are compared")
        for kind, pairs in self.compare.items():
            for name in (name for pair in pairs for name in pair):
                if name not in self.students:
                    raise ValueError(f"compare.{kind}: '{name}' is no student. {nearest(name, list(self.students))}")
        if not self.orders:
            raise ValueError("orders: name at least one")
        return self


def settings(plan: Plan) -> Determined:
    """Return the study's settings."""
    return plan.study(NAME, Determined)


def dataset(plan: Plan) -> str:
    """Return the study's data set."""
    return plan.study_dataset(settings(plan).dataset)


def run_settings(resolver: Resolver, dataset: str, name: str) -> Layers:
    """Return the settings of a teacher or a student."""
    study, layers = resolver.study(NAME, Determined), resolver.study_layers(NAME)
    if name == TEACHER:
        return resolver.layers(dataset, study.teacher.run).put(layers.pick(TEACHER, "set"))
    if name not in study.students:
        known = [TEACHER, *study.students]
        raise ConfigError(f"{NAME}/{name}: the study '{NAME}' trains no such run. {nearest(name, known)}")
    return resolver.layers(dataset, study.run).put(layers.pick("set")).put(layers.pick("students", name))


Trained = tuple[str, int]
"""A student and a seed."""


def comparisons(plan: Plan) -> list[tuple[str, Trained, Trained]]:
    """Return every comparison: its kind, and two trainings of different seeds."""
    found: list[tuple[str, Trained, Trained]] = []
    for kind, pairs in settings(plan).compare.items():
        for a, b in pairs:
            seeds = combinations(plan.seeds, 2) if a == b else permutations(plan.seeds, 2)
            found += [(kind, (a, i), (b, j)) for i, j in seeds]
    return found


def trained(plan: Plan) -> list[Trained]:
    """Return every training that is compared, once."""
    return list(dict.fromkeys(one for _, *both in comparisons(plan) for one in both))


def run_files(plan: Plan, student: Trained) -> tuple[str, str]:
    """Return the config and the milestones of a training."""
    files = plan.layout.run(dataset(plan), f"{NAME}/{student[0]}", student[1])
    return files.config, files.milestones


def _known_files(layout: Layout) -> Files:
    folder = layout.top
    return Files({"known": folder.of(f"{NAME}/known_rates.json")}, folder.log("known_rates"), recorded=("known",))


def _known(plan: Plan) -> Definition:
    study = settings(plan)
    return Definition(
        inputs={},
        settings={**study.gaussian.model_dump(mode="json"), **_compared_by(study), "time": _times(plan)},
        code=("hkd.studies.determined.known_rates", "hkd.studies.determined.courses"),
        needs=Needs(minutes=30),
    )


def _times(plan: Plan) -> dict[str, Any]:
    """Return the time map of the study's run, in which the control's rates are constant too."""
    params = plan.run(dataset(plan), settings(plan).run).params
    return {key: params[key] for key in ("time_map", "sigma_min", "sigma_max", "rho")}


def _compared_by(study: Determined) -> dict[str, Any]:
    return {"orders": list(study.orders), "draws": study.draws}


def _course_files(layout: Layout) -> Files:
    folder = layout.top
    return Files({"courses": folder.of(f"{NAME}/courses.json")}, folder.log("courses"), recorded=("courses",))


def _courses(plan: Plan) -> Definition:
    study, on = settings(plan), dataset(plan)
    files = [run_files(plan, one) for one in trained(plan)]
    return Definition(
        inputs={"config": [config for config, _ in files], "milestones": [folder for _, folder in files]},
        settings={**_compared_by(study), "comparisons": [[k, list(a), list(b)] for k, a, b in comparisons(plan)]},
        code=("hkd.studies.determined.courses", *run_code(plan, on, study.run)),
        needs=Needs(mem_mb=4000, minutes=60),
    )


def _table_files(layout: Layout) -> Files:
    outputs = {"table": layout.top.of(f"{NAME}.csv"), "text": layout.top.of(f"{NAME}.md")}
    return Files(outputs, layout.top.log(NAME), recorded=("table", "text"))


def measured(plan: Plan) -> dict[str, str]:
    """Return the files of the courses and of the control."""
    return {**_course_files(plan.layout).outputs, **_known_files(plan.layout).outputs}


def _shown(plan: Plan) -> dict[str, Any]:
    study = settings(plan)
    return {
        "kinds": kinds(plan),
        "orders": list(study.orders),
        "above": study.determined_above,
        "title": plan.dataset(dataset(plan)).title,
        "benchmark": plan.benchmark.benchmark,
    }


def kinds(plan: Plan) -> list[str]:
    """Return the kinds of comparisons in the order of the table: controls first."""
    return [*CONTROLS, *settings(plan).compare]


def _table(plan: Plan) -> Definition:
    return Definition(measured(plan), _shown(plan), code=("hkd.studies.determined.table",))


def _figure(plan: Plan) -> Definition:
    return Definition(measured(plan), _shown(plan), code=("hkd.studies.determined.figure", "hkd.figures.save"))


KNOWN = Stage("known_rates", _known_files, _known)
COURSES = Stage("spectrum_courses", _course_files, _courses)
TABLE = Stage("determined", _table_files, _table, local=True)
FIGURE = Stage("determined_figure", figure_files(NAME), _figure, local=True, command="figure determined")
STUDY = Study(name=NAME, sections={NAME: Determined}, parts=(KNOWN, COURSES, TABLE, FIGURE), runs=run_settings)
