"""What jobs ask of a machine, by the counts that `hkd plan` prices: minutes, and what trainings ask for altogether.

A request must hold on a slow machine as well: an old card, a busy CPU. Where nothing is counted, what is said to be
the least (of other stages) or the most (of trainings) has to do.
"""

from __future__ import annotations

import math
from functools import lru_cache
from pathlib import Path

from hkd.plan.counted import Counts, counts_of
from hkd.plan.memory import DIMENSIONS, PROCESS_MB
from hkd.plan.passes import feature_operations, seen
from hkd.plan.rows import rows
from hkd.plan.runs import Plan
from hkd.plan.scores import OWN
from hkd.plan.speed import Thread, thread
from hkd.plan.work import Needs
from hkd.settings.sections import Run

SLOWEST = 18e12  # choice: operations a second of a V100 in EDM's official training, counted as here
BUSY = 4  # choice: a CPU may be so many times slower than that of configs/cpu.yaml, or as busy
DOUBLES = 5e9  # choice: operations of a kernel in float64 that a slow thread makes a second
STATES = 10  # choice: of a trained network on the host: as trained, averaged, two moments, once more while written
PICTURE = 0.06  # choice: seconds a picture; a PNG of a megapixel takes 0.023 to decode and resize, and is hashed too
LEAST = 15  # choice: minutes of a training: to load torch from a slow disk, and to write


def minutes(plan: Plan, kind: str, operations: float, least: int, devices: int = 1) -> int:
    """Return the minutes that a job asks for so many operations, and at least `least`.

    Args:
        kind: of work, as of `hkd.plan.speed`: train, evaluate or features.
        devices: GPUs that share them.
    """
    rate = SLOWEST * devices if plan.gpus else getattr(_thread(plan.configs), kind) / BUSY
    return max(least, math.ceil(operations / rate / 60))


def evaluating(plan: Plan, dataset: str, method: str, evaluations: float, least: int) -> int:
    """Return the minutes that a job asks for so many evaluations of a run's network, and at least `least`."""
    counts = counts_of(plan, dataset, method)
    return minutes(plan, "evaluate", evaluations * counts.forward, least) if counts else least


def processes(plan: Plan, dataset: str, method: str) -> int:
    """Return how many processes, each on a GPU, train a run together: one, if that ends within its wall time.

    Several cards are busier with one training each than with one training together, so a training takes more of them
    only as its wall time (`resources.minutes`) asks; where no number of them is enough, it takes all that it may.
    """
    run, operations = plan.run(dataset, method), _operations(plan, dataset, method)
    shares = plan.shares(run)
    within = (n for n in shares if minutes(plan, "train", operations, 0, n) <= run.resources.minutes)
    return next(within, shares[-1])


def most_processes(plan: Plan) -> int:
    """Return the most processes, each on a GPU, that train a row of any table together."""
    if plan.benchmark.gpus < 2:
        return 1
    runs = {(table.dataset, row.method) for name, table in plan.tables.items() for row in rows(plan, name)}
    return max((processes(plan, dataset, method) for dataset, method in runs if method), default=1)


def training(plan: Plan, dataset: str, method: str) -> Needs:
    """Return what a training asks for: by its counts, and never more than its settings (`resources`) say at first."""
    run = plan.run(dataset, method)
    together, most, counts = processes(plan, dataset, method), run.resources, counts_of(plan, dataset, method)
    gpu = together if plan.gpus else 0
    if counts is None:
        return Needs(gpu=gpu, mem_mb=most.mem_mb, minutes=most.minutes)
    asked = minutes(plan, "train", _operations(plan, dataset, method), LEAST, together)
    memory = together * host_bytes(plan, run, counts) // 10**6
    return Needs(gpu=gpu, mem_mb=min(int(memory), most.mem_mb), minutes=min(asked, most.minutes))


def _operations(plan: Plan, dataset: str, method: str) -> float:
    """Return the operations of a training: none where it trains nothing, or where nothing is counted of it."""
    counts, training = counts_of(plan, dataset, method), plan.run(dataset, method).training
    if counts is None or plan.route(dataset, method) != "train":
        return 0.0
    return counts.step * training.batch * training.steps


def host_bytes(plan: Plan, run: Run, counts: Counts) -> float:
    """Return the bytes that a process of a training takes on the host; on a CPU, those of its step too.

    Sets of images and trajectories are mapped from their files, and what is mapped is given back when it is needed.
    """
    states = counts.weights + STATES * counts.trained
    if plan.gpus:
        return 1e6 * PROCESS_MB["cuda"] + states
    return 1e6 * PROCESS_MB["cpu"] + states + 2 * (counts.fixed + counts.kept * run.training.batch)


def passing(plan: Plan, dataset: str, images: int, least: int) -> int:
    """Return the minutes that a job asks to pass images through every network and library, and at least `least`."""
    if plan.dataset(dataset).data.resolution is None:
        return least
    each = seen(plan, dataset, lambda role: feature_operations(plan, dataset, role))
    return minutes(plan, "features", images * each, least)


def extractor_training(plan: Plan, dataset: str, role: str, least: int) -> int:
    """Return the minutes that the training of a feature network asks for, and at least `least`."""
    if plan.dataset(dataset).data.resolution is None:
        return least
    own = plan.extractor(dataset, role)
    passes = 3 * own.steps * own.batch  # forwards, and backwards at twice the cost
    return minutes(plan, "train", passes * feature_operations(plan, dataset, role), least)


def preparing(images: int, least: int) -> int:
    """Return the minutes that reading and resizing so many pictures asks for, and at least `least`."""
    return max(least, math.ceil(BUSY * PICTURE * images / 60))


def kernel_minutes(plan: Plan, images: int, against: int, ranges: int, least: int) -> int:
    """Return the minutes for kernel distances of published networks, of every pair within and between two sets."""
    if plan.benchmark.extractor in OWN:
        return least
    each = images // ranges
    pairs = ranges * (each**2 / 2 + against**2 / 2 + each * against)
    return max(least, math.ceil(2 * DIMENSIONS * pairs / DOUBLES / 60))


@lru_cache(maxsize=8)
def _thread(configs: Path) -> Thread:
    return thread(configs)
