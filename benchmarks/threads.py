"""Two cores: two jobs side by side with one thread each, or one after the other with two threads each?

    python benchmarks/threads.py [--steps 30]

Trains the embedded EDM network on random images (the speed does not depend on what they show) and prints the wall
time of two such trainings both ways, and their ratio. Rounds alternate, medians are printed.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time

JOB = """
import torch
from hkd.draws import StreamDraws
from hkd.nets.assemble import build
from hkd.nets.presets import NetworkConfig
from hkd.methods.multistep.edm import EDM
from hkd.data.image_set import ImageBatch
network = NetworkConfig(preset="ddpmpp", precond="edm", model_channels=16, channel_mult=(1, 2, 2), num_blocks=1,
                        attn_resolutions=(4,), dropout=0.0)
edm = EDM(student=build(network, resolution=16, channels=3, label_dim=0), p_mean=-1.2, p_std=1.2, sigma_data=0.5,
          sigma_min=0.002, sigma_max=80.0, rho=7.0, augment=0.0)
optimizer = torch.optim.Adam(edm.parameters(), lr=1e-3)
batch = ImageBatch(torch.randn(64, 3, 16, 16).clamp(-1, 1), None)
for step in range({steps}):
    loss = edm.losses(batch, step=step, draws=StreamDraws(torch.Generator().manual_seed(step)))["student"]
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
"""


def seconds(threads: int, together: bool, steps: int) -> float:
    """Return the wall time of two trainings, each with this many threads, together or one after the other."""
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
    command = [sys.executable, "-c", JOB.format(steps=steps)]
    start = time.monotonic()
    if together:
        for job in [subprocess.Popen(command, env=environment) for _ in range(2)]:
            job.wait()
    else:
        for _ in range(2):
            subprocess.run(command, env=environment, check=True)
    return time.monotonic() - start


def main() -> None:
    """Alternate both ways and print medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    pairs = [(seconds(1, True, arguments.steps), seconds(2, False, arguments.steps)) for _ in range(arguments.rounds)]
    side_by_side, in_turn = (statistics.median(column) for column in zip(*pairs, strict=True))
    print(f"two jobs side by side, 1 thread each: {side_by_side:.1f} s")
    print(f"two jobs in turn, 2 threads each:     {in_turn:.1f} s")
    print(f"ratio: {in_turn / side_by_side:.2f}")


if __name__ == "__main__":
    main()
