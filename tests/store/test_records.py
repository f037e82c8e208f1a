"""Results carry their record, which protects itself, and a reader waits for one that is about to come."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from hkd.store import waiting
from hkd.store.artifacts import read_json
from hkd.store.atomic import sha256, write_bytes, write_json
from hkd.store.records import Record, check_digest, read_record, record_path, recorded_digest, refuse_to_replace
from hkd.store.refusals import ArtifactError
from tests.fuzzed import COMPARED, refused

real_sleep = waiting.time.sleep


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


@pytest.mark.parametrize("count", COMPARED)
def test_a_damaged_record_is_refused_in_one_line(recorded_file, count):
    good = read_record(recorded_file, "train")
    read = lambda: read_record(recorded_file, "train")  # noqa: E731
    found = refused(record_path(recorded_file), read, count, ArtifactError, lambda value: value == good)
    assert found > count * 3 // 4


def test_a_number_of_many_digits_names_the_file(recorded_file):
    record_path(recorded_file).write_text('{"seed": ' + "9" * 5000 + "}")
    with pytest.raises(ArtifactError, match=r"record.json: a whole number of 5,000 digits; delete out.json and run"):
        read_json(recorded_file, "train")


def test_what_has_its_record_may_be_made_again_and_nothing_else_is_replaced(tmp_path):
    mine, theirs = tmp_path / "mine.png", tmp_path / "theirs.json"
    refuse_to_replace(mine, theirs)
    write_bytes(mine, b"ours")
    Record("edit").write(mine)
    refuse_to_replace(mine, theirs)
    mine.write_bytes(b"retouched")
    with pytest.raises(ArtifactError, match=r"mine\.png: is there, and no record says that hkd wrote it so"):
        refuse_to_replace(mine)
    mine.write_bytes(b"ours")
    theirs.write_text("{}")
    with pytest.raises(
        ArtifactError, match=r"theirs\.json: is there, and no record says that hkd wrote it so; name anoth"
    ):
        refuse_to_replace(mine, theirs)
    record_path(theirs).write_bytes(record_path(mine).read_bytes())  # that of another file
    with pytest.raises(ArtifactError, match=r"theirs\.json: is there"):
        refuse_to_replace(theirs)
    theirs.unlink()
    with pytest.raises(ArtifactError, match=r"theirs\.json\.record\.json: is there"):
        refuse_to_replace(theirs)


def test_a_name_that_points_nowhere_is_somebody_elses_too(tmp_path):
    (tmp_path / "link.png").symlink_to("gone.png")
    with pytest.raises(ArtifactError, match=r"link\.png: is there"):
        refuse_to_replace(tmp_path / "link.png")


def test_what_a_command_reads_is_not_what_it_writes_by_whatever_name(tmp_path):
    picture, linked = tmp_path / "a.png", tmp_path / "b.png"
    write_bytes(picture, b"a")
    Record("edit").write(picture)
    linked.symlink_to(picture)
    for given in (picture, linked, tmp_path / "." / "a.png"):
        with pytest.raises(ArtifactError, match=r"a\.png: is read by this command, and would be lost"):
            refuse_to_replace(picture, given=[given])
    refuse_to_replace(picture, given=[tmp_path / "absent.png"])
