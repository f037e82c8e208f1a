"""EDM: its loss against closed forms, with and without augmentation, its sampler on data whose answer is known."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from hkd.data.image_set import ImageBatch, ImageShape
from hkd.diffusion.augmentation import augmented
from hkd.draws import StreamDraws
from hkd.experiment import build as experiment
from hkd.experiment.sample import sample_images
from hkd.methods.multistep.edm import EDM, log_normal
from hkd.seeding import ImageStreams, stream
from hkd.settings.origins import ConfigError

LEVELS = {"sigma_min": 0.002, "sigma_max": 80.0, "rho": 7.0}
EDM_PARAMS = {"p_mean": -1.2, "p_std": 1.2, "sigma_data": 0.5, **LEVELS, "augment": 0.0}


class Stub(nn.Module):
    """A denoiser that is a given function; remembers its noise levels and whatever else it is told."""

    def __init__(self, function, augment_dim=0) -> None:
        super().__init__()
        self.function, self.augment_dim = function, augment_dim

    def forward(self, x, sigma, *told):
        self.x, self.sigma, self.told = x, sigma, told
        return self.function(x, sigma)


@pytest.fixture
def batch(images):
    from hkd.data.image_set import ImageSet

    return ImageSet(images, use_labels=False).batch(range(8))


def loss(function, batch: ImageBatch) -> float:
    method = EDM(student=Stub(function), **EDM_PARAMS)
    return float(method.losses(batch, step=0, draws=StreamDraws(stream(0, "train", 0)))["student"])


def drawn(batch: ImageBatch, generator: torch.Generator | None = None) -> tuple[torch.Tensor, torch.Tensor]:
    generator = generator or stream(0, "train", 0)
    sigma = (-1.2 + 1.2 * torch.randn(len(batch), generator=generator)).exp()
    return sigma, torch.randn(batch.clean.shape, generator=generator)


def test_a_perfect_denoiser_has_no_loss(batch):
    assert loss(lambda x, sigma: batch.clean, batch) == 0.0


def test_the_loss_of_the_identity_is_the_weighted_noise(batch):
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
    levels = log_normal(40_000, -1.2, 1.2, StreamDraws(stream(0, "x"))).log()
    assert float(levels.mean()) == pytest.approx(-1.2, abs=0.03)
    assert float(levels.std()) == pytest.approx(1.2, abs=0.03)


def test_an_augmented_image_is_the_target_and_the_network_is_told_how(batch):
    generator, after = stream(0, "train", 0), stream(0, "train", 0)
    sigma, noise = drawn(batch, after)
    clean, transforms = augmented(batch.clean, 0.5, StreamDraws(after))
    student = Stub(lambda x, sigma: clean, augment_dim=9)
    method = EDM(student=student, **EDM_PARAMS | {"augment": 0.5})
    assert float(method.losses(batch, step=0, draws=StreamDraws(generator))["student"]) == 0.0
    assert_close(student.x, clean + sigma[:, None, None, None] * noise)
    labels, told = student.told
    assert labels is None and told.shape == (8, 9) and torch.equal(told, transforms)
    assert not torch.equal(clean, batch.clean)
    assert torch.equal(generator.get_state(), after.get_state())


def test_without_augmentation_nothing_is_drawn_for_it_and_nothing_told(batch):
    generator, after = stream(0, "train", 0), stream(0, "train", 0)
    sigma, noise = drawn(batch, after)
    student = Stub(lambda x, sigma: x)
    EDM(student=student, **EDM_PARAMS).losses(batch, step=0, draws=StreamDraws(generator))
    assert torch.equal(student.x, batch.clean + sigma[:, None, None, None] * noise)
    assert student.told == (None,)
    assert torch.equal(generator.get_state(), after.get_state())


def test_samples_are_not_augmented_and_the_network_is_told_nothing_else():
    student = Stub(lambda x, sigma: 0.5 * x, augment_dim=9)
    method = EDM(student=student, **EDM_PARAMS | {"augment": 0.5})
    method.sample(torch.ones(2, 3, 8, 8), labels=torch.eye(2), nfe=3, streams=None)
    (labels,) = student.told
    assert torch.equal(labels, torch.eye(2))


def test_a_real_network_uses_augmentation_labels(tiny_run, batch):
    run = tiny_run("methods/edm", network={"augment_dim": 9}, params={"augment": 0.5})
    method = experiment.method(run, ImageShape(8, 3, 0), seed=0, parts=None)
    for index, value in enumerate(method.student.parameters()):
        nn.init.normal_(value, std=0.1, generator=stream(0, "weights", index))
    method.losses(batch, step=0, draws=StreamDraws(stream(0, "train", 0)))["student"].backward()
    felt = method.student.model.map_augment.weight.grad.abs().amax(dim=0)
    assert felt.shape == (9,) and bool((felt > 0).all())


def test_augmentation_needs_a_network_that_takes_its_labels(tiny_run):
    run = tiny_run("methods/edm", params={"augment": 0.12})
    with pytest.raises(ConfigError, match=r"params\.augment is 0\.12, .*network\.augment_dim 9, not 0"):
        experiment.method(run, ImageShape(8, 3, 0), seed=0, parts=None)


@pytest.mark.parametrize("augment", [-0.1, 1.1, float("nan")])
def test_an_impossible_probability_of_augmentation_is_refused(gaussian, augment):
    with pytest.raises(ValueError, match=r"params\.augment: expected a probability"):
        EDM(student=gaussian, **EDM_PARAMS | {"augment": augment})


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


def test_a_conditional_model_receives_its_classes(tiny_run):
    run = tiny_run("methods/edm").model_copy(update={"conditional": True})
    shape = ImageShape(8, 3, 4)
    method = experiment.method(run, shape, seed=0, parts=None).eval()
    for name, value in method.student.named_parameters():
        if "weight" in name:
            nn.init.normal_(value, std=0.1)
    noise = torch.randn((2, 3, 8, 8), generator=stream(0, "x"))
    one, other = (torch.eye(4)[[k, k]] for k in (0, 3))
    with torch.no_grad():
        images = [method.sample(noise, labels=labels, nfe=3, streams=None) for labels in (one, other)]
    assert float((images[0] - images[1]).abs().max()) > 1e-4
    drawn = sample_images(method, run, shape, [0, 1], seed=0, nfe=3, to=torch.device("cpu"))
    again = sample_images(method, run, shape, [1], seed=0, nfe=3, to=torch.device("cpu"))
    assert_close(drawn[1:], again, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name, preset", [("edm", "ddpmpp"), ("edm_cond", "ddpmpp"), ("edm_ve", "ncsnpp")])
@pytest.mark.parametrize("scale", ["embedded", "cpu", "paper"])
def test_the_defining_settings_of_edm_hold_at_every_scale(settings, name, preset, scale):
    run = settings(name, scale)
    assert run.params == EDM_PARAMS | {"augment": 0.12 if scale == "paper" else 0.0}
    assert run.network["augment_dim"] == (9 if scale == "paper" else 0)
    assert (run.network["preset"], run.network["precond"]) == (preset, "edm")
    assert (run.init, run.feed, run.training.optimizer.name) == (None, "images", "adam")
    assert run.conditional == name.endswith("_cond")


@pytest.mark.parametrize("name", ["edm", "edm_cond", "edm_ve"])
@pytest.mark.parametrize(
    ("scale", "dataset", "augment", "flip"),
    [
        ("paper", "cifar10", 0.12, False),
        ("paper", "ffhq64", 0.15, False),
        ("cpu", "cifar10", 0.0, True),
        ("cpu", "ffhq64", 0.0, True),
        ("embedded", "shapes16", 0.0, False),
        ("embedded", "ffhq64", 0.0, False),
    ],
)
def test_images_are_mirrored_by_the_augmentation_or_by_the_feed_or_by_neither(
    settings, name, scale, dataset, augment, flip
):
    run = settings(name, scale, dataset)
    assert (run.params["augment"], run.training.flip) == (augment, flip)
