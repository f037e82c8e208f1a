"""2-Rectified flow++: EDM's denoiser as a velocity, U-shaped times, and the two parts of its loss."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from hkd.data.trajectories import Trajectories
from hkd.draws import StreamDraws
from hkd.methods.flow.rf2pp import RF2PlusPlus, u_shaped
from hkd.seeding import ImageStreams, stream
from tests.methods.stand_ins import Function, Squared

SETTINGS = {"t_margin": 1e-5, "t_rate": 4.0, "huber": 0.00054}


@pytest.fixture
def pairs(trajectories):
    return Trajectories(trajectories).batch(np.arange(16))


def test_times_are_a_mixture_of_two_exponentials():
    u = torch.rand((2, 400000), generator=stream(0, "u"), dtype=torch.float64)
    t = u_shaped(u[0], u[1] < 0.5, 4.0)
    edges = torch.linspace(0, 1, 11, dtype=torch.float64)
    found = torch.histogram(t, edges)[0] / len(t)
    mass = (4 * edges).exp().diff() / (math.exp(4) - 1)
    assert_close(found, (mass + mass.flip(0)) / 2, atol=2e-3, rtol=0)
    assert float(found[0]) > 2 * float(found[4])  # a U: exp(4 t) + exp(-4 t) would rise throughout


def test_a_perfect_denoiser_of_the_pairs_has_no_loss(pairs):
    assert float(pairs.clean.abs().max()) > 1  # where bytes, which the source stores, have an end
    image = pairs.clean.clamp(-1, 1)
    perfect = RF2PlusPlus(student=Function(lambda x, sigma, labels: image), distance=Squared(), **SETTINGS)
    assert float(perfect.losses(pairs, step=0, draws=StreamDraws(stream(0, "l")))["student"].detach()) < 1e-6


def test_the_loss_is_that_of_configuration_f(pairs):
    shift = 0.01
    off = Function(lambda x, sigma, labels: pairs.clean.clamp(-1, 1) + shift)
    method = RF2PlusPlus(student=off, distance=Squared(), t_margin=0.2, t_rate=4.0, huber=0.00054)
    loss = float(method.losses(pairs, step=0, draws=StreamDraws(stream(0, "l")))["student"].detach())
    u = torch.rand((2, 16), generator=stream(0, "l"), dtype=torch.float64)
    t = 0.2 + 0.6 * u_shaped(u[0], u[1] < 0.5, 4.0)
    d = 192
    c = 0.00054 * d  # not times sqrt(d), as in iCT
    flow = (((shift / t) ** 2 * d + c**2).sqrt() - c) / d  # v misses z - x by -shift / t
    expected = ((1 - t) * flow + shift**2 * d / t).mean()
    assert loss == pytest.approx(float(expected), rel=1e-3)


def test_the_denoiser_is_evaluated_on_edms_scale():
    seen = []
    student = Function(lambda x, sigma, labels: seen.append((x, sigma)) or x)
    method = RF2PlusPlus(student=student, distance=Squared(), **SETTINGS)
    image, noise = torch.randn((2, 4, 3, 8, 8), generator=stream(0, "x"))
    t = torch.full((4,), 0.8)
    method.denoised(0.2 * image + 0.8 * noise, t, None)
    assert_close(seen[0][0], image + 4.0 * noise)
    assert_close(seen[0][1], torch.full((4,), 4.0))


def test_one_step_starts_at_the_noise_and_ends_at_the_denoised(draw):
    seen = []

    def student(x, sigma, labels):
        seen.append((x, sigma))
        return torch.full_like(x, 0.25)

    method = RF2PlusPlus(student=Function(student), distance=Squared(), **SETTINGS)
    images = draw(method, [0, 1], 1)
    assert_close(images, torch.full_like(images, 0.25))
    rest = 1 - np.float32(1 - 1e-5)  # of float32, as the official code's times are: 1.0014e-5
    assert seen[0][1].dtype == torch.float32
    assert_close(seen[0][1], torch.full((2,), float(np.float32(1 - 1e-5) / rest)), rtol=1e-6, atol=0)
    assert float(seen[0][1][0]) == pytest.approx(99863.37, abs=0.1)
    assert_close(seen[0][0].float() * float(rest), ImageStreams(0, [0, 1]).randn((3, 8, 8)), rtol=1e-3, atol=1e-5)


def test_many_steps_follow_the_probability_flow(gaussian, draw):
    """In EDM's form the straight-line flow of independent pairs is the probability flow itself."""
    method = RF2PlusPlus(student=Function(gaussian), distance=Squared(), **SETTINGS)
    noise = ImageStreams(0, range(3)).randn((3, 8, 8))
    exact = gaussian.solution(99863.4 * noise.double(), 99863.4, 0.0).float()
    errors = [float((draw(method, [0, 1, 2], nfe) - exact).abs().max()) for nfe in (1, 20, 200)]
    assert errors[0] > 5 * errors[1] > 25 * errors[2]


def test_it_starts_as_the_ve_edm_and_trains(tiny_run, trained, draw):
    method = trained(tiny_run("methods/rf2pp"))
    assert_close(draw(method, [4], 1)[0], draw(method, [3, 4, 5], 1)[1], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("scale", ["embedded", "cpu", "paper"])
def test_the_defining_settings_of_2_rectified_flow_plus_plus_hold_at_every_scale(settings, smoke_plan, scale):
    run, spec = settings("rf2pp", scale), smoke_plan(scale=scale).trajectory_set("cifar10", "edm-ve-pairs")
    assert run.params == SETTINGS
    assert (run.init, run.feed, run.perceptual) == ("methods/edm_ve", "trajectories/edm-ve-pairs", True)
    assert (run.network["preset"], run.network["precond"]) == ("ncsnpp", "edm")
    assert (run.training.optimizer.name, run.training.flip) == ("adam", False)
    assert (spec.teacher, spec.solver, spec.steps) == ("methods/edm_ve", "heun", 18)
