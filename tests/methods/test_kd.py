"""KD: pairs of DDIM on DDPM, one time step, the residual z - eps, and an absolute error."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from hkd.draws import StreamDraws
from hkd.experiment import finished
from hkd.methods.distillation.kd import KD
from hkd.seeding import ImageStreams, stream
from tests.methods.stand_ins import Function


@pytest.fixture(scope="module")
def pairs(tmp_path_factory, write_trajectories):
    """Eight pairs of unit noise and image."""
    noise, images = torch.randn((2, 8, 3, 8, 8), generator=stream(0, "pairs"))
    states, sigmas = torch.stack((noise, images.tanh()), dim=1), torch.tensor([1.0, 0.0]).double()
    return write_trajectories(tmp_path_factory.mktemp("pairs"), states, sigmas).batch(np.arange(8))


def test_the_loss_is_the_absolute_residual_summed_over_pixels(pairs):
    half = KD(student=Function(lambda x, t, labels: 0.5 * x), time=999.0)
    loss = half.losses(pairs, step=0, draws=StreamDraws(stream(0, "l")))["student"].detach()
    expected = (0.5 * pairs.noise - pairs.clean).abs().flatten(1).sum(dim=1).mean()
    assert_close(loss, expected)
    perfect = KD(student=Function(lambda x, t, labels: pairs.noise - pairs.clean), time=999.0)
    assert float(perfect.losses(pairs, step=0, draws=StreamDraws(stream(0, "l")))["student"].detach()) < 1e-3


def test_targets_are_cut_off_at_the_range_of_bytes(pairs, tmp_path, write_trajectories):
    states = torch.stack((pairs.noise, 3 * pairs.clean), dim=1)
    wild = write_trajectories(tmp_path, states, torch.tensor([1.0, 0.0]).double()).batch(np.arange(8))
    assert float(wild.clean.abs().max()) > 1.5
    method = KD(student=Function(lambda x, t, labels: wild.noise - wild.clean.clamp(-1, 1)), time=999.0)
    assert float(method.losses(wild, step=0, draws=StreamDraws(stream(0, "l")))["student"].detach()) < 1e-3


def test_the_network_is_evaluated_at_one_time_with_unit_noise(draw):
    seen = []
    method = KD(student=Function(lambda x, t, labels: seen.append((x, t)) or 0 * x), time=999.0)
    images = draw(method, [0, 1], 1)
    assert_close(seen[0][1], torch.tensor([999.0]))
    assert_close(images, ImageStreams(0, [0, 1]).randn((3, 8, 8)))
    assert_close(method.one_step(80.0 * images, 80.0, None), images, rtol=1e-3, atol=1e-3)
    with pytest.raises(ValueError, match="not 2"):
        draw(method, [0], 2)


def test_the_student_starts_as_ddpm_and_trains(tiny_run, build, base_weights, pairs):
    method = build(tiny_run("methods/kd"))
    ddpm = finished.base(base_weights("methods/ddpm"))
    assert_close(method.student.state_dict(), ddpm.student.state_dict())
    loss = method.losses(pairs, step=0, draws=StreamDraws(stream(0, "l")))["student"]
    loss.backward()
    assert all(p.grad is not None for p in method.student.parameters())


def test_an_image_does_not_depend_on_its_batch(tiny_run, build, draw):
    method = build(tiny_run("methods/kd")).eval()
    assert_close(draw(method, [4], 1)[0], draw(method, [3, 4, 5], 1)[1], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("scale", ["embedded", "cpu", "paper"])
def test_the_defining_settings_of_kd_hold_at_every_scale(settings, smoke_plan, scale):
    run, spec = settings("kd", scale), smoke_plan(scale=scale).trajectory_set("cifar10", "ddim-pairs")
    assert (run.init, run.feed, run.perceptual) == ("methods/ddpm", "trajectories/ddim-pairs", False)
    assert (run.training.optimizer.name, run.training.optimizer.betas) == ("adam", (0.9, 0.98))
    assert (run.params, run.training.flip) == ({"time": 999.0}, False)
    assert (spec.teacher, spec.solver, spec.keep) == ("methods/ddim", "sampler", "ends")
    assert {k: v for k, v in run.network.items() if k != "dropout"} == {
        k: v for k, v in settings("ddpm", scale).network.items() if k != "dropout"
    }
