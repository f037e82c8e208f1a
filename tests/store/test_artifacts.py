"""Files are whole or absent; damage and a full or closed disk are named in one line; results carry their record."""

from __future__ import annotations

import errno
import json
import os
import threading
from pathlib import Path

import numpy as np
import pytest
import torch

from hkd.store import artifacts, waiting
from hkd.store.artifacts import (
    ArtifactError,
    Record,
    atomic_path,
    check_digest,
    load_weights,
    read_arrays,
    read_json,
    read_record,
    record_path,
    recorded_digest,
    save_arrays,
    save_weights,
    sha256,
    weights_about,
    write_bytes,
    write_json,
    write_text,
)
from tests.fuzzed import COUNTS, refused

real_sleep = waiting.time.sleep


def test_a_written_file_is_whole_and_alone(tmp_path):
    write_text(tmp_path / "deep/er/a.txt", "äöü")
    assert (tmp_path / "deep/er/a.txt").read_text(encoding="utf-8") == "äöü"
    assert [p.name for p in (tmp_path / "deep/er").iterdir()] == ["a.txt"]


def test_an_error_while_writing_leaves_the_old_file(tmp_path):
    write_text(tmp_path / "a", "old")
    with pytest.raises(KeyError), atomic_path(tmp_path / "a") as temporary:
        temporary.write_text("half of the n")
        raise KeyError
    assert [p.name for p in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a").read_text() == "old"


FAILURES = [
    (errno.ENOSPC, "the disk is full; free some space"),
    (errno.EDQUOT, "the disk is full; free some space"),
    (errno.EACCES, "cannot write here"),
    (errno.EROFS, "cannot write here"),
    (errno.EIO, "the disk reports an error; check the disk"),
    (errno.ESTALE, "not there, or no more; see that both are"),
    (errno.EXDEV, "spans two disks; choose one"),
    (errno.EFBIG, r"larger than a file may be here; raise the limit \(ulimit -f\)"),
    (errno.ENAMETOOLONG, "the name is too long; choose a shorter name"),
    (errno.EISDIR, "a folder stands where a file should be; move the folder away"),
    (errno.ELOOP, "remove the link"),
    (errno.EMFILE, "too many files are open"),
]


@pytest.mark.parametrize("number, expected", FAILURES)
@pytest.mark.parametrize("call", ["write", "fsync", "rename", "mkdir"])
def test_a_disk_that_refuses_is_named_in_one_line(tmp_path, monkeypatch, number, expected, call):
    write_text(tmp_path / "a", "old")

    def refuse(*args, **kwargs):
        raise OSError(number, os.strerror(number))

    if call == "fsync":
        monkeypatch.setattr(artifacts.os, "fsync", refuse)
    elif call == "rename":
        monkeypatch.setattr(artifacts.os, "replace", refuse)
    elif call == "mkdir":
        monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(ArtifactError, match=expected) as caught, atomic_path(tmp_path / "a") as temporary:
        temporary.write_text("half of the n")
        if call == "write":
            refuse()
    assert str(caught.value).startswith(str(tmp_path / "a"))
    assert "\n" not in str(caught.value)
    assert [p.name for p in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a").read_text() == "old"


def test_a_really_full_disk_is_named(tmp_path):
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    full = pytest.raises(ArtifactError, match="the disk is full")
    with full, atomic_path(tmp_path / "a"), open("/dev/full", "wb") as file:
        file.write(b"x" * 100_000)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_a_file_is_named(tmp_path):
    write_text(tmp_path / "results", "not a folder")
    with pytest.raises(ArtifactError, match=r"results/run/a: cannot write here"):
        write_bytes(tmp_path / "results/run/a", b"x")


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


def test_a_record_names_stage_settings_and_inputs_of_a_result(tmp_path):
    write_bytes(tmp_path / "input", b"in")
    write_json(tmp_path / "out.json", {"fid": 3})
    record = Record("metrics", {"n": 3}, "abc", 7, [tmp_path / "input"])
    record.write(tmp_path / "out.json", n=96)
    found = json.loads(record_path(tmp_path / "out.json").read_text())
    assert found["stage"] == "metrics" and found["settings"] == {"n": 3} and found["seed"] == 7 and found["n"] == 96
    assert found["sha256"] == sha256(tmp_path / "out.json")
    assert found["inputs"] == {str(tmp_path / "input"): sha256(tmp_path / "input")}
    assert found["settings_digest"] == "abc" and found["wall_seconds"] >= 0 and found["versions"]["torch"]
    assert recorded_digest(tmp_path / "out.json") == found["sha256"]


def test_a_reader_that_comes_between_a_file_and_its_record_waits_for_the_record(tmp_path, monkeypatch):
    monkeypatch.setattr(waiting, "PATIENCE", 20.0)  # of a machine that is busy
    path = tmp_path / "a"
    write_bytes(path, b"old")
    record = Record("train")
    record.write(path)
    write_bytes(path, b"new")
    writer = threading.Timer(0.2, record.write, [path])
    writer.start()
    check_digest(path, "train")
    writer.join()


def test_a_reader_waits_a_moment_for_a_file_that_changed_just_now_and_not_at_all_for_an_old_one(tmp_path, monkeypatch):
    path = tmp_path / "a"
    write_bytes(path, b"old")
    Record("train").write(path)
    path.write_bytes(b"damaged")
    waited = []
    monkeypatch.setattr(waiting.time, "sleep", lambda seconds: waited.append(seconds) or real_sleep(seconds))
    with pytest.raises(ArtifactError, match="damaged"):
        check_digest(path, "train")
    assert 0.1 < sum(waited) < 2
    waited.clear()
    monkeypatch.setattr(waiting, "RECENT", -1.0)
    with pytest.raises(ArtifactError, match="damaged"):
        check_digest(path, "train")
    assert waited == []


# -- records protect themselves --------------------------------------------------------------------------------------


@pytest.fixture
def recorded_file(tmp_path) -> Path:
    """A finished file with its record."""
    write_json(tmp_path / "out.json", {"fid": 3})
    Record("train", {"n": 3}, "abc", 7).write(tmp_path / "out.json", route="train", diverged_at=None)
    return tmp_path / "out.json"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"route": "shipped"}, "its digest of itself is another, so it was damaged or edited"),
        ({"diverged_at": 4}, "its digest of itself is another"),
        ({"sha256": 3}, "its field 'sha256' is of type int, not str"),
        ({"of": []}, "its field 'of' is of type list, not dict"),
        ({"seed": "7"}, "its field 'seed' is of type str, not int or NoneType"),
        ({"record_sha256": None}, "its field 'record_sha256' is of type NoneType, not str"),
    ],
)
def test_an_edited_record_is_refused_with_its_file(recorded_file, change, expected):
    about = record_path(recorded_file)
    about.write_text(json.dumps({**json.loads(about.read_text()), **change}))
    for read in (read_record, check_digest, read_json):
        with pytest.raises(ArtifactError, match=rf"record.json: {expected}.*delete out.json and run `hkd train` again"):
            read(recorded_file, "train")


def test_a_record_of_another_file_is_refused(recorded_file):
    other = recorded_file.with_name("other.json")
    other.write_bytes(recorded_file.read_bytes())
    record_path(other).write_bytes(record_path(recorded_file).read_bytes())
    with pytest.raises(ArtifactError, match=r"other.json.record.json: it is the record of 'out.json'"):
        read_json(other, "train")


def test_a_record_of_an_older_version_says_what_to_do(recorded_file):
    about = record_path(recorded_file)
    content = json.loads(about.read_text())
    about.write_text(json.dumps({key: value for key, value in content.items() if key != "record_sha256"}))
    with pytest.raises(
        ArtifactError, match=r"as an older version of hkd wrote it; delete out.json and run `hkd train`"
    ):
        read_json(recorded_file, "train")


@pytest.mark.parametrize("count", COUNTS)
def test_a_damaged_record_is_refused_in_one_line(recorded_file, count):
    good = read_record(recorded_file, "train")

    def read() -> None:
        assert read_record(recorded_file, "train") == good

    assert refused(record_path(recorded_file), read, count, ArtifactError) > count * 3 // 4


def test_a_number_of_many_digits_names_the_file(recorded_file):
    record_path(recorded_file).write_text('{"seed": ' + "9" * 5000 + "}")
    with pytest.raises(ArtifactError, match=r"record.json: a whole number of 5,000 digits; delete out.json and run"):
        read_json(recorded_file, "train")


# -- what is written is finite ---------------------------------------------------------------------------------------


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
