"""Training on the score: the loss is the distance that grades, its gradient that of the formula; no pair is read."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm
from torch.testing import assert_close

from hkd.data.image_set import ImageBatch
from hkd.draws import StreamDraws
from hkd.experiment.extractors import trained_extractor
from hkd.experiment.perceptual import grader
from hkd.methods.control.metric_trained import MetricTrained, frechet
from hkd.methods.distances import FeatureVectors
from hkd.metrics.features.extract import extract
from hkd.metrics.scores.frechet import frechet_from_features
from hkd.seeding import ImageStreams, stream
from tests.methods.stand_ins import Function


def rows(n: int, d: int, index: int) -> torch.Tensor:
    return torch.randn((n, d), generator=stream(0, "rows", index), dtype=torch.float64)


def flat(network: torch.nn.Module) -> FeatureVectors:
    """A grader that sees the first five levels of an image, on a scale of its own."""
    return FeatureVectors(network, lambda levels: levels.flatten(1)[:, :5] / 50, lambda levels: levels)


@pytest.mark.parametrize(("n", "m", "d"), [(60, 50, 7), (5, 40, 9), (40, 5, 9)])  # of full rank, and below it
def test_the_distance_is_the_closed_form_of_its_moments(n, m, d):
    x, y = rows(n, d, 1), 1.5 * rows(m, d, 2) + 0.4
    (one, cov1), (two, cov2) = ((a.numpy().mean(axis=0), np.cov(a.numpy(), rowvar=False)) for a in (x, y))
    root = sqrtm(sqrtm(cov1).real @ cov2 @ sqrtm(cov1).real).real
    expected = np.square(one - two).sum() + np.trace(cov1 + cov2 - 2 * root)
    assert float(frechet(x, y)) == pytest.approx(expected, rel=1e-5)
    assert float(frechet(x, y)) == pytest.approx(frechet_from_features(x.numpy(), y.numpy()).distance, rel=1e-9)


def test_its_gradient_is_that_of_finite_differences_at_full_rank_and_below():
    for n in (6, 3):
        x, y = rows(n, 3, 3).requires_grad_(), rows(9, 3, 4)
        assert torch.autograd.gradcheck(lambda a, b=y: frechet(a, b), x, eps=1e-6, atol=1e-6)


def test_equal_sets_are_at_no_distance_and_a_shift_at_its_square():
    x = rows(30, 5, 5)
    assert float(frechet(x, x.flip(0))) == pytest.approx(0, abs=1e-12)
    assert float(frechet(x + 2, x)) == pytest.approx(5 * 4, rel=1e-12)


def test_the_loss_is_the_distance_of_fresh_images_as_a_share_of_the_real_variance():
    real = torch.rand((16, 3, 4, 4), generator=stream(1, "real")) - 0.5
    method = MetricTrained(
        student=Function(lambda x, t, labels: x / (4 * t)), grader=flat(torch.nn.Identity()), sigma_max=80.0
    )
    loss = method.losses(ImageBatch(real, None), step=0, draws=StreamDraws(stream(0, "l")))["student"]
    made = torch.randn(real.shape, generator=stream(0, "l")) / 4
    x, y = ((127.5 * (a + 1)).clamp(0, 255).flatten(1)[:, :5].double() / 50 for a in (made, real))
    distance = frechet_from_features(x.numpy(), y.numpy()).distance
    assert float(loss.detach()) == pytest.approx(distance / np.cov(y.numpy(), rowvar=False).trace(), rel=1e-5)


def test_the_grader_sees_images_as_the_scores_do(perceptual):
    bytes_ = torch.randint(
        0, 256, (9, 3, 6, 6), generator=stream(2, "bytes"), dtype=torch.uint8
    )  # the network's side is 8
    seen = grader(perceptual)(bytes_ / 127.5 - 1)
    assert_close(seen.numpy(), extract(bytes_.numpy(), trained_extractor(perceptual, "cpu"), "A"), rtol=1e-4, atol=1e-5)
    wide = grader(perceptual)(torch.full((1, 3, 6, 6), 7.0))
    assert_close(wide, grader(perceptual)(torch.ones(1, 3, 6, 6)), msg="what is beyond white is white")


def test_a_grader_stays_frozen_and_passes_gradients_on(perceptual):
    network = grader(perceptual).train()
    images = (torch.rand((2, 3, 8, 8), generator=stream(5, "images")) - 0.5).requires_grad_()
    network(images).sum().backward()
    assert not network.training and float(images.grad.abs().sum()) > 0
    assert not any(p.requires_grad for p in network.parameters())


def test_it_learns_the_moments_of_its_data_and_reads_no_pair(tiny_run, build):
    run = tiny_run("methods/metric_trained", training={"batch": 16})
    method = build(run)
    assert (run.feed, run.teacher, run.init) == ("images", None, "methods/edm") and method.whole_batch
    real = torch.rand((16, 3, 8, 8), generator=stream(4, "data")) - 0.5
    optimiser = torch.optim.Adam(method.student.parameters(), lr=2e-3)
    found = []
    for step in range(10):
        loss = method.losses(ImageBatch(real, None), step=step, draws=StreamDraws(stream(0, "t", step)))["student"]
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        found.append(float(loss.detach()))
    assert found[-1] < 0.5 * found[0]


def test_a_step_that_is_not_finite_is_a_loss_that_is_not_and_no_crash():
    x = rows(6, 3, 6)
    x[2, 1] = float("nan")
    assert not bool(frechet(x, rows(6, 3, 7)).isfinite())


def test_a_copy_asks_its_own_network(perceptual):
    first = grader(perceptual)
    other = copy.deepcopy(first)
    with torch.no_grad():
        other.network.penultimate.weight.zero_()
        other.network.penultimate.bias.zero_()
    images = torch.zeros(2, 3, 8, 8)
    assert float(other(images).abs().max()) == 0 < float(first(images).abs().max())


def test_without_a_grader_there_is_no_loss_and_with_two_steps_no_image():
    method = MetricTrained(student=Function(lambda x, t, labels: x), grader=None, sigma_max=80.0)
    batch = ImageBatch(torch.zeros(2, 3, 4, 4), None)
    with pytest.raises(ValueError, match="made of the features of the network that grades, and there is none"):
        method.losses(batch, step=0, draws=StreamDraws(stream(0, "l")))
    alone = MetricTrained(student=Function(lambda x, t, labels: x), grader=flat(torch.nn.Identity()), sigma_max=80.0)
    with pytest.raises(ValueError, match=r"covariance: set training\.batch to 2 or more"):
        alone.losses(ImageBatch(batch.clean[:1], None), step=0, draws=StreamDraws(stream(0, "l")))
    with pytest.raises(ValueError, match="not 2"):
        method.sample(batch.clean, labels=None, nfe=2, streams=ImageStreams(0, [0, 1]))
