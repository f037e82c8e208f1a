"""iCT: the Huber norm of whole images, weights 1 / (t - s), log-normal levels, a doubling grid."""

from __future__ import annotations

import math

import pytest
import torch
from torch.testing import assert_close

from hkd.data.image_set import ImageBatch
from hkd.draws import StreamDraws
from hkd.methods.consistency.ict import ICT, grid_points, level_probabilities
from hkd.methods.distances import pseudo_huber
from hkd.seeding import stream
from tests.methods.stand_ins import Function

LAW = {"p_mean": -1.1, "p_std": 2.0}
GRID = {"sigma_min": 0.002, "sigma_max": 80.0, "rho": 7.0}


def model(student, s0=10, s1=1280, total=400000):
    return ICT(student=student, total_steps=total, s0=s0, s1=s1, huber=0.00054, **LAW, **GRID)


def test_the_grid_doubles_in_eight_equal_stages():
    points = [grid_points(50000 * stage, 400000, s0=10, s1=1280) for stage in range(8)]
    assert points == [11, 21, 41, 81, 161, 321, 641, 1281]
    assert grid_points(49999, 400000, s0=10, s1=1280) == 11
    assert grid_points(400000, 400000, s0=10, s1=1280) == 1281


def test_probabilities_of_eleven_points_are_the_papers():
    expected = [0.0626, 0.1817, 0.2455, 0.2135, 0.1424, 0.0806, 0.0411, 0.0196, 0.0089, 0.0040]
    found = level_probabilities(model(torch.nn.Identity()).grid(11), **LAW)
    assert_close(found, torch.tensor(expected).double(), atol=5e-5, rtol=0)


def test_weights_of_eleven_points_are_the_inverse_gaps():
    expected = [67.9, 14.6, 4.29, 1.55, 0.645, 0.301, 0.153, 0.0831, 0.0478, 0.0288]
    found = 1 / model(torch.nn.Identity()).grid(11).diff()
    assert_close(found, torch.tensor(expected).double(), rtol=5e-3, atol=0)


def test_the_huber_norm_is_one_number_per_image():
    a, b = torch.zeros(2, 3, 8, 8), torch.full((2, 3, 8, 8), 0.5)
    c = 0.00054 * math.sqrt(192)
    assert_close(pseudo_huber(a, b, c), torch.full((2,), math.sqrt(192 * 0.25 + c**2) - c))
    assert 0.00054 * math.sqrt(3072) == pytest.approx(0.02993, abs=5e-6)


def test_the_loss_is_the_huber_norm_over_the_gap():
    batch = ImageBatch(torch.zeros(512, 3, 8, 8), None)
    shift = Function(lambda x, t, labels: x * 0 + t[:, None, None, None])  # f(t) - f(s) = t - s everywhere
    loss = float(model(shift).losses(batch, step=0, draws=StreamDraws(stream(0, "l")))["student"])
    c = 0.00054 * math.sqrt(192)
    grid = model(shift).grid(11)
    gaps, p = grid.diff(), level_probabilities(grid, **LAW)
    expected = float((p * ((192 * gaps**2 + c**2).sqrt() - c) / gaps).sum())
    assert loss == pytest.approx(expected, rel=2e-3)  # without the weight: 6 times as much


def test_on_a_single_image_the_exact_consistency_function_has_no_loss(single_image):
    image = single_image.clean[:1]
    exact = Function(lambda x, t, labels: image + (x - image) * (0.002 / t)[:, None, None, None])
    assert float(model(exact).losses(single_image, step=200000, draws=StreamDraws(stream(0, "l")))["student"]) < 1e-4


def test_both_passes_share_the_dropout_mask():
    dropout = Function(lambda x, t, labels: torch.nn.functional.dropout(torch.ones_like(x), 0.5))
    loss = model(dropout).losses(ImageBatch(torch.zeros(4, 3, 8, 8), None), step=0, draws=StreamDraws(stream(0, "l")))
    assert float(loss["student"]) == 0.0


def test_there_is_no_target_network_and_no_perceptual_distance(tiny_run, trained, draw):
    method = trained(tiny_run("methods/ict"))
    assert [name for name, _ in method.named_children()] == ["student"]
    assert_close(draw(method, [4], 1)[0], draw(method, [3, 4, 5], 1)[1], rtol=1e-4, atol=1e-5)
    x = torch.randn((2, 3, 8, 8), generator=stream(0, "x"))
    assert_close(method.student(x, 0.002), x)


@pytest.mark.parametrize("name", ["ict", "ict_deep"])
@pytest.mark.parametrize("scale", ["embedded", "cpu", "paper"])
def test_the_defining_settings_of_ict_hold_at_every_scale(settings, name, scale):
    run = settings(name, scale)
    assert run.training.optimizer.name == "radam"
    assert scale == "embedded" or run.training.optimizer.betas == (0.9, 0.999)
    assert (run.init, run.teacher, run.perceptual) == (None, None, False)
    assert (run.network["precond"], run.network["fourier_scale"]) == ("consistency", 0.02)
    assert {"huber": 0.00054, "p_mean": -1.1, "p_std": 2.0}.items() <= run.params.items()


def test_deep_has_twice_the_blocks_at_every_scale(settings):
    for scale in ("embedded", "cpu", "paper"):
        plain, deep = settings("ict", scale), settings("ict_deep", scale)
        assert deep.network["num_blocks"] == 2 * plain.network["num_blocks"]
        apart = {"title": True, "network": True, "training": {"steps"} if scale == "embedded" else set()}
        assert deep.model_dump(exclude=apart) == plain.model_dump(exclude=apart)
