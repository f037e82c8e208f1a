"""A batch in parts has the gradient of the whole, for every method and both laws of its draws."""

from __future__ import annotations

import os
import pickle
import socket
import subprocess
import sys

import pytest
import torch

from hkd.seeding import stream
from hkd.training.ranks import Ranks
from tests.methods import cut_up
from tests.methods.cut_up import BATCH, BOUND, CONFIGS, METHODS, QUICK, apart, gradients, in_parts, meeting_at, of_rank

EACH = [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in METHODS]


@pytest.fixture
def start(tiny_run, build, feed):
    """Return a run's method, settings and feed; skip where there is no batch to cut up."""

    def made(name: str, law: str):
        # at this scale the gap is relative to the batch, which therefore is not cut up
        params = {"closure_norm": "image"} if name == "ablations/abl_closure_loss" else {}
        run = tiny_run(name, training={"batch": BATCH, "draws": law}, network={"dropout": 0.0}, params=params)
        method = build(run)
        if not method.trains or method.whole_batch:
            pytest.skip("trains nothing, or needs its batch whole and says so")
        with torch.no_grad():  # away from the start, where DMD's two denoisers agree and operators stand still
            for number, weights in enumerate(p for name in method.trains for p in getattr(method, name).parameters()):
                weights += 0.02 * torch.randn(weights.shape, generator=stream(0, "away", number))
        return method, run.training, feed(run)

    return made


def cut(batches, parts: list[slice]):
    return [(rows, batches(1, rows)) for rows in parts]


@pytest.mark.parametrize("law", ["stream", "image"])
@pytest.mark.parametrize("name", EACH)
def test_the_gradient_of_a_batch_is_that_of_its_parts(name, law, start):
    method, settings, batches = start(name, law)
    whole = gradients(method, settings, cut(batches, in_parts([BATCH])))
    for sizes in ([4, 4], [3, 1, 4]):
        assert apart(gradients(method, settings, cut(batches, in_parts(sizes))), whole) < BOUND


def test_a_conditional_run_is_cut_up_with_its_classes(start):
    _, _, batches = start("methods/hkd_cond", "image")
    labels = [batches(1, rows).labels for rows in in_parts([BATCH, 3, 5])[:1] + in_parts([3, 5])]
    assert torch.equal(torch.cat(labels[1:]), labels[0]) and len(labels[0].unique(dim=0)) > 1


@pytest.fixture(scope="module")
def pair():
    """This process as the first of two that add up gradients over gloo, and a way to hand the second its part."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, cut_up.__file__, str(port)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(CONFIGS.parent)}
    process = subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert process.stdout.readline() == b"ready\n"  # one that ended before would be waited for

        def hand(*task) -> None:
            process.stdin.write(pickle.dumps(task or None))
            process.stdin.flush()

        with meeting_at(port), Ranks(0, 2, alone=False).joined(torch.device("cpu")) as ranks:
            yield ranks, hand
            hand()
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.communicate()


def test_a_process_without_room_for_all_gradients_at_once_has_both_exchange_them_one_by_one(start, pair, monkeypatch):
    class NoRoom:
        """torch in `hkd.training.ranks`, where nothing can be put together."""

        def __getattr__(self, name: str):
            return getattr(torch, name)

        def cat(self, tensors):
            raise torch.OutOfMemoryError("CUDA out of memory")

    ranks, hand = pair
    method, settings, batches = start("methods/edm", "image")
    theirs, ours = (cut(batches, of_rank(4, one)) for one in (Ranks(1, 2), ranks))
    found = []
    for full in (False, True):
        if full:
            monkeypatch.setattr("hkd.training.ranks.torch", NoRoom())
        hand(method, settings, theirs)
        found.append(gradients(method, settings, ours, ranks)["student"])
    assert all(torch.equal(value, found[1][key]) for key, value in found[0].items())


@pytest.mark.parametrize("name", EACH)
def test_the_gradient_of_a_batch_is_that_of_two_processes_together(name, start, pair):
    """At once as 2 x 4, and in parts as 2 x 2 x 2."""
    ranks, hand = pair
    method, settings, batches = start(name, "image")
    whole = gradients(method, settings, cut(batches, in_parts([BATCH])))
    for largest in (4, 2):
        theirs = cut(batches, of_rank(largest, Ranks(1, 2)))
        hand(method, settings, theirs)
        found = gradients(method, settings, cut(batches, of_rank(largest, ranks)), ranks)
        assert apart(found, whole) < BOUND
