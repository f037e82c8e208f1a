"""Seconds that a finished run takes to make a batch of images, and the parameters and operations that they take."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from hkd import interrupt
from hkd.experiment.finished import base
from hkd.experiment.record import read_run
from hkd.experiment.sample import sample_images
from hkd.methods.evaluations import EvaluationCounter, networks
from hkd.store.refusals import ArtifactError

Clock = Callable[[], float]


def timed(
    weights: Path,
    to: torch.device,
    *,
    seed: int,
    nfe: int,
    batch: int,
    warm_up: int,
    repeats: int,
    clock: Clock = time.perf_counter,
) -> dict[str, Any]:
    """Return what making images takes: from the drawing of their noise to the images in the memory of the device.

    The clock is read when the device has nothing left to do. The first call of the warm-up is counted, not timed.

    Keys: seconds (of each call), batch, warm_up, device (as torch names it, or cpu), threads, parameters (of the
    networks that sample), operations (of an image of such a batch; a multiplication and an addition are two).

    Args:
        weights: of the run, with its config beside them.
        warm_up, repeats: calls that do not count, at least one; calls that do.
    Raises:
        ArtifactError: an image takes another number of evaluations than it was asked to.
    """
    run, shape, _ = read_run(weights.with_name("config.yaml"))
    built = base(weights).to(to)

    def call() -> None:
        interrupt.check()
        sample_images(built, run, shape, range(batch), seed=seed, nfe=nfe, to=to)
        if to.type == "cuda":
            torch.cuda.synchronize(to)

    with FlopCounterMode(display=False) as operations, EvaluationCounter(networks(built)) as counter:
        call()
    if counter.counted != nfe * batch:
        raise ArtifactError(f"{weights}: {counter.counted / batch:g} evaluations an image, not {nfe}")
    for _ in range(warm_up - 1):
        call()
    seconds = []
    for _ in range(repeats):
        begun = clock()
        call()
        seconds.append(clock() - begun)
    return {
        "seconds": seconds,
        "batch": batch,
        "warm_up": warm_up,
        "device": torch.cuda.get_device_name(to) if to.type == "cuda" else "cpu",
        "threads": torch.get_num_threads(),
        "parameters": built.sampling_parameters(),
        "operations": operations.get_total_flops() / batch,
    }
