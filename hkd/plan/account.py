"""What a graph of jobs comes to: time and disk of every row, the whole on some devices, and what cannot be done so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from hkd.plan.bill import Bill, Cost, CountsOf, images_at_a_time
from hkd.plan.graph import Graph
from hkd.plan.packing import Packed, packed
from hkd.plan.runs import Plan
from hkd.plan.speed import Speed
from hkd.plan.stages import STAGES
from hkd.plan.work import Stage, Work
from hkd.store.released import release

GB = 1e9
KINDS = ("train", "evaluate", "features")


@dataclass
class Line:
    """What a row, a set of trajectories or a data set costs by itself; what it starts from has a line of its own.

    Attributes:
        hours: of one device. by: of its jobs, by kind of work. disk, device: GB; the least that a device must have.
        images: of a batch that the card holds at a time; None where nothing is trained, or on a CPU.
        released: the file that its authors have released, and its remark; empty where there is none.
    """

    of: str
    hours: float = 0.0
    by: dict[str, float] = field(default_factory=lambda: dict.fromkeys(KINDS, 0.0))
    jobs: int = 0
    disk: float = 0.0
    device: float = 0.0
    images: int | None = None
    released: str = ""


@dataclass(frozen=True)
class Account:
    """The whole: jobs by stage, lines with the dearest first, the schedule, and what cannot be done.

    Attributes:
        stages: by stage: jobs, hours, the most memory that one asks for on the host (GB) and needs on a device (GB).
        uncounted: jobs of which nothing is counted but their start.
        refused: a line for each thing that cannot be done as planned. remarks: what a reader should know.
    """

    lines: list[Line]
    stages: dict[str, dict[str, float]]
    schedule: Packed
    hours: float
    disk: float
    jobs: int
    finished: int
    uncounted: int
    refused: list[str]
    remarks: list[str]


def account(plan: Plan, graph: Graph, bill: Bill, counts: CountsOf, speed: Speed, devices: int) -> Account:
    """Return what a graph comes to on so many devices, GPUs or cores."""
    costs = {key: bill.of(work) for key, work in graph.jobs.items()}
    taken = {key: _taken(work, costs[key], speed, devices) for key, work in graph.jobs.items()}
    seconds = {key: speed.startup + speed.seconds(cost.operations) / max(taken[key], 1) for key, cost in costs.items()}
    lines: dict[str, Line] = {}
    stages: dict[str, dict[str, float]] = {}
    refused, remarks = [], []
    kinds = _stages(plan)
    for key, work in graph.jobs.items():
        cost, needs = costs[key], work.definition.needs
        hours = (speed.startup + speed.seconds(cost.operations)) / 3600
        _add(lines.setdefault(cost.owner, Line(cost.owner)), cost, hours, speed)
        stage = stages.setdefault(work.stage, {"jobs": 0, "hours": 0.0, "host": 0.0, "device": 0.0})
        stage["jobs"] += 1
        stage["hours"] += hours
        stage["host"] = max(stage["host"], needs.mem_mb / 1000)
        stage["device"] = max(stage["device"], cost.device / GB)
        if seconds[key] > 60 * needs.minutes:
            said = f"{_named(work)}: {seconds[key] / 60:.0f} minutes, and it asks for {needs.minutes}"
            if kinds[work.stage].resumes:
                remarks.append(f"{said}; it goes on from where it was stopped")
            else:
                refused.append(f"{said} and cannot go on where it was stopped; take a faster card, or fewer images")
        if speed.card and cost.device > speed.card.memory * GB:
            refused.append(
                f"{_named(work)}: needs {cost.device / GB:.0f} GB with one image at a time, {speed.card.name} has "
                f"{speed.card.memory:g}"
            )
    for line in lines.values():
        _about(line, plan, counts, speed)
    schedule = packed(seconds, taken, graph.needs, devices)
    found = sorted(lines.values(), key=lambda line: -line.hours)
    uncounted = sum(not cost.counted for cost in costs.values())
    return Account(
        [line for line in found if line.of],
        stages,
        schedule,
        sum(line.hours for line in found),
        sum(line.disk for line in found),
        sum(graph.counts.values()),
        len(graph.finished),
        uncounted,
        refused,
        remarks,
    )


def _taken(work: Work, cost: Cost, speed: Speed, devices: int) -> int:
    """Return how many devices a job takes: on a CPU one core, on a card those that it asks for, if it computes."""
    if speed.card is None:
        return 1
    return min(max(work.definition.needs.gpu, 1), devices) if cost.operations else 0


def _add(line: Line, cost: Cost, hours: float, speed: Speed) -> None:
    line.hours += hours
    line.jobs += 1
    line.disk += cost.disk / GB
    line.device = max(line.device, cost.device / GB)
    for kind, count in cost.operations.items():
        line.by[kind] += speed.seconds({kind: count}) / 3600


def _about(line: Line, plan: Plan, counts: CountsOf, speed: Speed) -> None:
    """Add what a card holds at a time, and whether others have released the weights."""
    dataset, _, method = line.of.partition("/")
    if not method or method.startswith("trajectories/"):
        return
    if line.by["train"] and speed.card:
        line.images = images_at_a_time(counts(dataset, method), speed.card.memory * GB)
    known = release(dataset, method)
    if known and known.dataset == dataset:
        line.released = known.filename + (f" ({known.remark})" if known.remark else "")


def _stages(plan: Plan) -> Mapping[str, Stage]:
    return {**STAGES, **{part.name: part for study in plan.studies.values() for part in study.parts}}


def _named(work: Work) -> str:
    values = ", ".join(f"{key} {value}" for key, value in sorted(work.of.items()))
    return f"{work.stage} ({values})" if values else work.stage
