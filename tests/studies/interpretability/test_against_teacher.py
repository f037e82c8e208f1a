"""Decoded states against the teacher's denoiser, on Gaussian data whose denoiser and trajectories are known."""

from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

from hkd.koopman.choices import KoopmanSettings
from hkd.koopman.state_skip import with_skip
from hkd.studies.interpretability.against_teacher import teacher_error

EPS, T = 0.002, 80.0
SIGMAS = [T, 20.0, 2.0, 0.5, EPS]
VARIANCE = 0.25


def denoise(x, sigma, labels=None):
    """E[x_0 | x] of N(0, VARIANCE) data."""
    return x * VARIANCE / (VARIANCE + sigma**2)


@pytest.fixture
def states():
    """Its exact trajectories: x(sigma) grows as the root of variance + sigma²."""
    noise = torch.randn(4, 2, 4, 4, generator=torch.Generator().manual_seed(0))
    return torch.stack([noise * (VARIANCE + sigma**2) ** 0.5 for sigma in SIGMAS])


class Oracle:
    """A made-up network whose latents are the encoded state and which decodes what it is asked for at any time."""

    def __init__(self, decoded, settings=None):
        self.settings = KoopmanSettings(sigma_min=EPS, sigma_max=T, **(settings or {}))
        self.decoded = decoded

    def encode(self, x, sigma, labels=None):
        return [x, sigma]

    def evolve(self, latents, start, end):
        return [*latents, end]

    def decode(self, latents, labels=None, *, x, sigma, latent_sigma):
        return self.decoded(latents[0], sigma, latent_sigma)

    def __call__(self, x, sigma, labels=None):
        return x * (VARIANCE / (VARIANCE + sigma**2)) ** 0.5


def moved(x, sigma, to_sigma):
    """The state of the same trajectory at another level."""
    return x * ((VARIANCE + to_sigma**2) / (VARIANCE + sigma**2)) ** 0.5


def test_a_network_that_decodes_what_the_teacher_expects_passes_that_and_no_other(states):
    net = Oracle(lambda x, sigma, to: denoise(moved(x, sigma, to), to))
    found = teacher_error(net, denoise, states, SIGMAS)
    assert_close(found.denoised, torch.zeros(5, dtype=torch.float64), rtol=0, atol=1e-6)
    assert_close(found.predicted, torch.zeros(5, dtype=torch.float64), rtol=0, atol=1e-4)
    assert bool((found.denoised_perfect[:3] > 1).all()), "a clean image is no expected one"


def test_a_perfect_generator_and_the_teacher_score_what_arithmetic_says(states):
    found = teacher_error(Oracle(lambda x, sigma, to: moved(x, sigma, EPS)), denoise, states, SIGMAS)
    assert_close(found.denoised, found.denoised_perfect, rtol=1e-5, atol=1e-7)
    assert_close(found.skipped, found.skipped_perfect, rtol=1e-5, atol=1e-7)
    size = torch.tensor([(VARIANCE + sigma**2) ** 0.5 for sigma in SIGMAS], dtype=torch.float64)
    ends = VARIANCE**0.5 / size  # of x_eps over x_t, but for eps
    assert_close(found.state_perfect, 1 - ends, rtol=0, atol=1e-4)
    assert found.state_perfect[1] > 0.97, "a perfect clean image fails against the state, as evidence of nothing"
    line = torch.tensor([sigma / T for sigma in SIGMAS], dtype=torch.float64)
    straight = line * size[0] + (1 - line) * VARIANCE**0.5
    assert_close(found.skipped_perfect, (straight / size - 1).abs(), rtol=0, atol=1e-4)
    assert_close(found.predicted_teacher, 1 - ends, rtol=0, atol=1e-4)
    taught = VARIANCE / size[0]
    assert_close(found.denoised_teacher, (taught * size / VARIANCE - 1).abs(), rtol=1e-4, atol=1e-4)


def test_a_network_that_decodes_states_is_asked_for_these_as_they_are(states):
    settings = {"decoder_sigma": "latent_time"}
    found = teacher_error(Oracle(moved, settings), denoise, states, SIGMAS)
    for errors in (found.skipped, found.denoised):
        assert_close(errors, torch.zeros(5, dtype=torch.float64), rtol=0, atol=1e-6)
    assert teacher_error(Oracle(moved), denoise, states, SIGMAS).denoised[1] > 1


def test_the_skip_is_the_state_at_its_own_level_and_the_image_at_zero(states):
    image = torch.ones_like(states[0])
    assert torch.equal(with_skip(image, states[0], T, T), states[0])
    assert torch.equal(with_skip(image, states[0], T, 0.0), image)
    levels = torch.tensor([T, 20.0, 2.0, EPS])
    for k, level in enumerate(levels.tolist()):
        assert_close(with_skip(image, states[0], T, levels)[k], with_skip(image, states[0], T, level)[k])
