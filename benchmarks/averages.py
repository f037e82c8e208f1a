"""What the average of weights costs beside the plain loop of the sources, as a ratio within one process.

    python benchmarks/averages.py [--rounds 15] [--device cpu]

The loop is EDM's: `for p_ema, p in zip(...): p_ema.copy_(p.detach().lerp(p_ema, beta))`. Both are timed alternately on
the parameters of DDPM++ at CIFAR-10's size, one thread on a CPU, and their medians are compared.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import nn

from hkd.nets.assemble import build
from hkd.nets.presets import NetworkConfig
from hkd.training.ema import Average

DDPMPP = NetworkConfig(
    "ddpmpp", "edm", model_channels=128, channel_mult=(2, 2, 2), num_blocks=4, attn_resolutions=(16,), dropout=0.13
)


def plain_loop(averaged: list[torch.Tensor], network: nn.Module, beta: float) -> None:
    """Move the averages as the official code of EDM does, one tensor at a time."""
    with torch.no_grad():
        for average, value in zip(averaged, network.parameters(), strict=True):
            average.copy_(value.detach().lerp(average, beta))


def ratio(network: nn.Module, *, rounds: int, device: torch.device) -> float:
    """Return how many times the loop's time is that of `Average.update`."""
    ours, theirs = Average(network), [p.detach().clone() for p in network.parameters()]
    loop, once = [], []
    for _ in range(rounds + 2):
        loop.append(_seconds(lambda: plain_loop(theirs, network, 0.999), device))
        once.append(_seconds(lambda: ours.update(network, 0.999), device))
    return statistics.median(loop[2:]) / statistics.median(once[2:])


def _seconds(work: Callable[[], None], device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    start = time.process_time() if device.type == "cpu" else time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return (time.process_time() if device.type == "cpu" else time.perf_counter()) - start


def main() -> None:
    """Print the ratio."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--device", default="cpu")
    given = parser.parse_args()
    device = torch.device(given.device)
    torch.set_num_threads(1)
    network = build(DDPMPP, resolution=32, channels=3, label_dim=0).to(device)
    count = sum(p.numel() for p in network.parameters())
    found = ratio(network, rounds=given.rounds, device=device)
    print(f"{count / 1e6:.1f} million parameters on {device}: the source's loop takes {found:.2f} times as long")


if __name__ == "__main__":
    main()
