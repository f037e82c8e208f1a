"""What is measured on a GPU, as functions of a device and of sizes, so that a CPU runs each of them at a tiny size."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from hkd.diffusion.device_noise import DeviceStreams
from hkd.diffusion.ode import solve
from hkd.diffusion.schedules import edm_sigmas
from hkd.nets.precond import EDMPrecond
from tests.nets.test_unet import GOLDEN, fill

TYPES = {"fp32": torch.float32, "tf32": torch.float32, "bf16": torch.bfloat16}


def wait(device: torch.device) -> None:
    """Return when the device has done all that it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def seconds(work: Callable[[], object], device: torch.device, *, rounds: int, warm: int = 3) -> float:
    """Return the median time of a piece of work."""
    for _ in range(warm):
        work()
    found = []
    for _ in range(rounds):
        wait(device)
        start = time.perf_counter()
        work()
        wait(device)
        found.append(time.perf_counter() - start)
    return statistics.median(found)


def product_tflops(device: torch.device, precision: str, *, size: int, rounds: int) -> float:
    """Return the TFLOP/s of a product of two square matrices: what shares of a peak are counted against."""
    a = torch.ones(size, size, dtype=TYPES[precision], device=device)
    return 2 * size**3 / seconds(lambda: a @ a, device, rounds=rounds) / 1e12


def convolution_tflops(
    device: torch.device, precision: str, *, batch: int, width: int, size: int, rounds: int
) -> float:
    """Return the TFLOP/s of a 3x3 convolution between `width` channels: most of what the networks do."""
    x = torch.ones(batch, width, size, size, dtype=TYPES[precision], device=device)
    kernel = torch.ones(width, width, 3, 3, dtype=TYPES[precision], device=device)
    flops = 2 * 9 * batch * width**2 * size**2
    return flops / seconds(lambda: F.conv2d(x, kernel, padding=1), device, rounds=rounds) / 1e12


def distance_to_published(device: torch.device, name: str) -> float:
    """Return the largest difference between a network of EDM in float32 and numbers of the published one."""
    build, of_raw, of_denoised = GOLDEN[name]
    net = fill(EDMPrecond(build())).to(device)
    size = net.img_resolution
    flat = torch.arange(2 * 3 * size**2, dtype=torch.float64)
    u = torch.sin(0.013 * flat).float().reshape(2, 3, size, size).to(device)
    sigma = torch.tensor([0.5, 10.0], device=device)
    labels = torch.eye(10, device=device)[[3, 7]] if net.label_dim else None
    with torch.inference_mode():
        raw = net.model(u, sigma.log() / 4, labels)
        denoised = net(u * sigma[:, None, None, None], sigma, labels)
    found = torch.stack([raw.mean(), raw.std(), *raw[0, 0, 0, :4], raw[1, 2, -1, -1], raw[0, 1, 5, 7]])
    other = torch.stack([denoised.mean(), denoised.std(), denoised[1, 2, -1, -1], denoised[0, 0, 0, 0]])
    expected = torch.tensor([*of_raw, *of_denoised])
    return float((torch.cat((found, other)).cpu() - expected).abs().max())


def drawn_apart(device: torch.device) -> float:
    """Return the largest difference between numbers that the device draws and the same ones of the host."""
    there, here = (DeviceStreams(7, [0, 3, 2**33], where).randn((3, 64, 64)) for where in (device, torch.device("cpu")))
    return float((there.cpu() - here).abs().max())


def trajectories_apart(net: torch.nn.Module, noise: Tensor, switch: Callable[[bool], object], *, steps: int) -> float:
    """Return how far Heun's images with TF32 are from those without, root mean square in units of theirs.

    Args:
        net: a denoiser, on the device of the noise.
        switch: turns TF32 on or off.
    """
    sigmas, found = edm_sigmas(steps, sigma_min=0.002, sigma_max=80.0, rho=7.0), []
    for on in (False, True):
        switch(on)
        found.append(solve(lambda x, sigma: net(x, sigma), noise, sigmas, "heun")[:, -1])
    switch(False)
    return float((found[1] - found[0]).square().mean().sqrt() / found[0].square().mean().sqrt())


def busy_share(spans: Sequence[tuple[float, float]], whole: float) -> float:
    """Return the share of a time in which at least one span lies, each (start, end) in the unit of the whole."""
    covered, reached = 0.0, float("-inf")
    for start, end in sorted(spans):
        covered += max(end - max(start, reached), 0.0)
        reached = max(reached, end)
    return covered / whole


def within_the_seeds_band(narrow: Sequence[float], exact: Sequence[Sequence[float]], last: int) -> tuple[bool, str]:
    """Return whether the last losses in bfloat16 are as near to those in float32 as those of seeds to one another.

    Args:
        narrow: losses of a training in bfloat16. exact: of trainings in float32, one per seed.
    """
    ends = [statistics.fmean(losses[-last:]) for losses in exact]
    noise = max(statistics.stdev(losses[-last:]) / last**0.5 for losses in exact)
    width = max(ends) - min(ends) + 4 * noise  # of few seeds the spread alone may be small by chance
    end = statistics.fmean(narrow[-last:])
    said = f"{end:.5g} in bfloat16, {min(ends):.5g} to {max(ends):.5g} in float32, band {width:.3g}"
    return min(ends) - width <= end <= max(ends) + width, said
