"""States on disk: the newest whole one of these settings is taken, two are kept."""

from __future__ import annotations

import json
from dataclasses import asdict

import pytest
import torch

from hkd.store.artifacts import save_weights
from hkd.store.atomic import sha256
from hkd.store.refusals import ArtifactError
from hkd.store.temporary import unused_name
from hkd.training import checkpoint
from hkd.training.checkpoint import Checkpoints, Progress
from tests.fuzzed import COMPARED, refused


def state(step: int) -> dict[str, torch.Tensor]:
    return {"a": torch.full((50,), float(step)), "n": torch.tensor(step)}


@pytest.fixture
def three(tmp_path):
    """A folder after three saves."""
    kept = Checkpoints(tmp_path, "id")
    for step in (1, 2, 3):
        kept.save(state(step), Progress(step, 10 * step, 0.5 * step))
    return tmp_path


def test_the_newest_state_comes_back_with_its_progress(three):
    tensors, progress = Checkpoints(three, "id").load()
    assert torch.equal(tensors["a"], state(3)["a"]) and tensors["n"].dtype == torch.int64
    assert progress == Progress(3, 30, 1.5)


def test_two_states_are_kept(three):
    assert sorted(p.name for p in three.glob("*.safetensors")) == [f"step{n:09d}.safetensors" for n in (2, 3)]


def test_an_empty_folder_has_no_state(tmp_path):
    assert Checkpoints(tmp_path / "none", "id").load() is None


@pytest.mark.parametrize("how", ["flip", "truncate", "remove", "empty"])
def test_a_damaged_newest_state_is_passed_over_for_the_one_before(three, flip_byte, how):
    newest = three / "step000000003.safetensors"
    if how == "flip":
        flip_byte(newest)
    elif how == "truncate":
        newest.write_bytes(newest.read_bytes()[:100])
    elif how == "remove":
        newest.unlink()
    else:
        newest.write_bytes(b"")
    kept = Checkpoints(three, "id")
    _, progress = kept.load()
    assert progress.step == 2
    assert kept.passed_over == [f"{newest}: damaged"]


def test_when_both_states_are_damaged_none_is_loaded(three, flip_byte):
    for path in three.glob("*.safetensors"):
        flip_byte(path)
    kept = Checkpoints(three, "id")
    assert kept.load() is None
    assert len(kept.passed_over) == 2


def test_states_of_other_settings_are_refused(three):
    kept = Checkpoints(three, "other")
    assert kept.load() is None
    assert all("of other settings (id)" in reason for reason in kept.passed_over)


def test_a_state_that_was_written_but_not_listed_does_not_count(three):
    """Killed between the two renames."""
    listed = (three / "checkpoints.json").read_text()
    Checkpoints(three, "id").save(state(4), Progress(4))
    (three / "checkpoints.json").write_text(listed)
    kept = Checkpoints(three, "id")
    assert kept.load()[1].step == 3
    kept.save(state(4), Progress(4))
    assert kept.load()[1].step == 4


def test_a_state_that_replaces_one_of_the_same_step_and_is_not_listed_is_noticed(three):
    """Killed between the two renames while step 3 was made again with other settings."""
    listed = (three / "checkpoints.json").read_text()
    Checkpoints(three, "other").save({"a": torch.zeros(50)}, Progress(3))
    (three / "checkpoints.json").write_text(listed)
    found = Checkpoints(three, "id").load()
    assert found is None or found[1].step == 2


@pytest.mark.parametrize("text", ["", "[", "{}", '[{"file": "x"}]', "\x00\x01"])
def test_a_damaged_list_means_no_state(three, text):
    (three / "checkpoints.json").write_text(text)
    assert Checkpoints(three, "id").load() is None


def test_a_full_disk_keeps_the_states_that_are_there(three, monkeypatch):
    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("hkd.store.temporary.os.fsync", full)
    with pytest.raises(ArtifactError, match="the disk is full"):
        Checkpoints(three, "id").save(state(4), Progress(4))
    monkeypatch.undo()
    assert Checkpoints(three, "id").load()[1].step == 3
    assert not list(three.glob(".*"))


def test_leftovers_of_a_killed_writer_are_removed(three):
    unused_name(three / "step000000004.safetensors").write_bytes(b"half of a state")
    Checkpoints(three, "id").save(state(5), Progress(5))
    assert not list(three.glob(".*tmp"))


def test_the_list_is_plain_json_and_says_no_more_than_which_states_there_are(three):
    names = [f"step{n:09d}.safetensors" for n in (2, 3)]
    listed = [{"file": name, "sha256": sha256(three / name), "identity": "id"} for name in names]
    assert json.loads((three / "checkpoints.json").read_text()) == listed and len(listed) == checkpoint.KEEP


@pytest.mark.parametrize(
    "change", [{"step": 700}, {"seconds": -1.0}, {"network_evals": 0}, {"codes": ["other"]}, {"teacher_evals": "3"}]
)
def test_how_far_a_state_has_come_is_read_from_the_state_and_not_from_the_list(three, change):
    path = three / "checkpoints.json"
    first, last = json.loads(path.read_text())
    path.write_text(json.dumps([first, {**last, **change}]))
    assert Checkpoints(three, "id").load()[1] == Progress(3, 30, 1.5)


def test_a_list_that_names_files_elsewhere_is_not_followed(three):
    path = three / "checkpoints.json"
    first, last = json.loads(path.read_text())
    outside = three.parent / "step000000009.safetensors"
    outside.write_bytes((three / last["file"]).read_bytes())
    path.write_text(json.dumps([first, {**last, "file": "../step000000009.safetensors"}]))
    assert Checkpoints(three, "id").load()[1].step == 2


def test_a_state_that_counts_no_processor_time_is_gone_on_from_and_its_time_stays_unknown(three):
    """As an older version left it."""
    path = three / "step000000003.safetensors"
    about = {"identity": "id", **asdict(Progress(3, seconds=9.0))}
    save_weights(path, state(3), {name: about[name] for name in about if name != "cpu_seconds"})
    listed = json.loads((three / "checkpoints.json").read_text())
    (three / "checkpoints.json").write_text(json.dumps([listed[0], {**listed[1], "sha256": sha256(path)}]))
    progress = Checkpoints(three, "id").load()[1]
    assert (progress.step, progress.seconds, progress.cpu_seconds) == (3, 9.0, None)


def test_a_state_under_the_entry_of_another_is_passed_over(three):
    path = three / "checkpoints.json"
    first, last = json.loads(path.read_text())
    path.write_text(json.dumps([first, {**last, "identity": "other"}]))
    kept = Checkpoints(three, "other")
    assert kept.load() is None
    assert any("its header is of other settings than its entry" in reason for reason in kept.passed_over)


def test_a_state_of_an_older_version_is_passed_over(three):
    (three / "checkpoints.json").unlink()
    name = "step000000003.safetensors"
    save_weights(three / name, state(3))
    entry = {"file": name, "sha256": sha256(three / name), "identity": "id", "step": 3}
    (three / "checkpoints.json").write_text(json.dumps([entry]))
    kept = Checkpoints(three, "id")
    assert kept.load() is None
    assert kept.passed_over == [f"{three / name}: its field 'identity' is missing"]


@pytest.mark.parametrize(
    ("harm", "reason"),
    [
        ({}, "its field 'nonfinite' is missing"),
        ({"nonfinite": [], "nonfinite_steps": "2"}, "its field 'nonfinite_steps' is of type str, not int"),
        ({"nonfinite": ["2"], "nonfinite_steps": 1}, "its header holds no steps that were not finite"),
        ({"nonfinite": [], "nonfinite_steps": -1}, "its header is of other settings than its entry"),
    ],
)
def test_a_state_that_does_not_say_which_steps_were_not_finite_is_passed_over(three, harm, reason):
    """As an older version left it: to go on from it would report that there were none."""
    path = three / "step000000003.safetensors"
    about = {"identity": "id", **asdict(Progress(3))}
    save_weights(path, state(3), {name: about[name] for name in about if "nonfinite" not in name} | harm)
    listed = json.loads((three / "checkpoints.json").read_text())
    (three / "checkpoints.json").write_text(json.dumps([listed[0], {**listed[1], "sha256": sha256(path)}]))
    kept = Checkpoints(three, "id")
    assert kept.load()[1].step == 2
    assert kept.passed_over == [f"{path}: {reason}"]


@pytest.mark.parametrize("count", COMPARED)
@pytest.mark.parametrize("name", ["checkpoints.json", "step000000003.safetensors"])
def test_damaged_states_and_lists_never_stop_a_training_nor_mislead_it(three, name, count):
    def same(found) -> bool:
        if found is None:
            return True
        tensors, progress = found
        kept = state(progress.step)
        whole = tensors.keys() == kept.keys() and all(torch.equal(tensors[key], kept[key]) for key in kept)
        return whole and progress in (Progress(2, 20, 1.0), Progress(3, 30, 1.5))

    assert refused(three / name, lambda: Checkpoints(three, "id").load(), count, (), same) == 0


def test_a_state_may_hold_what_the_next_step_will_find(tmp_path):
    kept = Checkpoints(tmp_path, "id")
    kept.save({"a": torch.tensor([float("nan")])}, Progress(1))
    assert bool(kept.load()[0]["a"].isnan())
