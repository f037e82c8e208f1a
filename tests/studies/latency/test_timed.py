"""What is timed, how often, and what it is counted to take; no test looks at a real clock."""

from __future__ import annotations

from itertools import count

import pytest
import torch

from hkd.experiment.finished import base
from hkd.experiment.sample import sample_images as real_sample_images
from hkd.store.refusals import ArtifactError
from hkd.studies.latency import timed as module

CPU = torch.device("cpu")


@pytest.fixture
def calls(monkeypatch) -> list[int]:
    """The number of images of every call of the sampler."""
    found = []

    def noted(built, run, shape, indices, **options):
        found.append(len(indices))
        return real_sample_images(built, run, shape, indices, **options)

    monkeypatch.setattr(module, "sample_images", noted)
    return found


def test_calls_count_once_the_device_is_warm_and_take_what_the_clock_says(teacher, calls):
    ticks = (float(n * n) for n in count())
    found = module.timed(teacher, CPU, seed=0, nfe=3, batch=2, warm_up=3, repeats=4, clock=lambda: next(ticks))
    assert calls == [2] * (3 + 4)
    assert found["seconds"] == [1.0, 5.0, 9.0, 13.0], "1 - 0, 9 - 4, 25 - 16, 49 - 36"
    assert (found["batch"], found["warm_up"], found["device"], found["threads"]) == (2, 3, "cpu", 1)


def test_an_image_costs_its_evaluations_of_the_network(teacher):
    few, more, pair = (
        module.timed(teacher, CPU, seed=0, nfe=nfe, batch=batch, warm_up=1, repeats=1)
        for nfe, batch in ((3, 1), (15, 1), (3, 2))
    )
    assert more["operations"] == 5 * few["operations"] > 0
    # the noise level is embedded once for all images of a batch
    assert 0.99 * few["operations"] < pair["operations"] <= few["operations"]
    network = base(teacher).student
    assert few["parameters"] == sum(p.numel() for p in network.parameters())


def test_another_number_of_evaluations_than_was_asked_for_is_refused(teacher, monkeypatch):
    def short(built, run, shape, indices, *, nfe, **options):
        return real_sample_images(built, run, shape, indices, nfe=3, **options)

    monkeypatch.setattr(module, "sample_images", short)
    with pytest.raises(ArtifactError, match="3 evaluations an image, not 15"):
        module.timed(teacher, CPU, seed=0, nfe=15, batch=1, warm_up=1, repeats=1)
