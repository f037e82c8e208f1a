"""The score before training is that of the teacher's halves under a reading, from a run or from a released file."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from hkd.data.image_shape import ImageShape
from hkd.experiment import build as experiment
from hkd.experiment.extractors import trained_extractor
from hkd.metrics.features.extract import extract
from hkd.store.refusals import ArtifactError
from hkd.studies.fingerprint import readings
from hkd.studies.fingerprint.readings import Reading, released_weights, score, weights_of_run
from tests.fuzzed import COUNTS
from tests.mutations import mutations

SHAPE, CPU = ImageShape(8, 3, 0), torch.device("cpu")


@pytest.fixture
def scored(tiny_run, teacher, perceptual, images):
    """Score readings of a tiny run on the weights of the tiny teacher."""
    network = trained_extractor(perceptual, "cpu")
    reference = extract(np.load(images / "images.npy"), network, "A")

    def of(decoder="sigma_min", wrapper="scaled", start=0.0, *, seed=0, weights=None):
        state, run = weights or weights_of_run(teacher), tiny_run("methods/hkd")
        own = {"seed": seed, "images": 6, "to": CPU}
        return score(Reading(decoder, wrapper, start), run, SHAPE, state, network, reference, **own)

    return of


def test_readings_that_differ_score_differently_and_each_is_repeatable(scored):
    settings = [(d, w, 0.0) for d in ("sigma_min", "sigma_max") for w in ("scaled", "raw", "edm")]
    settings.append(("sigma_max", "edm", 0.3))
    found = {setting: scored(*setting).distance for setting in settings}
    assert len(set(found.values())) == len(found)
    assert scored("sigma_max", "edm").distance == found["sigma_max", "edm", 0.0]
    assert scored(seed=1).distance != found["sigma_min", "scaled", 0.0]


def test_readings_that_are_one_in_a_step_from_t_score_alike(scored):
    assert scored("same_as_input").distance == pytest.approx(scored("sigma_max").distance)
    assert scored("latent_time").distance == pytest.approx(scored("sigma_min").distance)


def test_with_the_teachers_own_reading_the_images_are_its_one_step_images(scored, tiny_run, teacher):
    """sigma_max and edm at A = 0 are the teacher's denoiser at T."""
    run = Reading("sigma_max", "edm", 0.0).of(tiny_run("methods/hkd"))
    built = experiment.method(run, SHAPE, seed=0, parts=experiment.Parts(init=weights_of_run(teacher)))
    x = 80.0 * torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.equal(built.student(x, 80.0), built.student.net(x, 80.0))


def test_a_random_network_in_edms_layout_is_scored_as_its_weights_are(scored, teacher, tmp_path):
    """Half precision, as released, and with an input for augmentation, which HKD does not use."""
    state = {name: value.half() for name, value in weights_of_run(teacher).items()}
    state["model.map_augment.weight"] = torch.zeros(32, 9).half()
    save_file(state, tmp_path / "edm.safetensors")
    released = released_weights(tmp_path / "edm.safetensors")
    assert all(value.dtype == torch.float32 for value in released.values())
    assert scored(weights=released).distance == pytest.approx(scored().distance, rel=0.02)


@pytest.mark.parametrize(
    "content, expected",
    [
        (b"", "no readable safetensors file"),
        (b"\x80\x04}q\x00.", "no readable safetensors file"),  # a pickle
        ({"enc.weight": torch.zeros(1)}, "'enc.weight' is no name of EDM's"),
        ({"model.enc.weight": torch.zeros(1, dtype=torch.int64)}, "holds other things than finite numbers"),
        ({"model.enc.weight": torch.tensor([torch.nan])}, "holds other things than finite numbers"),
    ],
)
def test_a_file_of_another_kind_is_one_line(tmp_path, content, expected):
    path = tmp_path / "edm.safetensors"
    path.write_bytes(content) if isinstance(content, bytes) else save_file(content, path)
    with pytest.raises(ArtifactError, match=expected) as refused:
        released_weights(path)
    assert "\n" not in str(refused.value) and str(path) in str(refused.value)


def test_a_missing_or_endless_file_is_one_line(tmp_path, monkeypatch):
    with pytest.raises(ArtifactError, match="no readable safetensors file"):
        released_weights(tmp_path / "nowhere.safetensors")
    save_file({"model.a": torch.zeros(64)}, tmp_path / "edm.safetensors")
    monkeypatch.setattr(readings, "LARGEST", 8)
    with pytest.raises(ArtifactError, match="larger than 0 GiB"):
        released_weights(tmp_path / "edm.safetensors")


def test_weights_of_another_network_are_named(scored, teacher):
    state = weights_of_run(teacher)
    name = next(iter(state))
    del state[name]
    with pytest.raises(ValueError, match=f"{name}: absent in the teacher's weights"):
        scored(weights=state)


@pytest.mark.parametrize("count", COUNTS)
def test_a_damaged_file_reads_fine_or_is_refused_in_one_line(tmp_path, count):
    whole, path = tmp_path / "whole.safetensors", tmp_path / "damaged.safetensors"
    save_file({"model.enc.weight": torch.ones(4, 4), "model.dec.bias": torch.zeros(3)}, whole)
    for damaged in mutations(whole.read_bytes(), count=count):
        path.write_bytes(damaged)
        try:
            state = released_weights(path)
        except ArtifactError as error:
            assert "\n" not in str(error)
        else:
            assert all(name.startswith("model.") and torch.isfinite(value).all() for name, value in state.items())
