"""Restoration with a finished run: which images, which masks, at how many evaluations, and how far from the truth."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from hkd import interrupt
from hkd.data.image_shape import ImageShape
from hkd.settings.origins import ConfigError
from hkd.studies.inpainting.restoration import colourised, inpainted, masks_of, true_images


def distance(images, other):
    return (images - other).abs().mean((1, 2, 3))


@pytest.fixture
def truth(finished_run, results):
    return true_images(finished_run, (), str(results / "shapes8/data/reference"), 2)


@pytest.fixture
def evaluations(finished_run):
    """Noise levels at which the network is asked, in order."""
    asked = []
    finished_run.net.register_forward_pre_hook(lambda net, given: asked.append(given[1]))
    return asked


def test_images_are_the_users_or_those_of_the_set_or_samples_as_a_picture_holds_them(finished_run, picture, results):
    folder = str(results / "shapes8/data/reference")
    assert torch.equal(true_images(finished_run, [picture], folder, 2), finished_run.pictures([picture]))
    stored = torch.from_numpy(np.load(results / "shapes8/data/reference/images.npy")[:2]) / 127.5 - 1
    assert torch.equal(true_images(finished_run, (), folder, 2), stored)
    samples = true_images(finished_run, (), None, 2)
    noise = finished_run.net.settings.sigma_max * finished_run.noise(range(2))
    with torch.no_grad():
        assert torch.equal(samples, finished_run.net(noise, finished_run.net.settings.sigma_max).clamp(-1, 1))


def test_a_sample_beyond_what_a_picture_holds_is_clipped(finished_run, monkeypatch):
    monkeypatch.setattr(finished_run.net, "forward", lambda x, sigma, labels: 0 * x + torch.tensor([-3.0, 3.0] * 4))
    assert true_images(finished_run, (), None, 1).unique().tolist() == [-1.0, 1.0]


def test_more_images_than_the_set_has_are_refused(finished_run, results):
    with pytest.raises(ConfigError, match=r"image 32 is not in 0\.\.31"):
        true_images(finished_run, (), str(results / "shapes8/data/reference"), 33)


def test_masks_are_the_studys_unless_the_user_has_one():
    masks = masks_of(["centre", "grid"], None, 8)
    assert {name: float(mask.float().mean()) for name, mask in masks.items()} == {"centre": 0.25, "grid": 0.75}


@pytest.mark.parametrize("steps", [1, 2, 5])
def test_every_step_costs_one_evaluation_from_the_highest_noise_level_down(finished_run, truth, evaluations, steps):
    inpainted(finished_run, truth, masks_of(["centre"], None, 8), steps, distance, title="", colours=False)
    assert len(evaluations) == steps and evaluations == sorted(evaluations, reverse=True)
    assert evaluations[0] == pytest.approx(80) and (steps == 1 or evaluations[-1] == pytest.approx(0.002))


def test_errors_are_counted_where_pixels_were_missing(finished_run, truth):
    masks = masks_of(["lower_half"], None, 8)
    arrays, facts = inpainted(finished_run, truth, masks, 2, distance, title="", colours=False)
    assert list(arrays) == ["truth", "lower_half/result", "lower_half/mean_fill", "lower_half/missing"]
    filled = truth.clone()
    filled[..., 4:, :] = truth[..., :4, :].mean((-2, -1), keepdim=True)
    expected = (filled - truth)[..., 4:, :].square().mean((1, 2, 3)).sqrt().mean()
    assert facts["lower_half"]["mean_fill"]["l2_inside"] == pytest.approx(float(expected), rel=1e-5)
    assert facts["lower_half"]["largest_change_outside"] == 0.0


def test_an_image_is_restored_alike_alone_and_among_others(finished_run, truth):
    masks = masks_of(["centre"], None, 8)
    together, alone = (
        inpainted(finished_run, of, masks, 2, distance, title="", colours=True)[0] for of in (truth, truth[:1])
    )
    for name in ("centre/result", "colour/result"):
        assert np.abs(together[name][:1].astype(int) - alone[name]).max() <= 1


def test_colours_are_generated_for_images_that_have_any(finished_run, truth):
    masks, grey = masks_of(["centre"], None, 8), replace(finished_run, shape=ImageShape(8, 1, 0))
    assert "colour/result" in inpainted(finished_run, truth, masks, 2, distance, title="", colours=True)[0]
    assert "colour/result" not in inpainted(grey, truth, masks, 2, distance, title="", colours=True)[0]
    with pytest.raises(ConfigError, match="its images have no colours; name a run on colour images"):
        colourised(grey, truth, 2, distance, title="methods/hkd on grey")


def test_a_request_to_stop_is_heard_between_evaluations(finished_run, truth, evaluations):
    interrupt.ask()
    try:
        with pytest.raises(interrupt.Interrupted):
            colourised(finished_run, truth, 3, distance, title="")
    finally:
        interrupt.reset()
    assert evaluations == []
