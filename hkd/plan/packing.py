"""How long jobs take on some devices: list scheduling of a graph, the longest chain first."""

from __future__ import annotations

import heapq
from collections.abc import Hashable, Mapping, Sequence
from typing import NamedTuple, TypeVar

Job = TypeVar("Job", bound=Hashable)


class Packed(NamedTuple):
    """A schedule: its end, the longest chain of jobs that wait for one another, and the busy share of the devices."""

    seconds: float
    longest: float
    busy: float


def packed(
    seconds: Mapping[Job, float],
    devices: Mapping[Job, int],
    needs: Mapping[Job, Sequence[Job]],
    count: int,
) -> Packed:
    """Return how long jobs take on `count` devices, when of all that may start that with the longest rest comes first.

    Args:
        seconds: of each job on the devices that it takes.
        devices: how many each takes; one that takes none waits for its inputs alone.
        needs: the jobs that each waits for.
    Raises:
        ValueError: a job takes more devices than there are.
    """
    if (most := max(devices.values(), default=0)) > count:
        raise ValueError(f"a job takes {most} devices, and there are {count}")
    waiting = {job: len(needs[job]) for job in seconds}
    after: dict[Job, list[Job]] = {job: [] for job in seconds}
    for job, before in needs.items():
        for one in before:
            after[one].append(job)
    rest = _rest(seconds, after, waiting)
    order = {job: number for number, job in enumerate(seconds)}
    ready = [(-rest[job], order[job], job) for job, count_ in waiting.items() if not count_]
    heapq.heapify(ready)
    running: list[tuple[float, int, Job]] = []
    now, free = 0.0, count
    while ready or running:
        held = []
        while ready:
            entry = heapq.heappop(ready)
            job = entry[2]
            if devices[job] > free:
                held.append(entry)
                continue
            free -= devices[job]
            heapq.heappush(running, (now + seconds[job], order[job], job))
        for entry in held:
            heapq.heappush(ready, entry)
        now, _, job = heapq.heappop(running)
        free += devices[job]
        for one in after[job]:
            waiting[one] -= 1
            if not waiting[one]:
                heapq.heappush(ready, (-rest[one], order[one], one))
    work = sum(seconds[job] * devices[job] for job in seconds)
    return Packed(now, max(rest.values(), default=0.0), work / (now * count) if now else 0.0)


def _rest(
    seconds: Mapping[Job, float], after: Mapping[Job, Sequence[Job]], waiting: Mapping[Job, int]
) -> dict[Job, float]:
    """Return, for each job, its own time and that of the longest chain behind it."""
    left = dict(waiting)
    order = [job for job, count in left.items() if not count]
    for job in order:
        for one in after[job]:
            left[one] -= 1
            if not left[one]:
                order.append(one)
    rest: dict[Job, float] = {}
    for job in reversed(order):
        rest[job] = seconds[job] + max((rest[one] for one in after[job]), default=0.0)
    return rest
