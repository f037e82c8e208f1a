"""Analyses start where the run's own samples do, and runs without an operator are refused by name."""

from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

from hkd.experiment.finished import base
from hkd.experiment.record import read_run
from hkd.experiment.sample import sample_images
from hkd.store.refusals import ArtifactError
from hkd.studies.interpretability.starts import hkd_network, start

CPU = torch.device("cpu")


def test_decoded_in_one_step_the_states_are_the_samples_of_the_run(weights):
    net, x, labels = start(weights, 3, 5, CPU)
    run, shape, _ = read_run(weights.with_name("config.yaml"))
    samples = sample_images(base(weights), run, shape, range(3), seed=5, nfe=1, to=CPU)
    assert_close(net(x, net.settings.sigma_max, labels), samples)


def test_a_run_without_an_operator_is_refused(teacher):
    with pytest.raises(ArtifactError, match="is no run of HKD, and has no spectrum; name methods/hkd"):
        hkd_network(teacher, CPU)
