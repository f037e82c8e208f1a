"""States that are written while the training goes on: a copy is taken at once, a thread writes it.

The copy costs the step the time to move the tensors, the writing costs it nothing. Copies go into the same memory every
time, pinned where they come from a GPU.
"""

from __future__ import annotations

import copy
import sys
import threading
from typing import Any

import torch
from torch import Tensor

from hkd.store.refusals import of_memory
from hkd.training.checkpoint import Checkpoints, Progress


class Snapshots:
    """What writes the states of one training, one after the other."""

    def __init__(self, checkpoints: Checkpoints) -> None:
        self._checkpoints = checkpoints
        self._kept: dict[str, Tensor] = {}
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None

    def __enter__(self) -> Snapshots:
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: Any) -> None:
        try:
            self.finish()
        except Exception as lost:
            if kind is None:
                raise
            print(f"the last state could not be written: {lost}", file=sys.stderr)  # and why it ends is told by others

    def save(self, tensors: dict[str, Tensor], progress: Progress) -> None:
        """Copy a state and start to write it, once the one before is written.

        Where memory has no room for a copy, it is written at once, and the step waits.

        Raises:
            ArtifactError: the state before could not be written, or this one.
        """
        self.finish()
        try:
            self._kept = {name: self._copied(name, tensor) for name, tensor in tensors.items()}
        except (MemoryError, RuntimeError) as error:
            if not of_memory(error):
                raise
            self._kept = {}
            print(f"step {progress.step}: no memory for a copy of the state; training waits for it", file=sys.stderr)
            self._checkpoints.save(tensors, progress)
            return
        for device in {tensor.device for tensor in tensors.values() if tensor.is_cuda}:
            torch.cuda.synchronize(device)  # the copies into pinned memory are under way until then
        self._thread = threading.Thread(target=self._write, args=(self._kept, copy.deepcopy(progress)))
        self._thread.start()

    def finish(self) -> None:
        """Wait until what was to be saved is on the disk.

        Raises:
            ArtifactError: it could not be written.
        """
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        if self._error is not None:
            error, self._error = self._error, None
            raise error

    def _write(self, tensors: dict[str, Tensor], progress: Progress) -> None:
        try:
            self._checkpoints.save(tensors, progress)
        except BaseException as error:  # told to the training, which is another thread
            self._error = error

    def _copied(self, name: str, tensor: Tensor) -> Tensor:
        kept = self._kept.get(name)
        if kept is None or kept.shape != tensor.shape or kept.dtype != tensor.dtype:
            kept = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=tensor.is_cuda)
        return kept.copy_(tensor.detach(), non_blocking=tensor.is_cuda)
