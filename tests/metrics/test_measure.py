"""Our number and each library's agree within a preprocessing class, on the same bytes, and carry their protocol."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hkd.metrics import libraries
from hkd.metrics.extractor import FunctionExtractor, extract
from hkd.metrics.inputs import MetricError
from hkd.metrics.measure import measure, reference_features
from hkd.metrics.protocols import IMPLEMENTATIONS

ALL = ("torch_fidelity", "clean_fid", "pytorch_fid")


@pytest.fixture(scope="module")
def reference(real: np.ndarray, extractor: FunctionExtractor) -> dict[str, np.ndarray]:
    arrays = reference_features(real, extractor, libraries=ALL, own_classes=("A", "B", "C"))
    stored = io.BytesIO()
    np.savez(stored, **arrays)
    stored.seek(0)
    with np.load(stored, allow_pickle=False) as loaded:
        return {key: loaded[key] for key in loaded.files}


@pytest.fixture(scope="module")
def scores(generated: np.ndarray, reference: dict[str, np.ndarray], extractor: FunctionExtractor) -> dict:
    return measure(generated, reference, extractor, libraries=ALL, own_classes=("A", "B", "C"), claimed=203)


@pytest.mark.parametrize("library", ALL)
def test_each_library_agrees_with_ours_within_its_class(scores: dict, library: str) -> None:
    kind = IMPLEMENTATIONS[libraries.WITNESSES[library].implementation].preprocessing
    assert scores["scores"][f"fid_{library}"] == pytest.approx(scores["fid_own_by_class"][kind], rel=1e-4)


def test_columns_separate_by_preprocessing_class(scores: dict) -> None:
    a, b, c = (scores["fid_own_by_class"][k] for k in "ABC")
    assert min(abs(a - c), abs(a - b), abs(b - c)) > 5e-3 * a


def test_a_set_against_itself_scores_zero(
    real: np.ndarray, reference: dict[str, np.ndarray], extractor: FunctionExtractor
) -> None:
    scores = measure(real, reference, extractor, libraries=ALL)
    assert scores["scores"]["fdn"] < 1e-8
    assert max(abs(scores["scores"][f"fid_{key}"]) for key in ALL) < 1e-6


def test_torch_fidelity_says_the_same_when_it_runs_from_end_to_end(
    generated: np.ndarray, real: np.ndarray, extractor: FunctionExtractor, scores: dict
) -> None:
    torch_fidelity = pytest.importorskip("torch_fidelity")
    found = torch_fidelity.calculate_metrics(
        input1=libraries._ByteImages(generated),
        input2=libraries._ByteImages(real),
        feature_extractor=libraries.torch_fidelity_name(extractor),
        fid=True,
        cuda=False,
        cache=False,
        save_cpu_ram=True,
        verbose=False,
    )
    assert scores["scores"]["fid_torch_fidelity"] == found["frechet_inception_distance"]


def test_clean_fid_says_the_same_of_a_folder(
    generated: np.ndarray, extractor: FunctionExtractor, tmp_path: Path
) -> None:
    from PIL import Image

    for i, image in enumerate(generated[:20]):
        Image.fromarray(image.transpose(1, 2, 0)).save(tmp_path / f"{i:03}.png")
    folder = libraries.clean_fid_folder_features(str(tmp_path), extractor)
    np.testing.assert_allclose(libraries.clean_fid_features(generated[:20], extractor), folder, rtol=1e-5)


@pytest.mark.parametrize(("mode", "kind"), [("clean", "C"), ("legacy_pytorch", "B"), ("legacy_tensorflow", "A")])
def test_each_mode_of_clean_fid_is_one_class(
    generated: np.ndarray, extractor: FunctionExtractor, mode: str, kind: str
) -> None:
    theirs = libraries.clean_fid_features(generated[:30], extractor, mode=mode, batch=16)
    np.testing.assert_allclose(theirs, extract(generated[:30], extractor, kind), atol=2e-5)


def test_batch_size_does_not_change_features(generated: np.ndarray, extractor: FunctionExtractor) -> None:
    np.testing.assert_allclose(
        extract(generated, extractor, batch=7), extract(generated, extractor, batch=100), rtol=1e-5, atol=1e-6
    )


def test_every_number_carries_its_protocol(scores: dict) -> None:
    protocols = scores["protocols"]
    assert set(protocols) == set(scores["scores"]) == {"fid_own", "fdn", *(f"fid_{key}" for key in ALL)}
    assert protocols["fid_torch_fidelity"]["mean_dtype"] == "float32"
    assert protocols["fid_clean_fid"]["resize"] == "pil-bicubic to 24"
    assert protocols["fid_pytorch_fid"]["versions"]["pytorch-fid"]
    assert json.loads(json.dumps(scores))["protocols"]["fid_own"]["n_generated"] == 203


def test_a_small_sample_is_marked_an_estimate(
    generated: np.ndarray, reference: dict[str, np.ndarray], extractor: FunctionExtractor, scores: dict
) -> None:
    assert scores["protocols"]["fid_own"]["estimate"] == []
    small = measure(generated[:16], reference, extractor, libraries=(), nominal=100)["protocols"]["fdn"]["estimate"]
    rank, nominal = small
    assert rank == "generated n = 16 is not above the feature dimension 16"
    assert nominal == "generated n = 16 is below the nominal 100"


def test_a_score_at_a_common_number_is_that_of_the_first_images(
    generated: np.ndarray, reference: dict[str, np.ndarray], extractor: FunctionExtractor
) -> None:
    found = measure(generated, reference, extractor, libraries=(), sizes=(50,))
    alone = measure(generated[:50], reference, extractor, libraries=())
    assert found["scores"]["fid_own@50"] == pytest.approx(alone["scores"]["fid_own"], rel=1e-6)
    assert found["scores"]["fdn@50"] == pytest.approx(alone["scores"]["fdn"], rel=1e-6)
    assert found["protocols"]["fid_own@50"]["n_generated"] == 50
    with pytest.raises(MetricError, match="score of 500 images: there are 203"):
        measure(generated, reference, extractor, libraries=(), sizes=(500,))


def test_no_number_is_called_fid_without_the_published_weights(
    real: np.ndarray, extractor: FunctionExtractor, scores: dict
) -> None:
    assert scores["metric"] == "FD-tiny"
    for name in ("FID", "FID-random", "inception"):
        with pytest.raises(MetricError, match="a number from it is no FID"):
            reference_features(real, replace(extractor, name=name))


def test_a_reference_of_another_extractor_is_refused(
    generated: np.ndarray, reference: dict[str, np.ndarray], extractor: FunctionExtractor
) -> None:
    with pytest.raises(MetricError, match=r"extractor_digest is .*rebuild the reference"):
        measure(generated, reference, replace(extractor, digest="0" * 64))
    with pytest.raises(MetricError, match="holds no 'own_E'"):
        measure(generated, reference, extractor, own_classes=("E",))


def test_fewer_images_than_claimed_are_refused(
    generated: np.ndarray, reference: dict[str, np.ndarray], extractor: FunctionExtractor
) -> None:
    with pytest.raises(MetricError, match="500 images claimed, 203 found"):
        measure(generated, reference, extractor, claimed=500)


def test_an_extractor_that_declares_the_wrong_dimension_is_refused(
    generated: np.ndarray, extractor: FunctionExtractor
) -> None:
    with pytest.raises(MetricError, match=r"declares 99 dimensions, returned \(64, 16\)"):
        extract(generated, replace(extractor, dim=99))
