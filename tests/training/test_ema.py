"""Averages of weights against their closed forms."""

from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError
from torch import nn
from torch.testing import assert_close

from benchmarks.averages import DDPMPP, ratio
from hkd.nets.assemble import build
from hkd.settings.sections import Ema
from hkd.training.ema import Average, ema_decay, initial_share
from tests.pretend_gpu import PretendGPU


def test_a_constant_decay_weighs_steps_geometrically():
    decay, network = 0.8, nn.Linear(1, 1, bias=False)
    history = [0.0, 1.0, -2.0, 5.0, 0.5]
    network.weight.data.fill_(history[0])
    average = Average(network)
    for value in history[1:]:
        network.weight.data.fill_(value)
        average.update(network, decay)
    n = len(history) - 1
    expected = decay**n * history[0] + sum((1 - decay) * decay ** (n - i) * history[i] for i in range(1, n + 1))
    assert_close(average.values["weight"].item(), expected, rtol=1e-6, atol=1e-7)


def test_without_an_average_the_weights_themselves_are_kept():
    network = nn.Linear(2, 2)
    average = Average(network)
    nn.init.normal_(network.weight)
    average.update(network, ema_decay(Ema(kind="none"), step=3, batch=8))
    assert torch.equal(average.values["weight"], network.weight)


@pytest.mark.parametrize("batch", [8, 512])
def test_half_of_an_old_weight_is_left_after_the_halflife(batch):
    law = Ema(kind="halflife", halflife_images=500_000, ramp=1e9)
    steps = 500_000 / batch
    assert ema_decay(law, step=10**6, batch=batch) ** steps == pytest.approx(0.5)


def test_the_halflife_starts_as_a_share_of_the_images_seen():
    law = Ema(kind="halflife", halflife_images=500_000, ramp=0.05)
    seen = 1000 * 512
    assert ema_decay(law, step=1000, batch=512) == pytest.approx(0.5 ** (512 / (0.05 * seen)))
    assert ema_decay(law, step=0, batch=512) == 0.0
    assert ema_decay(law, step=20_000, batch=512) == pytest.approx(0.5 ** (512 / 500_000))


@pytest.mark.parametrize("step, expected", [(0, 2 / 11), (1, 3 / 12), (89, 91 / 100), (10**6, 0.99)])
def test_the_warm_up_is_that_of_score_sde(step, expected):
    assert ema_decay(Ema(kind="warmup", decay=0.99), step=step, batch=8) == pytest.approx(expected)


def test_a_constant_decay_does_not_depend_on_the_step():
    law = Ema(kind="constant", decay=0.9999)
    assert {ema_decay(law, step=step, batch=8) for step in (0, 1, 1000)} == {0.9999}


def test_buffers_are_taken_as_they_are():
    network = nn.BatchNorm1d(2)
    average = Average(network)
    network.running_mean.fill_(3.0)
    network.weight.data.fill_(7.0)
    average.update(network, 0.5)
    state = average.state(network)
    assert state.keys() == network.state_dict().keys()
    assert torch.equal(state["running_mean"], torch.full((2,), 3.0))
    assert torch.equal(state["weight"], torch.full((2,), 4.0))


@pytest.mark.parametrize("settings", [{"kind": "constant"}, {"kind": "warmup"}, {"kind": "halflife", "ramp": 0.1}])
def test_an_incomplete_law_is_refused(settings):
    with pytest.raises(ValidationError, match="needs"):
        Ema(**settings)


@pytest.mark.parametrize(
    "settings, expected",
    [
        (Ema(kind="none"), 0.0),
        (Ema(kind="constant", decay=0.9999), 0.9999**926),
        (Ema(kind="constant", decay=0.5), 0.5**926),
    ],
)
def test_what_an_average_keeps_of_its_start(settings, expected):
    assert initial_share(settings, steps=926, batch=256) == pytest.approx(expected)
    assert initial_share(settings, steps=0, batch=256) == 1.0


def test_a_warm_up_forgets_its_start_at_once():
    assert initial_share(Ema(kind="warmup", decay=0.9999), steps=926, batch=256) < 1e-6


def test_the_share_of_the_start_is_what_an_average_of_unmoved_zeros_keeps():
    """An average that begins at 1 over weights that are 0 is the share itself."""
    network, law = nn.Linear(1, 1, bias=False), Ema(kind="warmup", decay=0.9)
    nn.init.ones_(network.weight)
    average = Average(network)
    nn.init.zeros_(network.weight)
    for step in range(6):
        average.update(network, ema_decay(law, step=step, batch=8))
    assert float(average.values["weight"]) == pytest.approx(initial_share(law, steps=6, batch=8), rel=1e-5)


@pytest.mark.slow
@pytest.mark.ci
def test_an_average_costs_less_than_the_loop_of_the_sources():
    network = build(DDPMPP, resolution=32, channels=3, label_dim=0)
    assert ratio(network, rounds=9, device=torch.device("cpu")) >= 1.65


def test_an_average_is_passed_over_on_the_device_without_a_read():
    with PretendGPU() as gpu:
        network = nn.Linear(3, 2).to("cuda")
        plain, told = Average(network), Average(network)
        with torch.no_grad():
            for weight in network.parameters():
                weight.add_(1.0)
        gpu.forget()
        told.update(network, 0.9, torch.ones((), device="cuda", dtype=torch.bool))
        assert all(
            torch.equal(a.cpu(), b.cpu()) for a, b in zip(told.values.values(), plain.values.values(), strict=True)
        )
        gpu.forget()
        told.update(network, 0.9, torch.zeros((), device="cuda", dtype=torch.bool))
        plain.update(network, 0.9)
        assert not gpu.reads and not gpu.copies
        for a, b in zip(told.values.values(), plain.values.values(), strict=True):
            assert_close(a.cpu(), b.cpu(), rtol=1e-5, atol=1e-6)
            assert float(a.cpu().flatten()[0]) != 0
