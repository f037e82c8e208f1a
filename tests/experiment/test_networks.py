"""Feature networks from their files: what a header says is held against the weights before anything is built of it."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path

import pytest
import torch

from hkd.experiment.networks import feature_network, network_facts
from hkd.nets.cnn import FeatureCNN
from hkd.store.artifacts import save_weights
from hkd.store.refusals import ArtifactError
from tests.fuzzed import COUNTS, refused

TINY = {"width": 4, "image_size": 8, "heads": {"class": 4}, "seed": 2, "features": 8}


def test_a_network_comes_back_with_its_weights(perceptual):
    found, images = feature_network(perceptual), torch.full((2, 3, 8, 8), 100.0)
    assert network_facts(perceptual)["name"] == "FD-tiny"
    assert torch.equal(found(images)["class"], FeatureCNN(**TINY).eval()(images)["class"])


@pytest.mark.parametrize(
    ("about", "expected"),
    [
        ({}, "its field 'network' is missing"),
        ({"network": 3, "name": "x"}, "its field 'network' is of type int, not dict"),
        ({"network": TINY, "name": 3}, "its field 'name' is of type int, not str"),
        ({"network": {**TINY, "width": 2**20}, "name": "x"}, "its tensors are not those of the network in its header"),
        ({"network": {**TINY, "width": 2**40}, "name": "x"}, "its header describes no network of ours"),
        ({"network": {**TINY, "image_size": 4}, "name": "x"}, "image_size: expected at least 8, found 4"),
        ({"network": {**TINY, "heads": {"class": "4"}}, "name": "x"}, "its header describes no network of ours"),
        ({"network": {**TINY, "depth": 4}, "name": "x"}, "its header describes no network of ours"),
        ({"network": {**TINY, "heads": {"class": 5}}, "name": "x"}, "its tensors are not those"),
    ],
)
def test_a_header_of_another_network_is_refused_in_one_line_and_at_once(tmp_path, about, expected):
    save_weights(tmp_path / "w.safetensors", FeatureCNN(**TINY).state_dict(), about)
    begun = time.process_time()
    with pytest.raises(ArtifactError, match=r"not a feature network .*run `hkd extractor` again") as error:
        feature_network(tmp_path / "w.safetensors")
    assert expected in str(error.value) and time.process_time() - begun < 2


def test_weights_that_are_not_finite_are_refused_when_they_are_read(tmp_path):
    state = FeatureCNN(**TINY).state_dict()
    state["penultimate.bias"][3] = torch.inf
    save_weights(tmp_path / "w.safetensors", state, {"network": TINY, "name": "x"}, finite=False)
    with pytest.raises(ArtifactError, match=r"its weights 'penultimate.bias' hold NaN or infinity"):
        feature_network(tmp_path / "w.safetensors")


@pytest.mark.parametrize("count", COUNTS)
def test_a_damaged_network_is_refused_in_one_line(perceptual, tmp_path, count):
    path = Path(shutil.copy(perceptual, tmp_path))
    assert refused(path, lambda: feature_network(path), count, ArtifactError) > count // 8
    assert json.dumps(network_facts(path))
