"""JSON, weights and arrays come back as they were, damage is named with its stage, and what is written is finite."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from hkd.store.artifacts import (
    load_weight_arrays,
    load_weights,
    read_arrays,
    read_json,
    save_arrays,
    save_weight_arrays,
    save_weights,
    weights_about,
)
from hkd.store.atomic import write_json
from hkd.store.records import Record, check_digest
from hkd.store.refusals import ArtifactError


def test_json_that_is_absent_or_broken_names_the_stage(tmp_path):
    with pytest.raises(ArtifactError, match="missing; run `hkd prepare`"):
        read_json(tmp_path / "manifest.json", "prepare")
    (tmp_path / "manifest.json").write_bytes(b'{"count": 3')
    with pytest.raises(ArtifactError, match="delete it and run `hkd prepare` again"):
        read_json(tmp_path / "manifest.json", "prepare")
    (tmp_path / "manifest.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ArtifactError, match="not valid JSON"):
        read_json(tmp_path / "manifest.json", "prepare")


def test_weights_come_back_to_the_bit_with_the_facts_about_them(tmp_path):
    shared = torch.randn(3, 4)
    state = {"a": shared, "b": shared, "n": torch.tensor(3), "half": torch.randn(2).half(), "t": shared.T}
    save_weights(tmp_path / "w.safetensors", state, {"name": "tiny", "width": 3})
    found = load_weights(tmp_path / "w.safetensors")
    assert found.keys() == state.keys()
    assert all(torch.equal(found[k], state[k]) and found[k].dtype == state[k].dtype for k in state)
    assert weights_about(tmp_path / "w.safetensors") == {"name": "tiny", "width": 3}


def test_absent_weights_name_the_stage(tmp_path):
    with pytest.raises(ArtifactError, match="missing; run `hkd extractor`"):
        load_weights(tmp_path / "w.safetensors", "extractor")


def test_truncated_weights_without_a_record_are_named(tmp_path):
    save_weights(tmp_path / "w.safetensors", {"a": torch.randn(100)})
    (tmp_path / "w.safetensors").write_bytes((tmp_path / "w.safetensors").read_bytes()[:200])
    with pytest.raises(ArtifactError, match="not a readable safetensors file"):
        load_weights(tmp_path / "w.safetensors")


def test_one_flipped_bit_is_named_with_its_stage(tmp_path, flip_byte):
    path = tmp_path / "w.safetensors"
    save_weights(path, {"a": torch.randn(100)})
    Record("train").write(path)
    check_digest(path, "train")
    flip_byte(path)
    with pytest.raises(ArtifactError, match=r"w.safetensors: damaged, .* run `hkd train`"):
        load_weights(path)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_numbers_that_are_none_are_not_written(tmp_path, value):
    with pytest.raises(ArtifactError, match=r"a.json: not written, metrics.fid\[1\] is NaN or infinity"):
        write_json(tmp_path / "a.json", {"n": 3, "metrics": {"fid": [1.0, value]}})
    with pytest.raises(ArtifactError, match=r"a.npz: not written, 'x' holds 2 values of 3 that are NaN or infinity"):
        save_arrays(tmp_path / "a.npz", {"n": np.array(3), "x": np.array([1.0, value, value])})
    with pytest.raises(ArtifactError, match=r"a.safetensors: its weights 'b' hold NaN or infinity"):
        save_weights(tmp_path / "a.safetensors", {"a": torch.ones(3), "b": torch.tensor([0.0, value])})
    assert not list(tmp_path.iterdir())


def test_a_number_that_does_not_exist_may_be_written_where_it_is_meant(tmp_path):
    write_json(tmp_path / "a.json", [1.0, float("nan")], undefined=True)
    save_arrays(tmp_path / "a.npz", {"x": np.array([1.0, np.nan])}, undefined=True)
    assert np.isnan(read_json(tmp_path / "a.json", "closure", undefined=True)[1])
    assert np.isnan(read_arrays(tmp_path / "a.npz", "spectrum")["x"][1])
    with pytest.raises(ArtifactError, match=r"a.json: NaN where a number should be"):
        read_json(tmp_path / "a.json", "closure")
    for write in (write_json, save_arrays):
        with pytest.raises(ArtifactError, match="not written"):
            write(tmp_path / "b", {"x": np.array([np.inf]) if write is save_arrays else np.inf}, undefined=True)


def test_weights_of_a_training_that_diverged_are_read_as_they_are(tmp_path):
    path = tmp_path / "w.safetensors"
    save_weights(path, {"a": torch.tensor([torch.inf])}, finite=False)
    Record("train").write(path, diverged_at=None)
    with pytest.raises(ArtifactError, match=r"w.safetensors: its weights 'a' hold NaN or infinity, so their training"):
        load_weights(path)
    Record("train").write(path, diverged_at=4)
    assert load_weights(path)["a"].tolist() == [torch.inf]


def test_weights_as_arrays_are_the_file_that_they_are_as_tensors(tmp_path):
    state = {
        "b": torch.randn(3, 2, 5),
        "a.c": torch.arange(4),
        "half": torch.randn(7).half(),
        "scalar": torch.tensor(0.5),
    }
    save_weights(tmp_path / "tensors.safetensors", state, {"name": "x"})
    arrays = load_weight_arrays(tmp_path / "tensors.safetensors")
    save_weight_arrays(tmp_path / "arrays.safetensors", arrays, {"name": "x"})
    assert (tmp_path / "arrays.safetensors").read_bytes() == (tmp_path / "tensors.safetensors").read_bytes()
    for broken in (np.float32("nan"), np.float32("inf")):
        with pytest.raises(ArtifactError, match=r"odd.safetensors: its weights 'a' hold NaN or infinity"):
            save_weight_arrays(tmp_path / "odd.safetensors", {"a": np.array([1, broken])})
