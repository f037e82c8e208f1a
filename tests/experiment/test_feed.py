"""The feed: the same batches wherever items are read from."""

from __future__ import annotations

import pytest
import torch

from hkd.data.ahead import TrajectoriesAhead
from hkd.data.trajectories import Trajectories
from hkd.experiment.feed import Batches, batches

CPU = torch.device("cpu")


def of(run, images, trajectories, place) -> Batches:
    stored = trajectories if run.feed.startswith("trajectories/") else None
    return batches(run, images=images, trajectories=stored, seed=3, to=CPU, place=place)


@pytest.mark.parametrize("conditional", [False, True])
def test_images_on_the_device_are_those_on_the_disk(tiny_run, images, conditional):
    run = tiny_run("methods/edm_cond" if conditional else "methods/edm", training={"flip": True, "batch": 8})
    host, device = (of(run, images, None, place) for place in ("host", "device"))
    for step in (0, 1, 5):
        one, other = host(step), device(step)
        assert torch.equal(one.clean, other.clean)
        assert (one.labels is None) == (other.labels is None) == (not conditional)
        if conditional:
            assert torch.equal(one.labels, other.labels)
    assert not torch.equal(host(0).clean, host(1).clean)


@pytest.mark.parametrize("place", ["device", "ahead"])
def test_trajectories_on_the_device_or_read_ahead_are_those_on_the_disk(tiny_run, images, trajectories, place):
    run = tiny_run("methods/hkd", training={"batch": 6})
    host, other = (of(run, images, trajectories, where) for where in ("host", place))
    for step, rows in ((0, slice(None)), (1, slice(0, 4)), (1, slice(4, 6)), (7, slice(None))):
        one, two = host(step, rows), other(step, rows)
        other.expect(step + 1)  # sometimes right, sometimes not
        k = torch.tensor([0, 3, 1, 2, 0, 1])[: len(one)]
        assert len(one) == len(two)
        for states in (lambda batch, k=k: batch.state(k), lambda batch: batch.noise, lambda batch: batch.near_clean):
            assert torch.equal(states(one), states(two))
        sigma = one.sigmas[:-1][k.clamp(max=len(one.sigmas) - 2)] * 0.9 + 0.1 * one.sigmas[-2]
        assert torch.equal(one.at(sigma), two.at(sigma))


@pytest.mark.parametrize("place", ["host", "device", "ahead"])
def test_rows_of_a_batch_are_rows_of_the_whole(tiny_run, images, trajectories, place):
    run = tiny_run("methods/hkd", training={"batch": 6})
    feed = of(run, images, trajectories, place)
    whole = feed(2).clean
    assert torch.equal(torch.cat([feed(2, slice(0, 2)).clean, feed(2, slice(2, 6)).clean]), whole)


def test_a_batch_that_was_read_ahead_survives_the_next(trajectories):
    import numpy as np

    stored = Trajectories(trajectories)
    ahead = TrajectoriesAhead(stored, CPU)
    found = []
    for start in (0, 2, 4, 1):
        ahead.expect(np.array([start + 2, start]))
        found.append((start, ahead.batch(np.array([start + 2, start]))))
    for start, batch in found:
        assert torch.equal(batch.clean, stored.batch(np.array([start + 2, start])).clean)
