"""What studies of single images start from: the noise of the run's samples, or real images and noise of their own."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from hkd.seeding import ImageStreams
from hkd.settings.origins import ConfigError
from hkd.store.paths import Layout
from hkd.store.refusals import ArtifactError
from hkd.studies.single_images import as_bytes, finished, stored_images
from tests.studies.single_run import CPU


def test_a_generated_image_starts_from_the_noise_of_the_sample_of_its_number(finished_run):
    x, sigma = finished_run.start(None, [4, 2], 0.5)
    assert sigma == 80.0
    assert torch.equal(x, 80.0 * ImageStreams(0, [4, 2], "sample-noise").randn((3, 8, 8)))


def test_a_real_image_starts_from_itself_and_noise_that_no_sample_has(finished_run, picture):
    real = finished_run.pictures([picture])
    x, sigma = finished_run.start(real, [4], 0.5)
    assert sigma == 0.5
    assert torch.equal(x, real + 0.5 * ImageStreams(0, [4], "picture-noise").randn((3, 8, 8)))


def test_noise_levels_at_both_ends_are_known_and_none_beyond(finished_run):
    finished_run.check_levels("levels", [80.0, 0.002, 80.0 * (1 + 1e-6)])
    for level in (80.1, 0.0019):
        with pytest.raises(ConfigError, match=f"levels = {level}: the run knows noise levels from 0.002 to 80 alone"):
            finished_run.check_levels("levels", [1.0, level])


def test_a_run_without_an_operator_is_refused(results):
    weights = Path(Layout(str(results)).run("shapes8", "methods/edm", 0).weights)
    with pytest.raises(ConfigError, match=r"methods/edm: has no Koopman operator; name a run of methods/hkd"):
        finished(weights, "methods/edm", 0, CPU)
    with pytest.raises(ArtifactError, match="run `hkd train`"):
        finished(weights.parent.parent / "seed9" / weights.name, "methods/edm", 9, CPU)


def test_images_of_a_set_come_in_the_order_that_was_asked_for(results):
    folder = Layout(str(results)).data("shapes8", "reference")
    both = stored_images(folder, [5, 1], CPU)
    assert torch.equal(both, stored_images(folder, [1, 5], CPU).flip(0))
    with pytest.raises(ConfigError, match=r"image -1 is not in 0\.\.31 of .*; name one that is"):
        stored_images(folder, [-1], CPU)


def test_bytes_keep_every_leading_dimension():
    images = torch.linspace(-1, 1, 2 * 3 * 3 * 4 * 4).reshape(2, 3, 3, 4, 4)
    assert as_bytes(images).shape == (2, 3, 3, 4, 4)
    assert as_bytes(images[0])[1].tolist() == as_bytes(images)[0, 1].tolist()
