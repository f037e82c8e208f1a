"""EDM: its loss against closed forms, its sampler on data whose answer is known."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from hkd import experiment
from hkd.data.images import ImageBatch
from hkd.methods.multistep.edm import EDM, log_normal
from hkd.seeding import ImageStreams, stream

EDM_PARAMS = {"p_mean": -1.2, "p_std": 1.2, "sigma_data": 0.5, "sigma_min": 0.002, "sigma_max": 80.0, "rho": 7.0}


class Stub(nn.Module):
    """A denoiser that is a given function; remembers its noise levels."""

    def __init__(self, function) -> None:
        super().__init__()
        self.function = function

    def forward(self, x, sigma, labels=None):
        self.sigma, self.labels = sigma, labels
        return self.function(x, sigma)


@pytest.fixture
def batch(images):
    from hkd.data.images import ImageSet

    return ImageSet(images, use_labels=False).batch(range(8))


def loss(function, batch: ImageBatch) -> float:
    method = EDM(student=Stub(function), **EDM_PARAMS)
    return float(method.losses(batch, step=0, generator=stream(0, "train", 0))["student"])


def drawn(batch: ImageBatch) -> tuple[torch.Tensor, torch.Tensor]:
    generator = stream(0, "train", 0)
    sigma = (-1.2 + 1.2 * torch.randn(len(batch), generator=generator)).exp()
    return sigma, torch.randn(batch.clean.shape, generator=generator)


def test_a_perfect_denoiser_has_no_loss(batch):
    assert loss(lambda x, sigma: batch.clean, batch) == 0.0


def test_the_loss_of_doing_nothing_is_the_weighted_noise(batch):
    sigma, noise = drawn(batch)
    weight = (sigma**2 + 0.25) / (sigma * 0.5) ** 2
    expected = (weight * sigma**2 * noise.square().sum(dim=(1, 2, 3))).mean()
    assert loss(lambda x, sigma: x, batch) == pytest.approx(float(expected), rel=1e-4)


def test_the_weight_undoes_the_output_scale():
    """lambda(sigma) c_out² = 1, so that the bare network's target counts alike at every noise level."""
    sigma = torch.logspace(-3, 2, 11)
    c_out = sigma * 0.5 / (sigma**2 + 0.25).sqrt()
    assert_close((sigma**2 + 0.25) / (sigma * 0.5) ** 2 * c_out**2, torch.ones(11))


def test_noise_levels_are_log_normal():
    levels = log_normal(40_000, -1.2, 1.2, stream(0, "x")).log()
    assert float(levels.mean()) == pytest.approx(-1.2, abs=0.03)
    assert float(levels.std()) == pytest.approx(1.2, abs=0.03)


@pytest.mark.parametrize("nfe, tolerance", [(15, 0.2), (35, 0.03), (69, 0.008)])
def test_samples_of_gaussian_data_are_the_solution_of_the_ode(gaussian, nfe, tolerance):
    streams = ImageStreams(0, range(6))
    noise = streams.randn((3, 8, 8))
    found = EDM(student=gaussian, **EDM_PARAMS).sample(noise, labels=None, nfe=nfe, streams=streams)
    exact = gaussian.solution(80.0 * noise.double(), 80.0, 0.0).float()
    assert float((found - exact).square().mean().sqrt()) < tolerance  # second order: a quarter for twice the steps


@pytest.mark.parametrize("nfe", [0, 1, 2, 36])
def test_evaluations_that_heun_cannot_make_are_refused(gaussian, nfe):
    with pytest.raises(ValueError, match=f"EDM samples with 2n - 1 .* evaluations, not {nfe}"):
        EDM(student=gaussian, **EDM_PARAMS).sample(torch.zeros(1, 3, 8, 8), labels=None, nfe=nfe, streams=None)


def test_a_conditional_model_hears_its_classes(tiny_run):
    run = tiny_run("methods/edm").model_copy(update={"conditional": True})
    shape = experiment.ImageShape(8, 3, 4)
    method = experiment.method(run, shape, seed=0, parts=None).eval()
    for name, value in method.student.named_parameters():
        if "weight" in name:
            nn.init.normal_(value, std=0.1)
    noise = torch.randn((2, 3, 8, 8), generator=stream(0, "x"))
    one, other = (torch.eye(4)[[k, k]] for k in (0, 3))
    with torch.no_grad():
        images = [method.sample(noise, labels=labels, nfe=3, streams=None) for labels in (one, other)]
    assert float((images[0] - images[1]).abs().max()) > 1e-4
    drawn = experiment.sample(method, run, shape, [0, 1], seed=0, nfe=3, to=torch.device("cpu"))
    again = experiment.sample(method, run, shape, [1], seed=0, nfe=3, to=torch.device("cpu"))
    assert_close(drawn[1:], again, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name, preset", [("edm", "ddpmpp"), ("edm_cond", "ddpmpp"), ("edm_ve", "ncsnpp")])
@pytest.mark.parametrize("scale", ["embedded", "cpu", "paper"])
def test_what_makes_it_edm_holds_at_every_scale(settings, name, preset, scale):
    run = settings(name, scale)
    assert run.params == EDM_PARAMS
    assert (run.network["preset"], run.network["precond"]) == (preset, "edm")
    assert (run.init, run.feed, run.training.optimizer.name) == (None, "images", "adam")
    assert run.conditional == name.endswith("_cond")
