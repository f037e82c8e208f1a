"""The matched comparison as runs of the workflow: what a method costs by itself, and what stands behind it."""

from __future__ import annotations

from dataclasses import dataclass, field

from hkd.plan.code import code_digest
from hkd.plan.runs import Plan
from hkd.settings.merge import BUDGET
from hkd.settings.origins import digest
from hkd.settings.studies import Budget


@dataclass
class Behind:
    """All that a run stands on, each once: trained runs, and sets of pairs or trajectories."""

    runs: list[str] = field(default_factory=list)
    sets: list[str] = field(default_factory=list)


def study(plan: Plan) -> Budget:
    """Return the settings of the comparison."""
    return plan.study("budget", Budget)


def runs(plan: Plan) -> list[str]:
    """Return the runs that are compared, as group/name."""
    return [f"{BUDGET}/{name}" for name in study(plan).methods]


def dataset(plan: Plan) -> str:
    """Return the data set of the comparison: that of the profile's first table."""
    return plan.table("table1").dataset


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
            if not plan.shipped(dataset(plan), base):
                _collect(plan, base, found)


def curve(plan: Plan, method: str, seed: int) -> str:
    """Return the file of a run's distances on the way."""
    return f"{plan.layout.run(dataset(plan), method, seed)}/budget/curve.json"


def curves(plan: Plan) -> list[str]:
    """Return the file of every method and seed."""
    return [curve(plan, method, seed) for method in runs(plan) for seed in plan.seeds]


def inputs(plan: Plan) -> list[str]:
    """Return every file that the table is made from: curves, and the records of what stands behind them."""
    files = curves(plan)
    for method in runs(plan):
        stands_on = behind(plan, method)
        files += [plan.base_weights(dataset(plan), base) for base in stands_on.runs]
        files += [f"{plan.layout.trajectories(dataset(plan), name)}/manifest.json" for name in stands_on.sets]
    return list(dict.fromkeys(files))


def curve_digest(plan: Plan) -> str:
    """Return the digest of what defines a curve besides weights and metric."""
    settings = study(plan)
    return digest([settings.images, code_digest("hkd.experiment.build", "hkd.metrics.scores.frechet")])


def table_digest(plan: Plan) -> str:
    """Return the digest of what defines the table and the figure besides the curves."""
    titles = [plan.run(dataset(plan), method).title for method in runs(plan)]
    code = code_digest("hkd.studies.budget.table", "hkd.studies.budget.figure", "hkd.figures.save")
    return digest([titles, runs(plan), plan.dataset(dataset(plan)).title, code])
