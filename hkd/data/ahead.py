"""Trajectories that no device holds whole: read ahead of the training by a thread, in the order of the file.

While a batch is being trained on, the next one is read into memory that a GPU can be fed from, one of two buffers in
turn. Rows are read in ascending order, so that a disk is read forwards, and handed out in the order asked for.
"""

from __future__ import annotations

import os
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from hkd.data.trajectories import Trajectories, TrajectoryBatch
from hkd.store.refusals import ArtifactError


class TrajectoriesAhead:
    """Batches of a set, read in advance where somebody says which will be wanted next."""

    def __init__(self, stored: Trajectories, device: torch.device) -> None:
        self._stored, self._device, folder = stored, device, stored.folder
        self._buffers: list[Tensor | None] = [None, None]
        self._free: list[torch.cuda.Event | None] = [None, None]  # when the copy out of a buffer is over
        self._turn = 0
        self._files = [open(folder / shard["file"], "rb", buffering=0) for shard in stored.manifest["shards"]]  # noqa: SIM115
        self._reader = ThreadPoolExecutor(1, "trajectories")
        self._next: tuple[bytes, int, Future[Tensor]] | None = None

    def expect(self, indices: np.ndarray) -> None:
        """Start to read the trajectories that the next call of `batch` will ask for."""
        if self._next is None:
            turn, self._turn = self._turn, 1 - self._turn
            self._next = (indices.tobytes(), turn, self._reader.submit(self._read, indices, turn))

    def batch(self, indices: np.ndarray) -> TrajectoryBatch:
        """Return the trajectories at `indices`, in that order: those expected, or read now."""
        self.expect(indices)
        assert self._next is not None
        known, turn, future = self._next
        self._next = None
        rows = future.result()
        if known != indices.tobytes():  # something else was expected: what was read is of no use
            return self.batch(indices)
        states = rows.to(self._device, non_blocking=True)
        if self._device.type == "cuda":
            self._free[turn] = torch.cuda.Event()
            self._free[turn].record(torch.cuda.current_stream(self._device))  # type: ignore[union-attr]
        elif states.data_ptr() == rows.data_ptr():
            states = states.clone()  # the buffer will be written over
        return self._stored.batch_of(states, indices, self._device)

    def _read(self, indices: np.ndarray, turn: int) -> Tensor:
        """Return the stored states of trajectories, in one of the two buffers."""
        if (copied := self._free[turn]) is not None:
            copied.synchronize()
        buffer, shape = self._buffers[turn], (len(indices), *self._stored.shape)
        if buffer is None or len(buffer) < len(indices):
            buffer = torch.empty(shape, dtype=torch.float16, pin_memory=self._device.type == "cuda")
            self._buffers[turn] = buffer
        rows = buffer[: len(indices)]
        target = rows.numpy()
        for position in np.argsort(indices, kind="stable"):
            self._read_row(int(indices[position]), target[position])
        return rows

    def _read_row(self, index: int, target: np.ndarray) -> None:
        """Read one trajectory: straight from the file, as a mapped page costs as much as the bytes in it."""
        shard, within = self._stored.place(index)
        array = self._stored.shards[shard]
        if self._stored.noise is not None:
            target[:1] = self._stored.noise.rows([index])
            target = target[1:]
        if not (isinstance(array, np.memmap) and array.flags.c_contiguous):
            target[...] = array[within]
            return
        view, done = target.data.cast("B"), 0
        while done < len(view):
            got = os.preadv(self._files[shard].fileno(), [view[done:]], int(array.offset) + within * len(view) + done)
            if not got:
                raise ArtifactError(f"{array.filename}: ends early; delete it and run `hkd trajectories` again")
            done += got
