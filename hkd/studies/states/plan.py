"""What a run makes of every state of a trajectory: settings, files and parts of the study."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from hkd.plan.runs import Plan
from hkd.plan.stages import figure_files, run_code, trajectory_code
from hkd.plan.study import Study
from hkd.plan.work import Definition, Files, Needs, Stage
from hkd.settings.sections import Positive
from hkd.settings.studies import Shown, StudySection
from hkd.store.paths import DATASET, METHOD, SEED, Layout

NAME = "trajectories"  # of its settings, files and figure
OF_THE_SET = {"teacher", "solver", "keep", "steps", "sigma_min", "sigma_max", "rho"}  # its noises are the run's own


class StatesOverTime(StudySection):
    """What a run makes of a teacher's trajectories: `levels` of their noise levels, `shown` of them in the figure."""

    run: str
    trajectories: str
    images: Positive
    levels: Annotated[int, Field(ge=2)]
    shown: Shown


def settings(plan: Plan) -> StatesOverTime:
    """Return the study's settings."""
    return plan.study(NAME, StatesOverTime)


def dataset(plan: Plan) -> str:
    """Return the study's data set."""
    return plan.study_dataset(settings(plan).dataset)


def _files(layout: Layout, dataset: str = DATASET, method: str = METHOD, seed: int | str = SEED) -> Files:
    run = layout.run(dataset, method, seed)
    outputs = {"arrays": run.of("trajectories/states.npz"), "metrics": run.of("trajectories/states.json")}
    return Files(outputs, run.log("states"), recorded=("arrays", "metrics"))


def _states(plan: Plan, dataset: str, method: str, seed: int | str) -> Definition:
    run, study = plan.layout.run(dataset, method, seed), settings(plan)
    spec = plan.trajectory_set(dataset, study.trajectories)
    return Definition(
        inputs={
            "teacher": plan.base_weights(dataset, spec.teacher),
            "weights": run.weights,
            "config": run.config,
        },
        spare=("teacher", "config"),
        settings={
            # on which run the figure is drawn, and how many rows it has, change no array
            **study.model_dump(exclude={"dataset", "run", "shown"}),
            "set": spec.model_dump(include=OF_THE_SET),
        },
        code=(
            "hkd.studies.states.course",
            *trajectory_code(plan, dataset, study.trajectories),
            *run_code(plan, dataset, method),
        ),
        needs=Needs(gpu=plan.gpus, mem_mb=4000, minutes=60),
    )


def _figure(plan: Plan) -> Definition:
    study, on = settings(plan), dataset(plan)
    files = _files(plan.layout, on, study.run, 0)
    return Definition(
        inputs={**files.outputs, "weights": plan.layout.run(on, study.run, 0).weights},
        settings={
            **study.model_dump(),
            "title": plan.title(on, study.run),
            "on": plan.dataset(on).title,
            "benchmark": plan.benchmark.benchmark,
        },
        code=("hkd.studies.states.figure", "hkd.studies.options", "hkd.figures.save"),
    )


STATES = Stage("states", _files, _states, command="trajectory")
FIGURE = Stage("trajectories_figure", figure_files(NAME), _figure, local=True, command="figure trajectories")
STUDY = Study(name="states", sections={NAME: StatesOverTime}, parts=(STATES, FIGURE), figures=("trajectories_figure",))
