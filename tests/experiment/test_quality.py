"""Quality on the way: the same images whatever the batch, and the distance that they have by themselves."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from hkd.data.image_set import to_uint8
from hkd.experiment.extractors import trained_extractor
from hkd.experiment.finished import base
from hkd.experiment.quality import MilestoneQuality, as_arrays
from hkd.experiment.record import read_run
from hkd.experiment.sample import sample_images
from hkd.metrics.features.extract import extract
from hkd.metrics.scores.frechet import frechet_from_features
from hkd.store.refusals import ArtifactError

CPU, IMAGES, SEED, NFE = torch.device("cpu"), 12, 3, 3


@pytest.fixture
def reference(images, perceptual) -> np.ndarray:
    """Features of the real images."""
    return extract(np.load(images / "images.npy"), trained_extractor(perceptual, "cpu"), "A")


@pytest.fixture
def quality(teacher, perceptual, reference):
    """Measure the teacher's images, so many at once."""

    def made(batch: int, **further) -> MilestoneQuality:
        sizes = {"seed": SEED, "images": IMAGES, "batch": batch, "nfe": NFE, "to": CPU}
        return MilestoneQuality(teacher.with_name("config.yaml"), perceptual, reference, **sizes, **further)

    return made


def test_a_milestone_has_the_distance_of_the_images_of_its_run(quality, teacher, perceptual, reference):
    run, shape, _ = read_run(teacher.with_name("config.yaml"))
    drawn = sample_images(base(teacher), run, shape, range(IMAGES), seed=SEED, nfe=NFE, to=CPU)
    features = extract(to_uint8(drawn).numpy(), trained_extractor(perceptual, "cpu"), "A")
    assert quality(IMAGES).at(teacher) == frechet_from_features(features, reference)


def test_no_distance_depends_on_how_many_images_are_made_at_once(quality, teacher):
    assert quality(5).at(teacher).distance == pytest.approx(quality(IMAGES).at(teacher).distance, rel=1e-5)


def test_every_batch_is_told(quality, teacher):
    told: list[int] = []
    quality(5, tick=told.append).at(teacher)
    assert told == [5, 5, 2]


def test_a_distance_as_arrays_keeps_both_of_its_scales(quality, teacher):
    found = quality(IMAGES).at(teacher)
    assert {name: array.tolist() for name, array in as_arrays(found).items()} == {
        "fdn": [found.fdn],
        "fd": [found.distance],
    }


def test_weights_of_another_network_are_refused(quality, perceptual):
    with pytest.raises(ArtifactError, match="not the weights of the config beside it"):
        quality(IMAGES).at(perceptual)
