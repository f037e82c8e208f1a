"""Hosts and donors are the run's own samples at the end of their evolution, and the outcome is stored as numbers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

from hkd.data.kinds import shapes
from hkd.studies.interpretability.band_swaps import at_the_end, factors_of_run, readings
from hkd.studies.interpretability.starts import start

CPU = torch.device("cpu")


def test_decoded_as_they_are_hosts_are_samples_and_donors_are_the_next(weights):
    begun = start(weights, 4, 0, CPU)
    hosts, donors, decode = at_the_end(begun, 2, batch=3)
    samples = begun.net(begun.x, begun.net.settings.sigma_max, begun.labels)
    assert_close(decode(hosts), samples[:2], rtol=1e-4, atol=1e-4)
    assert [len(z) for z in hosts] == [len(z) for z in donors] == [2] * len(begun.net.latent_names)
    swapped = begun._replace(x=begun.x.flip(0), labels=None if begun.labels is None else begun.labels.flip(0))
    first, _, _ = at_the_end(swapped, 2, batch=4)
    assert_close([z.flip(0) for z in first], donors, rtol=1e-4, atol=1e-4)


@pytest.fixture(scope="module")
def tested(results, study_plan):
    ticks = []

    def test(**changes):
        settings = {"order_by": "alpha", "ascending": True, "edges": (0.5,), "pairs": 6, "draws": 100, "batch": 8}
        ticks.clear()
        found = factors_of_run(
            Path(study_plan.layout.run("shapes8", "methods/hkd", 0).weights),
            Path(study_plan.layout.extractor("shapes8", "metric")),
            changes.pop("seed", 0),
            CPU,
            tolerance=0.1,
            preprocessing="A",
            tick=lambda: ticks.append(1),
            **settings | changes,
        )
        return found, len(ticks)

    return test


def test_the_outcome_is_plain_numbers_for_every_band_and_factor(tested):
    found, read = tested()
    assert list(found)[:4] == ["pairs", "order_by", "factors", "heights"]
    assert json.loads(json.dumps(found)).keys() == found.keys()
    assert (found["pairs"], found["order_by"], found["factors"]) == (6, "alpha", list(shapes.FACTORS))
    assert len(found["weights"]) == 2 and len(found["weights"][0]) == len(shapes.FACTORS)
    assert len(found["null"]) == 100 and len(found["control"]) == len(found["heights"])
    assert read == readings((0.5,), 100) + len(found["heights"])  # the control swaps every resolution


@pytest.mark.slow
@pytest.mark.ci
def test_the_permutations_are_those_of_the_seed(tested):
    again, other = tested()[0], tested(seed=1)[0]
    assert str(tested()[0]) == str(again)
    assert other["null"] != again["null"]
