"""Finished and superseded trainings are listed with what they cost, and one is put back without losing another."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from hkd.settings.origins import digest
from hkd.store.artifacts import load_weights, save_weights
from hkd.store.atomic import sha256
from hkd.store.history import current, hours_in_words, past, restore, trainings
from hkd.store.paths import Layout
from hkd.store.records import Record
from hkd.store.refusals import ArtifactError
from hkd.store.superseded import keep, set_aside
from hkd.training.checkpoint import Checkpoints, Progress


def train(run: Path, identity: str, value: float, hours: float = 2.0, device: str = "cuda") -> None:
    """Leave what a training leaves: weights with a record, its last state, and second names."""
    set_aside(run, identity)
    weights = run / "weights.safetensors"
    save_weights(weights, {"a": torch.tensor([value])})
    Record("train", device=device).write(weights, budget={"steps": 5, "train_seconds": 3600 * hours})
    Checkpoints(run / "checkpoints", identity).save({"a": torch.tensor([value])}, Progress(5, seconds=3600 * hours))
    keep(run, [weights], identity)


@pytest.fixture
def run(tmp_path):
    folder = Path(Layout(str(tmp_path / "my [1] results")).run("shapes8", "methods/edm", 0))
    train(folder, "old-1", 1.0)
    train(folder, "new-1", 2.0, 0.5, "cpu")
    return folder


def test_what_was_superseded_is_listed_with_steps_and_hours(run):
    layout = Layout(str(run.parents[3]))
    (old,) = trainings(layout, superseded=True)
    (new,) = trainings(layout, superseded=False)
    assert (old.name, old.steps, old.hours, old.gpu, old.finished) == (digest("old-1"), 5, 2.0, True, True)
    assert (new.name, new.identity, new.hours, new.gpu) == ("", "new-1", 0.5, False)
    assert f"{digest('old-1')}  20" in old.line() and old.line().endswith("5 steps  2.00 GPU-hours  finished")
    assert hours_in_words([old, new, old]) == "4.00 GPU-hours, 0.50 CPU-hours" and hours_in_words([]) == "0 hours"


def test_a_restored_training_is_in_place_with_its_states_and_the_other_is_set_aside(run):
    restore(run, digest("old-1"))
    assert load_weights(run / "weights.safetensors")["a"].item() == 1.0
    there = current(run)
    assert there is not None and there.identity == "old-1"
    assert Checkpoints(run / "checkpoints", "old-1").load() is not None
    (other,) = past(run)
    assert other.identity == "new-1" and other.finished
    restore(run, other.name)
    assert load_weights(run / "weights.safetensors")["a"].item() == 2.0
    assert Checkpoints(run / "checkpoints", "new-1").load() is not None
    assert [found.identity for found in past(run)] == ["old-1"]


def test_a_shorter_and_a_longer_training_of_the_same_states_are_restored_each_with_its_own(tmp_path):
    def left(steps: int) -> None:
        set_aside(tmp_path, f"of {steps}", "free", steps)
        weights = tmp_path / "weights.safetensors"
        save_weights(weights, {"a": torch.tensor([float(steps)])})
        Record("train").write(weights, budget={"steps": steps, "train_seconds": 1.0})
        Checkpoints(tmp_path / "checkpoints", "free").save({"a": torch.tensor([float(steps)])}, Progress(steps))
        keep(tmp_path, [weights], f"of {steps}", "free")

    def in_place() -> tuple[float, float]:
        state, _ = Checkpoints(tmp_path / "checkpoints", "free").load()
        assert not (tmp_path / "states").exists()
        return load_weights(tmp_path / "weights.safetensors")["a"].item(), state["a"].item()

    left(5), left(9), left(3)
    assert in_place() == (3.0, 3.0) and {found.steps for found in past(tmp_path)} == {5, 9}
    restore(tmp_path, digest("of 9"))
    assert in_place() == (9.0, 9.0)
    restore(tmp_path, digest("of 5"))  # which the one of 9 went on from, so that its states are among those of 9
    assert in_place() == (5.0, 9.0)
    restore(tmp_path, digest("of 3"))
    assert in_place() == (3.0, 3.0)
    assert {found.steps for found in past(tmp_path) if found.finished} == {5, 9}


def test_states_of_a_training_that_was_not_finished_go_back_too(tmp_path):
    Checkpoints(tmp_path / "checkpoints", "half-1").save({"a": torch.ones(1)}, Progress(3, seconds=1800.0))
    set_aside(tmp_path, "new-1")
    (half,) = past(tmp_path)
    assert (half.finished, half.steps, half.hours) == (False, 3, 0.5)
    restore(tmp_path, half.name)
    found = Checkpoints(tmp_path / "checkpoints", "half-1").load()
    assert found is not None and found[1].step == 3 and past(tmp_path) == []


def test_weights_that_are_kept_nowhere_else_are_not_overwritten(run):
    save_weights(run / "weights.safetensors", {"a": torch.tensor([7.0])})  # by hand
    before = sha256(run / "weights.safetensors")
    with pytest.raises(ArtifactError, match=r"weights.safetensors: kept nowhere else.*move it away first"):
        restore(run, digest("old-1"))
    assert sha256(run / "weights.safetensors") == before and len(past(run)) == 1


@pytest.mark.parametrize("name", ["nothing", "", "..", "../superseded", "a/b"])
def test_a_name_that_means_nothing_is_refused_with_those_that_are_there(run, name):
    with pytest.raises(ArtifactError, match=f"there are: {digest('old-1')}"):
        restore(run, name)


def test_what_is_in_place_already_is_not_restored(run):
    train(run, "old-1", 1.0)
    with pytest.raises(ArtifactError, match="made by the same settings"):
        restore(run, digest("old-1"))


def test_a_damaged_record_costs_the_listing_its_numbers_only(run):
    (run / "superseded" / digest("old-1") / "weights.safetensors.record.json").write_text("{")
    (found,) = past(run)
    assert found.finished and found.identity == "old-1" and found.steps == 5  # its states say it too
