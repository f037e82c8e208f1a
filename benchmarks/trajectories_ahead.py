"""What reading a batch of stored trajectories ahead costs beside copying as many bytes, as a ratio within one process.

    python benchmarks/trajectories_ahead.py [--batch 256] [--rounds 15] [--states 18]

A set in FFHQ-64's format (3 x 64 x 64, float16) is written to a temporary folder, a few batches large, so that the
system keeps it in memory. A batch of random trajectories is then read into the reader's buffer, and as many bytes are
copied from one buffer to another; both alternately, medians compared. On a disk the reader is as slow as the disk.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from hkd.data.ahead import TrajectoriesAhead
from hkd.data.shards import shard_name, write_shard
from hkd.data.trajectories import Trajectories
from hkd.diffusion.schedules import edm_sigmas
from hkd.store.atomic import sha256, write_json


def stored(folder: Path, count: int, states: int) -> Trajectories:
    """Return a finished set of `count` trajectories in two shards."""
    shards, rng = [], np.random.default_rng(0)
    for number in range(2):
        path = folder / shard_name(number)
        write_shard(path, rng.standard_normal((count // 2, states, 3, 64, 64)).astype(np.float16), None)
        shards.append({"file": path.name, "count": count // 2, "sha256": sha256(path)})
    sigmas = edm_sigmas(states - 1, sigma_min=0.002, sigma_max=80.0, rho=7.0).tolist()
    facts = {"sigmas": sigmas, "sigma_data": 0.5, "label_dim": 0, "count": count, "network_evals": 0, "shards": shards}
    write_json(folder / "manifest.json", facts)
    return Trajectories(folder)


def ratio(trajectories: Trajectories, *, batch: int, rounds: int) -> float:
    """Return how many times the time of a plain copy a batch takes to be read."""
    reader, rng = TrajectoriesAhead(trajectories, torch.device("cpu")), np.random.default_rng(1)
    source = np.zeros((batch, *trajectories.shards[0].shape[1:]), np.float16)
    target, read, copied = np.zeros_like(source), [], []
    for _ in range(rounds + 2):
        indices = rng.permutation(len(trajectories))[:batch]
        start = time.perf_counter()
        reader._read(indices, 0)
        middle = time.perf_counter()
        np.copyto(target, source)
        copied.append(time.perf_counter() - middle)
        read.append(middle - start)
    return statistics.median(read[2:]) / statistics.median(copied[2:])


def main() -> None:
    """Print the ratio."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--states", type=int, default=18)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        trajectories = stored(Path(folder), 4 * given.batch, given.states)
        size = given.batch * trajectories.shards[0][0].nbytes / 2**20
        found = ratio(trajectories, batch=given.batch, rounds=given.rounds)
    print(f"a batch of {given.batch} trajectories ({size:.0f} MiB): {found:.2f} times a copy of as many bytes")


if __name__ == "__main__":
    main()
