"""Score SDE: images in [0, 1], the weighted score error, corrector before predictor, and no noise at the end."""

from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

from hkd.data.image_set import ImageBatch
from hkd.data.toy import GaussianData
from hkd.diffusion.schedules import exploding_sigmas
from hkd.draws import StreamDraws
from hkd.methods.multistep.score_sde import ScoreSDE
from hkd.seeding import stream
from tests.methods.stand_ins import Function

SETTINGS = {"sigma_min": 0.01, "sigma_max": 50.0, "t_min": 1e-5, "snr": 0.16}


def model(student, norms="image"):
    return ScoreSDE(student=student, corrector_norms=norms, **SETTINGS)


def exact(data):
    """F(2x - 1, ln sigma) = sigma · score, for images whose [0, 1] form is Gaussian."""

    def raw(x, log_sigma, labels):
        sigma = log_sigma.exp()
        return (data((x + 1) / 2, sigma) - (x + 1) / 2) / sigma[:, None, None, None]

    return Function(raw)


@pytest.fixture
def unit_range():
    """Gaussian images in [0, 1]."""
    mean = 0.3 + 0.4 * torch.rand((3, 8, 8), generator=stream(0, "mean"), dtype=torch.float64)
    return GaussianData(mean, 0.03)


def test_the_noise_ladder_is_geometric():
    ladder = exploding_sigmas(1000, sigma_min=0.01, sigma_max=50.0)
    assert_close(ladder[[0, 999]], torch.tensor([0.01, 50.0]).double())
    assert_close(ladder[1:] / ladder[:-1], torch.full((999,), 5000 ** (1 / 999)).double())
    times = torch.tensor([0.0, 0.5, 1.0]).double()
    assert_close(model(torch.nn.Identity()).sigma(times), torch.tensor([0.01, 0.5**0.5, 50.0]).double())


def test_the_loss_of_the_exact_score_is_known(unit_range):
    clean = 2 * unit_range.sample(2048, stream(0, "y")).float() - 1
    method = model(exact(unit_range))
    loss = float(method.losses(ImageBatch(clean, None), step=0, draws=StreamDraws(stream(0, "l")))["student"].detach())
    sigma = method.sigma(torch.linspace(0, 1, 4001).double())
    expected = float(0.5 * 192 * (0.03 / (0.03 + sigma**2)).mean())  # half the variance of n given x, summed
    assert loss == pytest.approx(expected, rel=0.03)


@pytest.mark.parametrize("sigma", [0.02, 0.5, 80.0])
def test_one_step_is_the_posterior_mean_of_the_state(unit_range, sigma):
    clean = 2 * unit_range.sample(4, stream(0, "y")) - 1
    x = clean + sigma * torch.randn(clean.shape, generator=stream(0, "n"), dtype=torch.float64)
    image = GaussianData(2 * unit_range.mean - 1, 4 * 0.03)  # the same images in [-1, 1]
    expected = image(x, torch.full((4,), sigma, dtype=torch.float64))
    assert_close(model(exact(unit_range)).one_step(x, sigma, None), expected, rtol=1e-4, atol=2e-4)


def test_the_loss_of_a_zero_network_is_half_the_number_of_pixels():
    method = model(Function(lambda x, log_sigma, labels: torch.zeros_like(x)))
    loss = method.losses(ImageBatch(torch.zeros(512, 3, 8, 8), None), step=0, draws=StreamDraws(stream(0, "l")))
    assert float(loss["student"].detach()) == pytest.approx(96, rel=0.02)


def test_the_network_sees_minus_one_to_one_and_the_log_of_sigma():
    seen = []
    method = model(Function(lambda x, log_sigma, labels: seen.append((x, log_sigma)) or x))
    method.score(torch.tensor([0.0, 0.25, 1.0]).reshape(1, 3, 1, 1), torch.tensor([2.0]), None)
    assert_close(seen[0][0].flatten(), torch.tensor([-1.0, -0.5, 1.0]))
    assert_close(seen[0][1], torch.tensor([2.0]).log())


def test_exact_scores_sample_the_gaussian(unit_range, draw):
    images = (draw(model(exact(unit_range)), list(range(48)), 400) + 1) / 2
    deviation = (images - unit_range.mean) / 0.03**0.5
    assert float(deviation.mean()) == pytest.approx(0, abs=0.05)
    assert float(deviation.std()) == pytest.approx(1, abs=0.08)


def test_the_corrector_comes_first_and_the_last_step_adds_no_noise(unit_range, draw):
    calls = []
    method = model(exact(unit_range))
    corrected = method.corrected

    def record(x, score, noise):
        calls.append(float(score.norm()))
        return corrected(x, score, noise)

    method.corrected = record
    student = method.student.function
    order = []
    method.student.function = lambda x, s, labels: order.append(len(calls)) or student(x, s, labels)
    point = GaussianData(torch.full((3, 8, 8), 0.5), 0.0)
    draw(method, [0, 1], 8)
    assert order == [0, 1, 1, 2, 2, 3, 3, 4]  # one evaluation before each correction, one after
    assert_close(draw(model(exact(point)), [0, 1], 40), torch.zeros(2, 3, 8, 8), atol=1e-4, rtol=0)


def test_the_correctors_step_has_the_set_signal_to_noise_ratio():
    method = model(torch.nn.Identity())
    x, g, z = torch.randn((3, 4, 3, 8, 8), generator=stream(0, "x"))
    size = 2 * (0.16 * z.flatten(1).norm(dim=1) / g.flatten(1).norm(dim=1)) ** 2
    expected = x + size[:, None, None, None] * g + (2 * size).sqrt()[:, None, None, None] * z
    assert_close(method.corrected(x, g, z), expected)


def test_with_its_own_norms_an_image_does_not_depend_on_its_batch(unit_range, draw):
    own, official = model(exact(unit_range)), model(exact(unit_range), norms="batch")
    assert_close(draw(own, [4], 20)[0], draw(own, [3, 4, 5], 20)[1], rtol=1e-5, atol=1e-5)
    assert float((draw(official, [4], 20)[0] - draw(official, [3, 4, 5], 20)[1]).abs().max()) > 1e-3


def test_it_trains_and_refuses_odd_evaluations(tiny_run, trained, draw):
    method = trained(tiny_run("methods/score_sde"))
    assert draw(method, [0], 4).shape == (1, 3, 8, 8)
    with pytest.raises(ValueError, match="even number"):
        draw(method, [0], 5)


@pytest.mark.parametrize("scale", ["embedded", "cpu", "paper"])
def test_the_defining_settings_of_score_sde_hold_at_every_scale(settings, scale):
    run = settings("score_sde", scale)
    assert run.params == {**SETTINGS, "corrector_norms": "image"}
    assert (run.network["preset"], run.network["precond"]) == ("ncsnpp", "none")
    assert (run.network["fourier_scale"], run.training.optimizer.name) == (16.0, "adam")
    assert run.training.ema.kind == "warmup" and run.sampling.nfe == (2000,)
