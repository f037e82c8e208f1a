"""DDIM: Euler's method on the probability flow in its own variable, over a quadratic sub-sequence."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch.testing import assert_close

from hkd.diffusion.samplers import euler_states, last
from hkd.methods.multistep.ddim import DDIM, subsequence
from hkd.seeding import ImageStreams, stream
from hkd.training.trainer import Trainer
from tests.methods.stand_ins import Function


def sampler(student, eta=0.0, steps=1000):
    betas = {"beta_first": 1e-4, "beta_last": 0.02}
    return DDIM(student=student, diffusion_steps=steps, **betas, eta=eta, sequence="quadratic")


def noise_of(denoiser, bars):
    """The noise that a denoiser of x_0 + sigma n sees in x_t."""

    def eps(x, time, labels):
        abar = bars[time.round().long()].reshape(-1, 1, 1, 1).float()
        sigma = ((1 - abar) / abar).sqrt()
        return (x / abar.sqrt() - denoiser(x / abar.sqrt(), sigma.flatten())) / sigma

    return eps


def test_the_sub_sequence_is_the_papers():
    assert subsequence(10, 1000, "quadratic") == [0, 9, 39, 88, 158, 246, 355, 483, 632, 800]
    hundred = subsequence(100, 1000, "quadratic")
    assert hundred[:8] == [0, 0, 0, 0, 1, 2, 2, 3] and hundred[-1] == 800 and len(hundred) == 100
    assert subsequence(10, 1000, "uniform") == list(range(0, 1000, 100))


def test_squares_just_below_a_whole_number_are_cut_off():
    found = subsequence(16, 1000, "quadratic")  # k² · 800 / 225, where float64 gives 31.999999999999996 for 32
    assert found == [0, 3, 14, 31, 56, 88, 127, 174, 227, 287, 355, 430, 511, 600, 696, 800]
    assert subsequence(6, 1000, "quadratic") == [0, 32, 128, 288, 512, 800]


@pytest.mark.parametrize(("count", "largest"), [(30, 990), (7, 994), (300, 999), (999, 999), (100, 990)])
def test_the_uniform_sequence_keeps_the_codes_largest_step(count, largest):
    found = subsequence(count, 1000, "uniform")
    assert len(found) == count and found[-1] == largest
    assert {b - a for a, b in pairwise(found)} == {1000 // count}


@pytest.mark.parametrize("nfe", [10, 100])
def test_it_is_eulers_method_on_the_probability_flow(gaussian, nfe):
    method = sampler(Function(torch.zeros_like))
    method.student = Function(noise_of(gaussian, method.alpha_bars))
    steps = sorted(set(subsequence(nfe, 1000, "quadratic")), reverse=True)
    bars = method.alpha_bars[steps]
    sigmas = torch.cat((((1 - bars) / bars).sqrt(), torch.zeros(1).double()))
    noise = torch.randn((4, 3, 8, 8), generator=stream(0, "n"))
    start = noise.double() / bars[0].sqrt()
    with torch.no_grad():
        euler = last(euler_states(gaussian, start, sigmas))
        made = method.sample(noise, labels=None, nfe=nfe, streams=ImageStreams(0, range(4)))
    assert_close(made, euler, rtol=1e-3, atol=1e-4)


def test_with_exact_noise_and_many_steps_it_follows_the_exact_flow(gaussian, draw):
    method = sampler(Function(torch.zeros_like))
    method.student = Function(noise_of(gaussian, method.alpha_bars))
    noise = ImageStreams(0, range(4)).randn((3, 8, 8))
    bar = method.alpha_bars[800]
    exact = gaussian.solution(noise / bar.sqrt().float(), float(((1 - bar) / bar).sqrt()), 0.0)
    errors = [float((draw(method, [0, 1, 2, 3], nfe) - exact).abs().max()) for nfe in (10, 40, 400)]
    assert errors[0] > errors[1] > errors[2] and errors[2] < 0.02


def test_a_repeated_step_changes_nothing_but_is_counted(gaussian, draw):
    method = sampler(Function(torch.zeros_like))
    method.student = Function(noise_of(gaussian, method.alpha_bars))
    assert draw(method, [0], 100).shape == (1, 3, 8, 8)  # `draw` counts 100, of which 12 repeat a step


def test_eta_adds_noise_and_zero_adds_none(tiny_run, build, draw):
    method = build(tiny_run("methods/ddim")).eval()
    plain = draw(method, [7], 10)
    assert_close(draw(method, [7], 10), plain, rtol=0, atol=0)
    method.eta = 1.0
    assert float((draw(method, [7], 10) - plain).abs().max()) > 1e-3
    with pytest.raises(ValueError, match="2 to 1000 network evaluations, not 1"):
        draw(method, [0], 1)


def test_its_weights_are_those_of_ddpm_and_nothing_trains(tiny_run, build, base_weights):
    run = tiny_run("methods/ddim")
    method = build(run)
    from hkd.store.artifacts import load_weights

    assert_close(method.artefact(), load_weights(base_weights("methods/ddpm")))
    trainer = Trainer(method, run.training, seed=0)
    assert trainer.optimizers == {} and trainer.averaged().keys() == method.artefact().keys()


@pytest.mark.parametrize("scale", ["embedded", "cpu", "paper"])
def test_the_defining_settings_of_ddim_hold_at_every_scale(settings, scale):
    run, base = settings("ddim", scale), settings("ddpm", scale)
    assert (run.init, run.training.steps, run.network) == ("methods/ddpm", 0, base.network)
    assert run.params == {**base.params, "eta": 0.0, "sequence": "quadratic"}
    assert run.sampling.nfe == (100, 10)
