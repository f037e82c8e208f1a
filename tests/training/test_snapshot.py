"""States that a thread writes: copies of their moment, one after the other, and errors that are told."""

from __future__ import annotations

import threading

import pytest
import torch

from hkd.store.refusals import ArtifactError
from hkd.training.checkpoint import Checkpoints, Progress
from hkd.training.snapshot import Snapshots


class Slow(Checkpoints):
    """Checkpoints that are written when they are let."""

    def __init__(self, folder) -> None:
        super().__init__(folder, "x")
        self.let, self.threads = threading.Event(), []

    def save(self, tensors, progress):
        assert self.let.wait(20)
        self.threads.append(threading.current_thread())
        super().save(tensors, progress)


def test_a_state_is_that_of_its_moment_whatever_becomes_of_the_weights(tmp_path):
    slow, weights, progress = Slow(tmp_path), torch.ones(3), Progress(step=4, codes=["a"])
    with Snapshots(slow) as snapshots:
        snapshots.save({"w": weights}, progress)
        weights.fill_(7)
        progress.step = 5
        progress.codes.append("b")
        slow.let.set()
    tensors, found = Checkpoints(tmp_path, "x").load()
    assert torch.equal(tensors["w"], torch.ones(3)) and (found.step, found.codes) == (4, ["a"])
    assert slow.threads[0] is not threading.main_thread()


def test_states_are_written_in_order_and_the_last_before_the_end(tmp_path):
    checkpoints = Checkpoints(tmp_path, "x")
    with Snapshots(checkpoints) as snapshots:
        for step in range(1, 6):
            snapshots.save({"w": torch.full((2,), float(step))}, Progress(step=step))
    tensors, found = checkpoints.load()
    assert found.step == 5 and tensors["w"].tolist() == [5.0, 5.0]
    assert len(list(tmp_path.glob("step*.safetensors"))) == 2


def test_a_state_that_changes_its_shape_is_copied_anew(tmp_path):
    """Optimisers have no moments before their first step."""
    checkpoints = Checkpoints(tmp_path, "x")
    with Snapshots(checkpoints) as snapshots:
        snapshots.save({"w": torch.zeros(2)}, Progress(step=1))
        snapshots.save({"w": torch.ones(3, dtype=torch.float64), "m": torch.ones(1)}, Progress(step=2))
    tensors, _ = checkpoints.load()
    assert tensors["w"].dtype == torch.float64 and tensors["w"].shape == (3,) and "m" in tensors


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA out of memory"), MemoryError()])
def test_a_state_for_whose_copy_there_is_no_memory_is_written_at_once(tmp_path, monkeypatch, capsys, error):
    def full(self, name, tensor):
        raise error

    monkeypatch.setattr(Snapshots, "_copied", full)
    with Snapshots(Checkpoints(tmp_path, "x")) as snapshots:
        snapshots.save({"w": torch.ones(2)}, Progress(step=3))
        assert Checkpoints(tmp_path, "x").load()[1].step == 3
    assert capsys.readouterr().err == "step 3: no memory for a copy of the state; training waits for it\n"


def test_what_could_not_be_written_is_told_and_not_swallowed(tmp_path):
    (tmp_path / "file").write_text("")
    snapshots = Snapshots(Checkpoints(tmp_path / "file" / "folder", "x"))
    snapshots.save({"w": torch.zeros(2)}, Progress(step=1))
    with pytest.raises((ArtifactError, OSError)):
        snapshots.finish()
    snapshots.finish()  # once
