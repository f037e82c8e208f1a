"""What a feature network is trained on must be there to learn, and its quality is told from guessing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from hkd.data.image_set import write_image_set
from hkd.data.tasks import ExtractorTask
from hkd.experiment.extractor import TrainedExtractor
from hkd.seeding import numpy_stream
from hkd.settings.sections import Data
from hkd.store.refusals import ArtifactError


def prepared(folder: Path, classes: list[int] | None, label_dim: int, count: int = 40) -> Path:
    pixels = numpy_stream(0, "pixels").integers(0, 256, (count, 3, 8, 8)).astype(np.uint8)
    items = zip(pixels, classes or [None] * count, strict=True)
    write_image_set(folder, items, count=count, resolution=8, channels=3, label_dim=label_dim)
    return folder


def task(folder: Path, name: str = "auto") -> ExtractorTask:
    return ExtractorTask(name, folder, Data(kind="images"), size=8, resize=lambda levels, size: levels, seed=0)


@pytest.mark.parametrize(
    ("classes", "label_dim", "expected"),
    [([0] * 40, 1, "rotation"), ([3] * 40, 5, "rotation"), ([0, 1] * 20, 2, "labels"), (None, 0, "rotation")],
)
def test_labels_are_learnt_where_images_differ_in_them(tmp_path, classes, label_dim, expected):
    made = task(prepared(tmp_path, classes, label_dim))
    assert made.task == expected and made.heads == ({"label": label_dim} if expected == "labels" else {"rotation": 4})


def test_one_class_alone_cannot_be_asked_for(tmp_path):
    with pytest.raises(ArtifactError, match="has one class alone to learn from; set extractor task: auto"):
        task(prepared(tmp_path, [0] * 40, 1), "labels")


def test_a_single_image_teaches_nothing(tmp_path):
    with pytest.raises(ArtifactError, match="a single image, from which no network learns"):
        task(prepared(tmp_path, None, 0, count=1))


def test_two_images_are_enough_to_start(tmp_path):
    assert task(prepared(tmp_path, None, 0, count=2)).batch(0, 4, torch.device("cpu")).levels.shape == (4, 3, 8, 8)


def test_guessing_says_the_most_frequent_class(tmp_path):
    made = task(prepared(tmp_path, [0] * 36 + [1] * 4, 2, count=40))
    quality, guessed = made.quality(lambda levels: {"label": torch.eye(2)[[0] * len(levels)]}, torch.device("cpu"))
    assert quality == guessed and quality["label"] >= 0.5


@pytest.mark.parametrize(
    ("quality", "guessed", "share"),
    [
        ({"label": 1.0}, {"label": 0.1}, 1.0),
        ({"label": 0.55}, {"label": 0.1}, 0.5),
        ({"label": 0.1}, {"label": 0.1}, 0.0),
        ({"label": 1.0}, {"label": 1.0}, 0.0),
        ({"a": 0.9, "b": -0.5}, {"a": 0.0, "b": 0.0}, -0.5),
    ],
)
def test_skill_is_the_worst_heads_share_of_what_guessing_leaves(quality, guessed, share):
    found = TrainedExtractor({}, {}, "labels", quality, guessed, 1.0).skill
    assert found[0] == pytest.approx(share) and found[1].split()[0] in quality
