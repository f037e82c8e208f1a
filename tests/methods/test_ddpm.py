"""DDPM: the linear schedule, the error of the noise, and the ancestral chain with clipping and variance beta_t."""

from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

from hkd.data.image_set import ImageBatch
from hkd.draws import StreamDraws
from hkd.methods.multistep.ddpm import DDPM
from hkd.seeding import ImageStreams, stream
from tests.methods.stand_ins import Function

BETAS = {"beta_first": 1e-4, "beta_last": 0.02}


def chain(student, steps=1000):
    return DDPM(student=student, diffusion_steps=steps, **BETAS)


def exact(gaussian, steps):
    """The noise that is expected in x_t when the images are Gaussian."""
    bars = chain(Function(torch.zeros_like), steps).alpha_bars

    def eps(x, time, labels):
        abar = bars[(time * steps / 1000).round().long()].reshape(-1, 1, 1, 1).float()
        sigma = ((1 - abar) / abar).sqrt()
        return (x / abar.sqrt() - gaussian(x / abar.sqrt(), sigma.flatten())) / sigma

    return Function(eps)


def test_the_schedule_is_linear_and_ends_in_noise():
    method = chain(Function(torch.zeros_like))
    assert_close(method.betas[[0, 999]], torch.tensor([1e-4, 0.02]).double())
    assert_close(method.betas.diff(), torch.full((999,), 0.0199 / 999).double())
    assert float(method.alpha_bars[-1]) == pytest.approx(4.036e-5, rel=1e-3)
    assert float(chain(Function(torch.zeros_like), 100).alpha_bars[-1]) == pytest.approx(4.036e-5, rel=0.9)


def test_the_loss_of_the_exact_noise_is_its_conditional_variance(gaussian):
    method, clean = chain(exact(gaussian, 1000)), gaussian.sample(4096, stream(0, "y")).float()
    loss = float(method.losses(ImageBatch(clean, None), step=0, draws=StreamDraws(stream(0, "l")))["student"].detach())
    variance = gaussian.variance[..., None]
    expected = float((method.alpha_bars * variance / (method.alpha_bars * variance + 1 - method.alpha_bars)).mean())
    assert loss == pytest.approx(expected, rel=0.02)


def test_the_posterior_mean_is_that_of_two_gaussians():
    method, t = chain(Function(torch.zeros_like)), 417
    x, clean = torch.randn((2, 1, 3, 8, 8), generator=stream(0, "x"), dtype=torch.float64)
    alpha, before = 1 - method.betas[t], method.alpha_bars[t - 1]
    precisions = torch.stack((1 / (1 - before), alpha / (1 - alpha)))
    means = (before.sqrt() * clean, x / alpha.sqrt())
    expected = (precisions[0] * means[0] + precisions[1] * means[1]) / precisions.sum()
    assert_close(method.posterior_mean(x, clean, t), expected)


def test_exact_noise_samples_the_gaussian(gaussian, draw):
    images = draw(chain(exact(gaussian, 200), 200), list(range(96)), 200)
    kept = (gaussian.mean.abs() + 2.5 * gaussian.variance.sqrt()) < 1  # where clipping to [-1, 1] changes nothing
    deviation = ((images - gaussian.mean) / gaussian.variance.sqrt())[:, kept]
    assert float(deviation.mean()) == pytest.approx(0, abs=0.05)
    assert float(deviation.std()) == pytest.approx(1, abs=0.05)


def test_noise_is_added_with_variance_beta_except_at_the_end(draw):
    method = chain(Function(lambda x, t, labels: torch.zeros_like(x)), 1000)
    streams, twin = ImageStreams(0, [5]), ImageStreams(0, [5])
    noise = streams.randn((3, 8, 8))
    twin.randn((3, 8, 8))
    x = noise.double()
    for t in reversed(range(1000)):
        x0 = (x / method.alpha_bars[t].sqrt()).clamp(-1, 1)
        x = method.posterior_mean(x, x0, t)
        if t:
            x = x + method.betas[t].sqrt() * twin.randn((3, 8, 8))
    with torch.no_grad():
        assert_close(method.sample(noise, labels=None, nfe=1000, streams=streams), x.float())


def test_the_predicted_image_is_clipped(draw):
    wild = chain(Function(lambda x, t, labels: -100 * torch.ones_like(x)), 20)
    assert float(draw(wild, [0, 1], 20).max()) == pytest.approx(1.0)
    with pytest.raises(ValueError, match="samples with 20 network evaluations, not 10"):
        draw(wild, [0], 10)


def test_an_image_does_not_depend_on_its_batch(tiny_run, trained, draw):
    method = trained(tiny_run("methods/ddpm", params={"diffusion_steps": 12}))
    assert_close(draw(method, [4], 12)[0], draw(method, [3, 4, 5], 12)[1], rtol=1e-4, atol=1e-4)


def test_one_step_finds_the_exact_denoiser(gaussian):
    method = chain(exact(gaussian, 1000))
    t = 500
    sigma = float(((1 - method.alpha_bars[t]) / method.alpha_bars[t]).sqrt())
    x = torch.randn((4, 3, 8, 8), generator=stream(0, "x")) * sigma
    with torch.no_grad():
        assert_close(method.one_step(x, sigma, None), gaussian(x, sigma), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("scale", ["embedded", "cpu", "paper"])
def test_the_defining_settings_of_ddpm_hold_at_every_scale(settings, scale):
    run = settings("ddpm", scale)
    assert run.network["preset"] == "ddpm" and run.network["precond"] == "none"
    assert run.params == {"diffusion_steps": 1000, **BETAS}
    assert run.training.optimizer.name == "adam" and run.training.ema.kind != "none"
    assert run.sampling.nfe == (1000,)
