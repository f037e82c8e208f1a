"""DMD: the normalised difference of two denoisers, the regression on pairs, and two networks with optimisers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.testing import assert_close

from hkd.data.image_set import ImageBatch
from hkd.data.toy import GaussianData
from hkd.data.trajectories import Trajectories
from hkd.draws import StreamDraws
from hkd.methods.distillation.dmd import DMD, noised_at
from hkd.seeding import stream
from hkd.training.trainer import Trainer
from tests.methods.stand_ins import Function, Squared

SETTINGS = {
    "regression_weight": 0.5,
    "levels": 1000,
    "lowest": 0.02,
    "highest": 0.98,
    "sigma_data": 0.5,
    "sigma_min": 0.002,
    "sigma_max": 80.0,
    "rho": 7.0,
}


def matched(student, teacher, **changes):
    return DMD(student=student, teacher=teacher, distance=Squared(), **(SETTINGS | changes))


def made(count=16):
    return 0.5 * torch.randn((count, 3, 8, 8), generator=stream(0, "made"))


def test_the_gradient_is_zero_when_fake_and_real_agree(gaussian):
    method = matched(nn.Identity(), gaussian)
    method.fake = gaussian
    image = made().requires_grad_()
    method.matching(image, None, StreamDraws(stream(0, "l"))).backward()
    assert float(image.grad.abs().max()) == 0.0


def test_the_gradient_is_the_normalised_difference_of_the_denoisers(gaussian):
    method, image = matched(nn.Identity(), gaussian), made().requires_grad_()
    method.fake = GaussianData(gaussian.mean - 0.2, gaussian.variance)
    method.matching(image, None, StreamDraws(stream(0, "l"))).backward()
    noised, sigma = noised_at(method.matched, image.detach(), StreamDraws(stream(0, "l")))
    real, fake = gaussian(noised, sigma), method.fake(noised, sigma)
    size = torch.stack([(a - b).abs().mean() for a, b in zip(image.detach(), real, strict=True)])
    assert_close(image.grad * image.numel(), (fake - real) / size[:, None, None, None])


def test_following_the_gradient_moves_a_generator_to_the_data(gaussian):
    """A generator that only shifts Gaussian images: its exact fake denoiser is known, and the data's mean is found."""
    shift, fake = torch.full((3, 8, 8), 0.6, dtype=torch.float64), matched(nn.Identity(), gaussian)
    for step in range(60):
        fake.fake = GaussianData(gaussian.mean + shift, gaussian.variance)
        images = gaussian.sample(64, stream(0, "g", step)) + shift
        shift = shift - 0.1 * fake.direction(images, None, StreamDraws(stream(0, "d", step))).mean(dim=0)
    assert float(shift.abs().mean()) < 0.1


def test_the_matching_takes_the_middle_of_a_grid_of_a_thousand_ends_included_and_the_fake_denoiser_all_of_it():
    method = matched(nn.Identity(), nn.Identity())
    full = (torch.linspace(0.002 ** (1 / 7), 80 ** (1 / 7), 1000, dtype=torch.float64) ** 7).float()
    assert_close(method.matched, full[20:981])  # 0.02 · 1000 to 0.98 · 1000
    assert_close(method.sigmas, full)


def test_each_loss_draws_from_its_own_levels(gaussian):
    method, image, seen = matched(nn.Identity(), gaussian), made(20000)[:, :, :1, :1], {}

    def watched(name):
        return Function(lambda x, sigma, labels: seen.setdefault(name, sigma) is None or torch.zeros_like(x))

    method.teacher, method.fake = watched("matching"), watched("other")
    method.matching(image, None, StreamDraws(stream(0, "l")))
    method.fake = watched("fake")
    method.denoising(image, None, StreamDraws(stream(0, "f")))
    lowest, highest = (float((0.002 ** (1 / 7) + k / 999 * (80 ** (1 / 7) - 0.002 ** (1 / 7))) ** 7) for k in (20, 980))
    assert (float(seen["matching"].min()), float(seen["matching"].max())) == pytest.approx((lowest, highest), rel=1e-4)
    assert (float(seen["fake"].min()), float(seen["fake"].max())) == pytest.approx((0.002, 80.0), rel=1e-4)


def test_the_fake_denoisers_loss_has_edms_weight(gaussian):
    method, image = matched(nn.Identity(), gaussian), made(4096)[:, :, :2, :2]
    method.fake = Function(lambda x, sigma, labels: torch.zeros_like(x))
    loss = float(method.denoising(image, None, StreamDraws(stream(0, "l"))).detach())
    sigma = method.sigmas.double()[torch.randint(1000, (4096,), generator=stream(0, "l"))]
    expected = ((sigma**-2 + 4) * image.double().square().mean(dim=(1, 2, 3))).mean()
    assert loss == pytest.approx(float(expected), rel=1e-5)


def test_each_network_has_gradients_of_its_own_loss_only(tiny_run, build, feed):
    run = tiny_run("methods/dmd")
    method = build(run)
    losses = method.losses(feed(run)(0), step=0, draws=StreamDraws(stream(0, "l")))
    losses["student"].backward()
    assert all(p.grad is None for p in method.fake.parameters())
    student = [p.grad.clone() for p in method.student.parameters() if p.grad is not None]
    losses["fake"].backward()
    assert student and all(p.grad is not None for name, p in method.fake.named_parameters() if "augment" not in name)
    after = [p.grad for p in method.student.parameters() if p.grad is not None]
    assert all(torch.equal(a, b) for a, b in zip(student, after, strict=True))
    assert all(p.grad is None for p in method.teacher.parameters())


def test_all_three_networks_start_from_edm_and_one_is_kept(tiny_run, build, feed):
    run = tiny_run("methods/dmd")
    trainer = Trainer(build(run), run.training, seed=0)
    method = trainer.method.train()
    for network in (method.fake, method.teacher):
        assert_close(method.student.state_dict(), network.state_dict())
    trainer.step(feed(run)(0))
    trainer.step(feed(run)(1))
    for name in ("student", "fake"):
        assert_close_not(getattr(method, name), method.teacher)
    assert {key.split(".")[0] for key in trainer.averaged()} == {"student"}
    assert {key.split(".")[0] for key in method.training_state()} == {"student", "fake"}


def assert_close_not(network, other):
    assert any(not torch.equal(a, b) for a, b in zip(network.parameters(), other.parameters(), strict=True))


def test_without_regression_no_pairs_are_needed_and_with_it_they_are(gaussian):
    batch = ImageBatch(made(), None)
    student = Function(lambda x, sigma, labels: x / 80)
    losses = matched(student, gaussian, regression_weight=0.0).losses(batch, step=0, draws=StreamDraws(stream(0, "l")))
    assert losses.keys() == {"student", "fake"}
    with pytest.raises(ValueError, match="set `feed: trajectories"):
        matched(student, gaussian).losses(batch, step=0, draws=StreamDraws(stream(0, "l")))


def test_the_regression_is_the_perceptual_distance_to_the_image_of_the_same_noise(gaussian, trajectories):
    batch = Trajectories(trajectories).batch(np.arange(4))
    method = matched(Function(lambda x, sigma, labels: x / 80), gaussian)
    expected = (batch.noise - batch.clean).square().sum(dim=(1, 2, 3)).mean()  # the stand-in sums over pixels
    assert_close(method.regression(batch).detach(), expected, rtol=1e-4, atol=0)


def test_one_evaluation_samples(tiny_run, build, draw):
    method = build(tiny_run("methods/dmd")).eval()
    assert_close(draw(method, [4], 1)[0], draw(method, [3, 4, 5], 1)[1], rtol=1e-4, atol=1e-4)
    with pytest.raises(ValueError, match="not 2"):
        draw(method, [0], 2)


@pytest.mark.parametrize("scale", ["embedded", "cpu", "paper"])
def test_the_defining_settings_of_dmd_hold_at_every_scale(settings, scale):
    run = settings("dmd", scale)
    assert (run.training.optimizer.name, run.training.optimizer.weight_decay) == ("adamw", 0.01)
    assert (run.init, run.teacher, run.perceptual) == ("methods/edm", "methods/edm", True)
    assert run.feed.startswith("trajectories/edm-") and run.params == SETTINGS
    bare, plain = settings("dmd_no_reg", scale), settings("dmd_no_kl", scale)
    assert (bare.params["regression_weight"], bare.feed) == (0.0, "images")
    assert bare.training.optimizer.lr == pytest.approx(run.training.optimizer.lr / 5)
    assert plain.target.endswith("DMDRegressionOnly") and plain.params["regression_weight"] > 0
