"""How fast this machine's CPU is on a benchmark's own networks: some steps, some images, and the start of a job."""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from collections.abc import Callable

import torch

from hkd.experiment.counting import counts, feature_cost, one_image, stand_in, zeros
from hkd.nets.cnn import FeatureCNN
from hkd.plan.counted import resolution
from hkd.plan.runs import Plan
from hkd.plan.speed import Speed, thread
from hkd.training.trainer import Trainer

# choice: of a call that is timed, which then takes a second. A batch is cut down to it; those of the small scales are
# whole, for a CPU makes fewer operations a second in a few images than in many.
OPERATIONS = 4e10
SECONDS = 6.0  # choice: of each measurement; all together take less than a minute
RUNS = 3  # choice: of the benchmark's trained runs, spread over its rows; their steps differ in how well a CPU is used
JOB = "import hkd.experiment.sample, hkd.experiment.train, hkd.metrics.measure, hkd.plan.stages"


def probed(plan: Plan, runs: list[tuple[str, str]]) -> Speed:
    """Return the speed of one core, in CPU seconds, measured on some of the runs (data set, group/name).

    Raises:
        ValueError: nothing is trained or sampled in this benchmark.
    """
    if not runs:
        raise ValueError("nothing is trained here, so that nothing can be timed")
    chosen = runs[:: max(len(runs) // RUNS, 1)][:RUNS]
    torch.set_num_threads(1)
    trained, made = zip(*(_run_rates(plan, dataset, name) for dataset, name in chosen), strict=True)
    rates = {"train": _mean(trained), "evaluate": _mean(made), "features": _features_rate(plan, chosen[0][0])}
    names = ", ".join(name for _, name in chosen)
    said = ", ".join(f"{kind} at {rate / 1e9:.1f} GFLOP/s" for kind, rate in rates.items())
    startup = thread(plan.configs).forked if plan.benchmark.fork_server else _startup()
    return Speed(rates, startup, f"this CPU, one thread: {said}, {startup:.2g} s to start a job; probed on {names}")


def _run_rates(plan: Plan, dataset: str, name: str) -> tuple[float, float]:
    """Return operations per CPU second of a run's training step and of its network's evaluations."""
    run, cost = plan.run(dataset, name), counts(plan, dataset, name)
    built, shape = stand_in(plan, dataset, name, torch.device("cpu"))
    images = int(min(max(OPERATIONS / cost.step, 2), run.training.batch))
    batch = zeros(run, shape, images, torch.device("cpu"))
    trainer = Trainer(built.train(), run.training, seed=0)
    train = cost.step * images / _timed(lambda: trainer.step(batch))
    if 1 not in run.sampling.nfe:
        return train, train  # an evaluation is a third of a step, at much the same speed
    drawn = int(min(max(OPERATIONS / cost.forward, 1), run.sampling.batch))
    built.eval()
    with torch.no_grad():
        seconds = _timed(lambda: one_image(built, run, shape, torch.device("cpu"), drawn))
    return train, cost.forward * drawn / seconds


def _features_rate(plan: Plan, dataset: str) -> float:
    own = plan.extractor(dataset, "metric")
    size = round(resolution(plan, dataset) * own.image_size_factor)
    network = FeatureCNN(own.width, size, {"x": 1}, 0, own.features)
    cost = feature_cost(plan, dataset, "metric")
    levels = torch.zeros(64, 3, size, size)
    with torch.no_grad():
        return cost * len(levels) / _timed(lambda: network.features(levels))


def _timed(work: Callable[[], object]) -> float:
    """Return the CPU seconds of one call, after one that is not counted."""
    work()
    begun, calls, until = time.process_time(), 0, time.monotonic() + SECONDS / 2
    while not calls or time.monotonic() < until:
        work()
        calls += 1
    return (time.process_time() - begun) / calls


def _startup() -> float:
    """Return the CPU seconds that a process needs to load what jobs load."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", JOB], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _mean(rates: tuple[float, ...]) -> float:
    """Return the rate of as many operations with each: the harmonic mean."""
    return len(rates) / sum(1 / rate for rate in rates)
