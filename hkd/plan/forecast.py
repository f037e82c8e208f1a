"""About how long a benchmark takes, before it starts: counted from the plan, priced at measured costs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from hkd.plan.graph import Graph
from hkd.plan.runs import Plan, named_base
from hkd.plan.scores import published_networks
from hkd.plan.work import Work
from hkd.settings.origins import check, read_yaml
from hkd.settings.prices import Costs
from hkd.settings.sections import Run

KINDS = {  # stage -> what it is called
    "prepare": "reading the images",
    "extractor": "training feature networks",
    "shard": "the teacher's trajectories",
    "train": "training",
    "sample": "drawing samples",
    "reference": "measuring",
    "features": "measuring",
}
OTHER = "measuring"
# evaluations of a network on an image of a step, as (with its backward pass, without)
EVALUATIONS = {"ecm": (1, 1), "ct": (1, 1), "ict": (1, 1), "ict_deep": (1, 1), "cd": (1, 3), "pd": (1, 2)}
ON_TRAJECTORIES = (2, 0)  # HKD and its variants: the first state and a random one
ONCE = (1, 0)


def forecast(plan: Plan, targets: Iterable[str], *, side: int, images: int) -> dict[str, float]:
    """Return CPU-minutes of one thread by kind of work, as in KINDS, for the results of `targets` that are not there.

    Args:
        side: of the images, in pixels.
        images: in the data set.
    """
    costs = check(Costs, read_yaml(plan.configs / "costs.yaml"))
    found: dict[str, float] = dict.fromkeys(KINDS.values(), 0.0)
    for work in Graph(plan, targets).jobs.values():
        seconds = (_work(plan, work, costs, side, images) + costs.job) / 1000.0
        found[KINDS.get(work.stage, OTHER)] += seconds / 60.0
    return {kind: minutes for kind, minutes in found.items() if minutes}


def sentence(found: Mapping[str, float], *, side: int, images: int) -> str:
    """Return a forecast in words."""
    parts = ", ".join(f"{kind} {round(minutes) or '<1'}" for kind, minutes in found.items())
    total = sum(found.values())
    return (
        f"{images:,} images of {side} pixels: about {_minutes(total)} of one core, {_minutes(total / 2)} on two free "
        f"ones ({parts} minutes)"
    )


def _minutes(count: float) -> str:
    return f"{count / 60:.1f} hours" if count >= 90 else f"{max(round(count), 1)} minutes"


def _work(plan: Plan, work: Work, costs: Costs, side: int, images: int) -> float:
    """Return what a job costs beside its start, in milliseconds."""
    of, pixels = work.of, (side / costs.side) ** 2
    match work.stage:
        case "extractor":
            network = plan.extractor(of["dataset"], of["role"])
            return network.steps * network.batch * pixels * getattr(costs.extractor, of["role"])
        case "shard":
            solved = plan.trajectory_set(of["dataset"], of["trajectories"])
            evaluation = costs.forward * _wider(plan.run(of["dataset"], named_base(solved.teacher)[0]), costs)
            return solved.count / solved.shards * _evaluations(solved.solver, solved.steps) * pixels * evaluation
        case "train":
            run = plan.run(of["dataset"], _run_of(of))
            return run.training.steps * run.training.batch * pixels * _step(plan, of, costs)
        case "sample":
            run = plan.run(of["dataset"], _run_of(of))
            return run.sampling.n_samples * int(of["nfe"]) * pixels * costs.forward * _wider(run, costs)
        case "reference" | "features":
            kinds = [network.kind for network in published_networks(plan, of["dataset"]).values()]
            seen = images if work.stage == "reference" else plan.run(of["dataset"], _run_of(of)).sampling.n_samples
            return seen * costs.photographs * sum(kind == "effnet" for kind in kinds)
    return 0.0


def _step(plan: Plan, of: Mapping[str, str], costs: Costs) -> float:
    """Return what an image of a training step costs at the costs' own size."""
    run_name = _run_of(of)
    run = plan.run(of["dataset"], run_name)
    states = run.feed.startswith("trajectories/") and run.perceptual
    learned, only = EVALUATIONS.get(run_name.rpartition("/")[2], ON_TRAJECTORIES if states else ONCE)
    network = _wider(run, costs) * (learned * costs.step + only * costs.forward)
    return network + learned * run.perceptual * costs.perceptual


def _wider(run: Run, costs: Costs) -> float:
    """Return how much more an evaluation of a run's network costs than of the measured one."""
    return float(run.network["model_channels"]) / costs.channels


def _run_of(of: Mapping[str, str]) -> str:
    return f"{of['group']}/{of['method']}" if "group" in of else of["method"]


def _evaluations(solver: str, steps: int | None) -> int:
    return (2 * steps - 1 if solver == "heun" else steps) if steps else 100  # an adaptive solver takes about so many
