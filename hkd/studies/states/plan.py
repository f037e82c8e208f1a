"""What a run makes of every state of a trajectory: settings, files and parts of the study."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from hkd.plan.runs import Plan
from hkd.plan.stages import figure_files, run_code, trajectory_code
from hkd.plan.study import Study
from hkd.plan.work import Definition, Needs, Stage
from hkd.settings.sections import Positive
from hkd.settings.studies import Shown, StudySection
from hkd.studies.one_run import DRAWN, beside_weights, of_figure

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
            **study.model_dump(exclude=set(DRAWN)),
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
    return of_figure(plan, study, FILES, run=study.run, on=on, code="hkd.studies.states.figure")


FILES = beside_weights("trajectories/states", "states")
STATES = Stage("states", FILES, _states, command="trajectory")
FIGURE = Stage("trajectories_figure", figure_files(NAME), _figure, local=True, command="figure trajectories")
STUDY = Study(name="states", sections={NAME: StatesOverTime}, parts=(STATES, FIGURE), figures=("trajectories_figure",))
