"""What a training replaces is set aside under the name of what made it, and nothing of it is lost."""

from __future__ import annotations

import os

import pytest
import torch

from hkd.settings.origins import digest
from hkd.store import superseded, temporary
from hkd.store.artifacts import save_weights
from hkd.store.atomic import sha256, write_json
from hkd.store.records import Record
from hkd.store.refusals import ArtifactError
from hkd.store.superseded import keep, set_aside
from hkd.store.temporary import unused_name
from hkd.training.checkpoint import Checkpoints, Progress


@pytest.fixture
def run(tmp_path):
    """A finished run of identity `old`: weights with a record, and the last state of its training."""
    weights = tmp_path / "weights.safetensors"
    save_weights(weights, {"a": torch.arange(3.0)})
    Record("train").write(weights)
    Checkpoints(tmp_path / "checkpoints", "old").save({"a": torch.ones(2)}, Progress(5))
    keep(tmp_path, [weights], "old")
    return tmp_path


def test_a_finished_training_survives_what_deletes_its_outputs(run):
    weights = run / "weights.safetensors"
    content = sha256(weights)
    weights.unlink()  # as Snakemake does before a job runs again
    moved = set_aside(run, "new")
    home = run / "superseded" / digest("old")
    assert moved == [home, home / "checkpoints"]
    assert sha256(home / "weights.safetensors") == content
    assert (home / "weights.safetensors.record.json").exists()
    found = Checkpoints(home / "checkpoints", "old").load()
    assert found is not None and found[1].step == 5
    assert not (run / "finished").exists() and not (run / "checkpoints").exists()


def test_the_same_training_again_finds_its_own_states(run):
    assert set_aside(run, "old") == []
    assert (run / "finished/weights.safetensors").exists() and (run / "checkpoints/checkpoints.json").exists()


@pytest.fixture
def open_ended(tmp_path):
    """A finished run of identity `short`, whose states have a name of their own."""
    weights = tmp_path / "weights.safetensors"
    save_weights(weights, {"a": torch.arange(3.0)})
    Record("train").write(weights)
    Checkpoints(tmp_path / "checkpoints", "free").save({"a": torch.ones(2)}, Progress(5))
    keep(tmp_path, [weights], "short", "free")
    return tmp_path


def test_a_longer_training_finds_the_states_of_a_shorter_one_whose_results_are_set_aside(open_ended):
    home = open_ended / "superseded" / digest("short")
    assert set_aside(open_ended, "long", "free", 9) == [home]
    assert (home / "weights.safetensors").exists()
    assert Checkpoints(open_ended / "checkpoints", "free").load()[1].step == 5


@pytest.mark.parametrize(("states", "most"), [("free", 4), ("bound", 9), ("", None)])
def test_states_of_a_longer_training_or_of_another_are_set_aside_with_its_results(open_ended, states, most):
    home = open_ended / "superseded" / digest("short")
    assert set_aside(open_ended, "other", states, most) == [home, home / "checkpoints"]
    assert Checkpoints(home / "checkpoints", "free").load()[1].step == 5


def test_a_half_finished_training_is_set_aside_alone(tmp_path):
    Checkpoints(tmp_path / "checkpoints", "old").save({"a": torch.ones(2)}, Progress(2))
    assert set_aside(tmp_path, "new") == [tmp_path / "superseded" / digest("old") / "checkpoints"]


def test_what_was_set_aside_before_keeps_its_place(run):
    set_aside(run, "new")
    Checkpoints(run / "checkpoints", "old").save({"a": torch.zeros(2)}, Progress(7))
    (again,) = set_aside(run, "newer")
    assert again.parent.name == digest("old") and again.name == "checkpoints-2"


def test_states_that_cannot_be_read_are_set_aside_too(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints/checkpoints.json").write_text("{")
    (moved,) = set_aside(tmp_path, "new")
    assert (moved / "checkpoints.json").read_text() == "{"


def test_a_second_name_costs_no_space_and_is_a_copy_where_links_are_unknown(run, monkeypatch, tmp_path):
    assert os.stat(run / "weights.safetensors").st_nlink == 2

    def refused(source, target):
        raise OSError("no links here")

    monkeypatch.setattr(superseded.os, "link", refused)
    other = run / "config.yaml"
    other.write_text("a: 1")
    keep(run, [other], "old")
    assert (run / "finished/config.yaml").read_text() == "a: 1" and os.stat(other).st_nlink == 1


def test_a_folder_without_a_training_has_nothing_to_set_aside(tmp_path):
    write_json(tmp_path / "anything.json", {})
    assert set_aside(tmp_path, "new") == []


@pytest.fixture
def layered(run, monkeypatch):
    """A disk that does not rename what lies in the run's folder."""
    real = os.rename

    def rename(source, target):
        if source in (run / "finished", run / "checkpoints"):
            raise OSError(18, "Invalid cross-device link")
        real(source, target)

    monkeypatch.setattr(superseded.os, "rename", rename)


def test_a_disk_that_renames_no_folder_gets_a_copy(run, layered):
    content = sha256(run / "weights.safetensors")
    (run / "finished/deep").mkdir()
    (run / "finished/deep/link").symlink_to("../identity")
    set_aside(run, "new")
    home = run / "superseded" / digest("old")
    assert sha256(home / "weights.safetensors") == content and (home / "checkpoints/checkpoints.json").exists()
    assert os.readlink(home / "deep/link") == "../identity"
    assert not (run / "finished").exists() and not (run / "checkpoints").exists()


def test_a_copy_that_the_disk_has_no_room_for_leaves_all_as_it_was(run, layered, monkeypatch):
    def full(source, target):
        target.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(superseded.shutil, "copy2", full)
    with pytest.raises(ArtifactError, match="the disk is full"):
        set_aside(run, "new")
    assert (run / "finished/weights.safetensors").exists() and not list((run / "superseded").iterdir())


def test_a_copy_that_was_cut_short_by_a_kill_is_removed_by_the_next(run, monkeypatch, dead_process):
    (run / "superseded").mkdir()
    for pid in (dead_process, os.getppid()):
        with monkeypatch.context() as other:
            other.setattr(temporary.os, "getpid", lambda pid=pid: pid)
            left = unused_name(run / "superseded" / digest("old"))
        (left / "deep").mkdir(parents=True)
    set_aside(run, "new")
    (stays,) = (path for path in (run / "superseded").iterdir() if path.name != digest("old"))
    assert stays == left  # its writer lives


@pytest.mark.parametrize(("forgotten", "stays"), [(86400.0, True), (-1.0, False)])
def test_a_copy_of_an_earlier_start_goes_once_it_was_left_alone(run, monkeypatch, forgotten, stays):
    with monkeypatch.context() as before:
        before.setattr(temporary.owner, "session", lambda: "0" * 8)
        left = unused_name(run / "superseded/old")
    left.mkdir(parents=True)
    monkeypatch.setattr(temporary, "FORGOTTEN", forgotten)
    set_aside(run, "new")
    assert left.exists() is stays


def test_a_second_name_replaces_an_earlier_file_and_leaves_nothing_beside_it(run):
    keep(run, [run / "weights.safetensors"], "old")
    keep(run, [run / "weights.safetensors"], "old")
    names = {"weights.safetensors", "weights.safetensors.record.json", "identity"}
    assert {path.name for path in (run / "finished").iterdir()} == names


@pytest.mark.parametrize("content", [b"\xff\xfe", b"", b"x" * 100_000, b"a\nb"])
def test_an_identity_that_is_damaged_is_another_one(run, content):
    (run / "finished/identity").write_bytes(content)
    moved = set_aside(run, "old")
    assert len(moved) == 1 and moved[0].parent == run / "superseded" and (moved[0] / "weights.safetensors").exists()


@pytest.mark.parametrize("content", [b"\xff", b"[" * 99_999, b"{}", b"[3]", b'[{"identity": 3}]'])
def test_a_list_of_states_that_is_damaged_is_set_aside_or_empty(run, content):
    (run / "checkpoints/checkpoints.json").write_bytes(content)
    set_aside(run, "old")
    assert (run / "finished/weights.safetensors").exists()
