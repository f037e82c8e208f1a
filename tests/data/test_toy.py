from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

from hkd.data.toy import FiniteData, GaussianData

SHAPE = (2, 3, 3)


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def gaussian(kind: str, generator: torch.Generator) -> GaussianData:
    mean = torch.randn(SHAPE, generator=generator, dtype=torch.float64)
    if kind == "one variance":
        return GaussianData(mean, 0.25)
    if kind == "diagonal":
        return GaussianData(mean, torch.rand(SHAPE, generator=generator, dtype=torch.float64))
    factor = torch.randn(18, 18, generator=generator, dtype=torch.float64) / 4
    return GaussianData.from_covariance(mean, factor @ factor.T)


KINDS = ("one variance", "diagonal", "correlated")


@pytest.mark.parametrize("kind", KINDS)
def test_the_gaussian_denoiser_is_the_conditional_mean(kind, generator):
    data = gaussian(kind, generator)
    spread = data.variance.reshape(-1)
    basis = torch.eye(18, dtype=torch.float64) if data.basis is None else data.basis
    covariance = basis @ torch.diag(spread) @ basis.T
    x = torch.randn(5, *SHAPE, generator=generator, dtype=torch.float64)
    gain = covariance @ torch.linalg.inv(covariance + 0.7**2 * torch.eye(18, dtype=torch.float64))
    expected = data.mean.reshape(-1) + (x - data.mean).flatten(1) @ gain.T
    assert_close(data(x, 0.7), expected.reshape(x.shape))


@pytest.mark.parametrize("kind", KINDS)
def test_the_gaussian_solution_obeys_the_probability_flow(kind, generator):
    data = gaussian(kind, generator)
    x = 10 * torch.randn(3, *SHAPE, generator=generator, dtype=torch.float64)
    for sigma in (8.0, 1.0, 0.05):
        state, step = data.solution(x, 10.0, sigma), 1e-5 * sigma
        slope = (data.solution(x, 10.0, sigma + step) - data.solution(x, 10.0, sigma - step)) / (2 * step)
        assert_close(slope, (state - data(state, sigma)) / sigma, rtol=1e-6, atol=1e-6)
    assert_close(data.solution(data.solution(x, 10.0, 2.0), 2.0, 0.0), data.solution(x, 10.0, 0.0))


def test_gaussian_samples_have_the_mean_and_covariance_asked_for(generator):
    factor = torch.randn(18, 18, generator=generator, dtype=torch.float64) / 4
    data = GaussianData.from_covariance(torch.ones(SHAPE), factor @ factor.T)
    draws = data.sample(40_000, generator).flatten(1)
    assert (draws.mean(0) - 1).abs().max() < 0.03
    assert (torch.cov(draws.T) - factor @ factor.T).abs().max() < 0.06


def test_noise_carried_along_the_flow_becomes_data(generator):
    data = gaussian("diagonal", generator)
    start = data.mean + (data.variance + 80.0**2).sqrt() * torch.randn(40_000, *SHAPE, generator=generator)
    end = data.solution(start, 80.0, 0.0)
    assert_close(end.var(0), data.variance, rtol=0.05, atol=1e-3)


def test_a_constant_image_is_returned_at_every_noise_level():
    data = GaussianData(torch.full(SHAPE, 0.3), 0.0)
    for sigma in (0.0, 1e-3, 80.0):
        assert_close(data(torch.randn(2, *SHAPE), sigma), torch.full((2, *SHAPE), 0.3))


def test_each_image_has_its_own_noise_level_and_keeps_its_precision(generator):
    images = torch.randn(4, *SHAPE, generator=generator)
    for data in (gaussian("correlated", generator), FiniteData(images)):
        x, sigma = torch.randn(3, *SHAPE, generator=generator), torch.tensor([0.1, 1.0, 20.0])
        alone = torch.cat([data(x[k : k + 1], float(sigma[k])) for k in range(3)])
        assert data(x, sigma).dtype == torch.float32
        assert_close(data(x, sigma), alone)
        assert (data.img_channels, data.img_resolution) == (2, 3)


def test_the_finite_denoiser_is_the_posterior_mean(generator):
    images = torch.randn(6, *SHAPE, generator=generator, dtype=torch.float64)
    x, sigma = torch.randn(SHAPE, generator=generator, dtype=torch.float64), 0.8
    likelihood = torch.distributions.Normal(images.flatten(1), sigma).log_prob(x.flatten()).sum(1).exp()
    expected = (likelihood[:, None, None, None] * images).sum(0) / likelihood.sum()
    assert_close(FiniteData(images)(x[None], sigma)[0], expected)


def test_the_finite_denoiser_goes_from_the_mean_to_the_nearest_image(generator):
    images = torch.randn(6, *SHAPE, generator=generator, dtype=torch.float64)
    data = FiniteData(images)
    near = images + 0.05 * torch.randn(images.shape, generator=generator, dtype=torch.float64)
    assert_close(data(near, 0.0), images)
    assert_close(data(near, 1e-3), images)
    assert_close(data(near, 1e4), images.mean(0).expand_as(images), rtol=0, atol=1e-4)
    assert_close(data.posterior(near, 0.3).sum(1), torch.ones(6, dtype=torch.float64))


def test_a_class_label_keeps_the_images_of_its_class(generator):
    images = torch.randn(6, *SHAPE, generator=generator)
    data = FiniteData(images, torch.tensor([0, 1, 0, 1, 0, 1]), label_dim=2)
    labels = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    x = torch.randn(1, *SHAPE, generator=generator).expand(2, -1, -1, -1)
    for k in (0, 1):
        assert_close(data(x, 2.0, labels)[k], FiniteData(images[k::2])(x[:1], 2.0)[0])


def test_gradients_pass_through_both(generator):
    x = torch.randn(2, *SHAPE, generator=generator, requires_grad=True)
    for data in (gaussian("correlated", generator), FiniteData(torch.randn(4, *SHAPE, generator=generator))):
        (gradient,) = torch.autograd.grad(data(x, 1.0).sum(), x)
        assert torch.isfinite(gradient).all() and gradient.abs().sum() > 0
