"""Rectified flow: velocities of straight lines, reflow that straightens, and a jump over the whole time."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from hkd.data.image_set import ImageBatch
from hkd.draws import StreamDraws
from hkd.methods.flow.rectified import RectifiedFlow
from hkd.methods.flow.reflow import FlowDistillation, Reflow
from hkd.seeding import ImageStreams, stream
from tests.methods.stand_ins import Function, Squared

SETTINGS = {"t_min": 1e-3, "rtol": 1e-5, "atol": 1e-5}


def exact(gaussian):
    """The velocity E[x - z_0 | z_t] of Gaussian data, coordinate by coordinate."""

    def velocity(state, label, labels):
        t = (label / 999)[:, None, None, None].double()
        gain = (t * gaussian.variance - (1 - t)) / (t**2 * gaussian.variance + (1 - t) ** 2)
        return (gaussian.mean + gain * (state - t * gaussian.mean)).float()

    return Function(velocity)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory, gaussian, write_trajectories):
    """Pairs that the exact 1-flow of Gaussian data makes, and the whole set's noise and images."""
    noise = torch.randn((64, 3, 8, 8), generator=stream(0, "pairs"))
    images = RectifiedFlow(student=exact(gaussian), **SETTINGS).solve(noise, labels=None)
    sigmas = torch.tensor([1.0, 0.0]).double()
    stored = write_trajectories(tmp_path_factory.mktemp("pairs"), torch.stack((noise, images), dim=1), sigmas)
    return stored.batch(np.arange(64))


def test_the_exact_velocity_carries_noise_to_the_gaussian(gaussian):
    noise = ImageStreams(0, range(4)).randn((3, 8, 8))
    made = RectifiedFlow(student=exact(gaussian), **SETTINGS).solve(noise, labels=None)
    assert_close(made, (gaussian.mean + gaussian.variance.sqrt() * noise).float(), rtol=0, atol=5e-3)


def test_eulers_method_converges_to_the_adaptive_solution(gaussian, draw):
    method = RectifiedFlow(student=exact(gaussian), **SETTINGS)
    with torch.no_grad():
        target = method.solve(ImageStreams(0, range(3)).randn((3, 8, 8)), labels=None)
    errors = [float((draw(method, [0, 1, 2], nfe) - target).abs().max()) for nfe in (1, 10, 100)]
    assert errors[0] > 3 * errors[1] > 9 * errors[2]


def test_the_loss_of_the_exact_velocity_is_its_conditional_variance(gaussian):
    method, batch = RectifiedFlow(student=exact(gaussian), **SETTINGS), None
    batch = ImageBatch(gaussian.sample(4096, stream(0, "y")).float(), None)
    loss = float(method.losses(batch, step=0, draws=StreamDraws(stream(0, "l")))["student"].detach())
    t, v = torch.linspace(1e-3, 1, 2001).double(), gaussian.variance[..., None]
    spread = v / (t**2 * v + (1 - t) ** 2)  # variance of x - z_0 given z_t
    assert loss == pytest.approx(float(spread.mean()), rel=0.03)


def test_one_euler_step_evaluates_at_the_first_time_and_spans_the_whole_time(draw):
    seen = []
    method = RectifiedFlow(student=Function(lambda x, t, labels: seen.append(t) or torch.ones_like(x)), **SETTINGS)
    images = draw(method, [0, 1], 1)
    assert_close(seen[0], torch.full((2,), 0.999))
    assert_close(images, ImageStreams(0, [0, 1]).randn((3, 8, 8)) + 1)
    with torch.no_grad():
        assert_close(method.one_step(torch.zeros(1, 3, 8, 8), 1.0, None), torch.full((1, 3, 8, 8), 0.5))


def test_reflow_lowers_the_transport_cost_and_straightens(gaussian, pairs):
    independent = (gaussian.sample(64, stream(1, "y")) - pairs.noise).square().mean()
    coupled = (pairs.clean - pairs.noise).square().mean()
    assert float(coupled) < 0.7 * float(independent)
    line = Function(lambda x, t, labels: pairs.clean - pairs.noise)  # along the pairs' own lines the loss vanishes
    assert (
        float(
            Reflow(student=line, **SETTINGS)
            .losses(pairs, step=0, draws=StreamDraws(stream(0, "l")))["student"]
            .detach()
        )
        < 1e-10
    )
    loss = RectifiedFlow(student=line, **SETTINGS).losses(pairs, step=0, draws=StreamDraws(stream(0, "l")))["student"]
    assert float(loss.detach()) > 0.5  # the 1-flow draws its own noise


def test_distillation_compares_the_jump_from_pure_noise(pairs):
    seen = []
    jump = Function(lambda x, t, labels: seen.append((x, t)) or pairs.clean - pairs.noise)
    method = FlowDistillation(student=jump, distance=Squared(), **SETTINGS)
    loss = method.losses(pairs, step=0, draws=StreamDraws(stream(0, "l")))["student"].detach()
    assert float(loss) < 1e-9
    assert_close(seen[0][0], pairs.noise)
    assert_close(seen[0][1], torch.full((64,), 0.999))
    still = FlowDistillation(student=Function(lambda x, t, labels: 0 * x), distance=Squared(), **SETTINGS)
    expected = (pairs.noise - pairs.clean).square().sum(dim=(1, 2, 3)).mean()  # the stand-in sums over pixels
    assert_close(still.losses(pairs, step=0, draws=StreamDraws(stream(0, "l")))["student"].detach(), expected)


@pytest.mark.parametrize("name", ["flow1", "flow2", "flow3", "rf1", "rf2", "rf3"])
def test_an_image_does_not_depend_on_its_batch(tiny_run, build, draw, name):
    method = build(tiny_run(f"methods/{name}")).eval()
    assert_close(draw(method, [4], 1)[0], draw(method, [3, 4, 5], 1)[1], rtol=1e-4, atol=1e-4)
    if name.startswith("rf"):
        with pytest.raises(ValueError, match="not 2"):
            draw(method, [0], 2)


@pytest.mark.parametrize("scale", ["embedded", "cpu", "paper"])
def test_the_defining_settings_of_rectified_flows_hold_at_every_scale(settings, smoke_plan, scale):
    plan = smoke_plan(scale=scale)
    for k in (1, 2, 3):
        flow, distilled = settings(f"flow{k}", scale), settings(f"rf{k}", scale)
        assert flow.params == distilled.params == SETTINGS
        assert (flow.init, distilled.init) == (f"methods/flow{k - 1}" if k > 1 else None, f"methods/flow{k}")
        assert flow.feed == (f"trajectories/flow{k - 1}-reflow" if k > 1 else "images")
        assert (distilled.feed, distilled.perceptual) == (f"trajectories/flow{k}-distil", True)
        assert not flow.perceptual and flow.target.endswith("RectifiedFlow" if k == 1 else "Reflow")
        assert flow.training.optimizer.name == distilled.training.optimizer.name == "adam"
        assert (flow.network["preset"], flow.network["precond"]) == ("ddpmpp", "none")
        for feed in (flow.feed, distilled.feed):
            if feed.startswith("trajectories/"):
                assert plan.trajectory_set("cifar10", feed.split("/")[1]).teacher == f"methods/{feed[13:18]}"
    seeds = [plan.trajectory_set("cifar10", name).seed for name in ("flow1-reflow", "flow1-distil", "flow2-distil")]
    assert len(set(seeds)) == 3
