"""What the evolution of latents costs, as ratios within one process.

    python benchmarks/koopman_operator.py [--rounds 9] [--without-networks]

One thread, CPU time, all variants alternated, medians; z is 64 x 128 x 32 x 32 in float32 (33.5 MB). glibc returns
blocks over 32 MB to the system and faults every page in again, which costs more than what is measured here, so the
script restarts itself with MALLOC_MMAP_THRESHOLD_ and MALLOC_TRIM_THRESHOLD_ set; jobs that evolve large latents on a
CPU should do the same. Compiled variants let the compiler contract a multiplication and an addition into one
instruction (cpp.enable_floating_point_contract_flag = fast).
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
import weakref
from collections.abc import Callable
from typing import Any

ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "MALLOC_MMAP_THRESHOLD_": "4000000000",
    "MALLOC_TRIM_THRESHOLD_": "8000000000",
}
if __name__ == "__main__" and any(os.environ.get(key) != value for key, value in ENVIRONMENT.items()):
    os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **ENVIRONMENT})

import torch  # noqa: E402
from torch import Tensor  # noqa: E402
from torch.utils._python_dispatch import TorchDispatchMode  # noqa: E402
from torch.utils._pytree import tree_leaves  # noqa: E402

from hkd.koopman.choices import KoopmanSettings  # noqa: E402
from hkd.koopman.evolution import evolve  # noqa: E402
from hkd.koopman.fast_evolution import evolve_fast  # noqa: E402
from hkd.koopman.hierarchy import HKDNet  # noqa: E402
from hkd.nets.precond import EDMPrecond  # noqa: E402
from hkd.nets.unet import SongUNet  # noqa: E402

BATCH, CHANNELS, SIZE = 64, 128, 32
EXPONENTIAL_IMAGES = 2  # the general matrix exponential is timed on these, and scaled up
COMPILED = {"cpp.enable_floating_point_contract_flag": "fast"}
Timed = Callable[[], Any]


def medians(variants: dict[str, Timed], rounds: int) -> dict[str, float]:
    """Return the median CPU seconds of every variant, all run once per round after one round of warming up."""
    spent: dict[str, list[float]] = {name: [] for name in variants}
    for round_ in range(rounds + 1):
        for name, run in variants.items():
            start = time.process_time()
            run()
            if round_:
                spent[name].append(time.process_time() - start)
    return {name: statistics.median(times) for name, times in spent.items()}


class PeakMemory(TorchDispatchMode):
    """Counts the bytes of all tensors that are made while it is active, and keeps the largest total."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._seen: dict[int, weakref.ref[Any]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        before = {x.untyped_storage()._cdata for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)}
        out = func(*args, **(kwargs or {}))
        for x in tree_leaves(out):
            if isinstance(x, Tensor) and (storage := x.untyped_storage())._cdata not in before | set(self._seen):
                self._add(storage)
        return out

    def _add(self, storage: torch.UntypedStorage) -> None:
        key, size = storage._cdata, storage.nbytes()

        def gone(_: Any) -> None:
            self.now -= size
            self._seen.pop(key, None)

        self._seen[key] = weakref.ref(storage, gone)
        self.now += size
        self.peak = max(self.peak, self.now)


def peak_bytes(run: Timed) -> int:
    """Return the largest number of bytes that `run` held at once beside its inputs."""
    with PeakMemory() as memory:
        run()
    return memory.peak


def stack_reshape(z: Tensor, alpha: Tensor, beta: Tensor, dt: Tensor) -> Tensor:
    """The closed form as rotation matrices on stacked pairs: how one writes it first."""
    dt = dt.reshape(-1, 1, 1, 1)
    growth, angle = torch.exp(alpha * dt), beta * dt
    cos, sin = growth * torch.cos(angle), growth * torch.sin(angle)
    u, v = z.reshape(len(z), 2, -1, *z.shape[2:]).unbind(1)
    rotation = torch.stack((torch.stack((cos, -sin), -1), torch.stack((sin, cos), -1)), -2)
    out = (rotation * torch.stack((u, v), -1)[..., None, :]).sum(-1)
    return torch.stack(out.unbind(-1), 1).reshape(z.shape)


def matrix_exponential(z: Tensor, alpha: Tensor, beta: Tensor, dt: Tensor) -> Tensor:
    """The same by a general exponential of every 2x2 block."""
    generator = torch.stack((alpha, -beta, beta, alpha), -1).unflatten(-1, (2, 2))
    pairs = torch.stack(z.chunk(2, 1), -1)[..., None]
    out = torch.linalg.matrix_exp(generator * dt.reshape(-1, 1, 1, 1, 1, 1)) @ pairs
    return torch.cat(out[..., 0].unbind(-1), 1)


def operator_rows(rounds: int) -> list[tuple[str, float, str, float]]:
    """Return (what, ratio, sense, target) for one level."""
    torch.manual_seed(0)
    z, g = torch.randn(2, BATCH, CHANNELS, SIZE, SIZE)
    alpha, beta = 0.3 * torch.randn(2, CHANNELS // 2, SIZE, SIZE)
    shared, own = torch.tensor(-0.7), -torch.rand(BATCH)
    compiled = torch.compile(evolve_fast, options=COMPILED, dynamic=False)
    leaves = [x.clone().requires_grad_() for x in (z, alpha, beta)]

    def both(path: Callable[..., Tensor], dt: Tensor) -> Timed:
        return lambda: torch.autograd.grad(path(*leaves, dt), leaves, g)

    few = slice(0, EXPONENTIAL_IMAGES)
    seconds = medians(
        {
            "copy": lambda: z.clone(),
            "copy and add": lambda: (z.clone(), z + g),
            "shared": lambda: evolve_fast(z, alpha, beta, shared),
            "shared, adjacent": lambda: evolve_fast(z, alpha, beta, shared, "adjacent"),
            "shared, compiled": lambda: compiled(z, alpha, beta, shared),
            "shared, plain": lambda: evolve(z, alpha, beta, shared),
            "shared, both": both(evolve_fast, shared),
            "shared, both, compiled": both(compiled, shared),
            "own": lambda: evolve_fast(z, alpha, beta, own),
            "own, compiled": lambda: compiled(z, alpha, beta, own),
            "own, both": both(evolve_fast, own),
            "own, both, compiled": both(compiled, own),
            "own, stack": lambda: stack_reshape(z, alpha, beta, own),
            "own, exponential": lambda: matrix_exponential(z[few], alpha, beta, own[few]),
        },
        rounds,
    )
    exponential = seconds["own, exponential"] * BATCH / EXPONENTIAL_IMAGES
    copy, add, bytes_ = seconds["copy"], seconds["copy and add"], z.numel() * z.element_size()
    print(f"plain copy: {copy * 1e3:.2f} ms, {2 * bytes_ / copy / 1e9:.1f} GB/s read and written\n")
    return [
        ("forward, shared dt / copy", seconds["shared"] / copy, "<=", 2.6),
        ("forward, shared dt, adjacent pairs / copy", seconds["shared, adjacent"] / copy, "", 0),
        ("forward, shared dt, compiled / copy", seconds["shared, compiled"] / copy, "<=", 1.6),
        ("forward, shared dt, formula as written / copy", seconds["shared, plain"] / copy, "", 0),
        ("forward + backward, shared dt / copy + add", seconds["shared, both"] / add, "<=", 4.0),
        ("forward + backward, shared dt, compiled / copy + add", seconds["shared, both, compiled"] / add, "<=", 3.3),
        ("forward, dt per image / copy", seconds["own"] / copy, "", 0),
        ("forward, dt per image, compiled / copy", seconds["own, compiled"] / copy, "<=", 2.2),
        ("forward + backward, dt per image / copy + add", seconds["own, both"] / add, "", 0),
        ("forward + backward, dt per image, compiled / copy + add", seconds["own, both, compiled"] / add, "", 0),
        ("stack and reshape / dt per image", seconds["own, stack"] / seconds["own"], ">=", 2.3),
        ("stack and reshape / dt per image, compiled", seconds["own, stack"] / seconds["own, compiled"], ">=", 2.3),
        ("2x2 matrix_exp / dt per image", exponential / seconds["own"], ">=", 15),
        ("peak memory / z, forward", peak_bytes(lambda: evolve_fast(z, alpha, beta, shared)) / bytes_, "<=", 2.6),
        (
            "peak memory / z, forward, dt per image",
            peak_bytes(lambda: evolve_fast(z, alpha, beta, own)) / bytes_,
            "<=",
            2.6,
        ),
        ("peak memory / z, forward + backward, dt per image", peak_bytes(both(evolve_fast, own)) / bytes_, "<=", 2.6),
    ]


def network_rows(
    name: str, target: float, batch: int, rounds: int, compile_too: bool, **network: Any
) -> list[tuple[str, float, str, float]]:
    """Return the share of all levels' evolution, without the network, in one pass of the plain U-Net, in per cent."""
    torch.manual_seed(0)
    unet = SongUNet(in_channels=3, out_channels=3, dropout=0.0, **network)
    net = HKDNet(EDMPrecond(unet), KoopmanSettings(sigma_min=0.002, sigma_max=80.0, time_map="rho"))
    x = torch.randn(batch, 3, unet.img_resolution, unet.img_resolution)
    with torch.no_grad():
        latents = net.encode(x, 80.0)
    for z in latents:
        z.requires_grad_()
    gradients = [torch.ones_like(z) for z in latents]
    weights, rates = list(unet.parameters()), list(net.koopman_parameters())

    def forward(run: Callable[[], Any]) -> Timed:
        return torch.no_grad()(run)

    def both(flow: Callable[..., list[Tensor]]) -> Timed:
        return lambda: torch.autograd.grad(flow(latents, 80.0, 0.002), [*latents, *rates], gradients)

    variants = {
        "unet": forward(lambda: net.net(x, 80.0)),
        "evolution": forward(lambda: net.evolve(latents, 80.0, 0.002)),
        "unet both": lambda: torch.autograd.grad(net.net(x, 80.0).sum(), weights),
        "evolution both": both(net.evolve),
    }
    if compile_too:
        compiled = torch.compile(net.evolve, options=COMPILED, dynamic=False)
        variants["evolution compiled"] = forward(lambda: compiled(latents, 80.0, 0.002))
        variants["evolution compiled both"] = both(compiled)
    seconds = medians(variants, rounds)
    rows = []
    for variant in [variant for variant in variants if variant.startswith("evolution")]:
        direction, unet_pass = ("forward + backward", "unet both") if variant.endswith("both") else ("forward", "unet")
        what = f"{variant.removesuffix(' both')} / U-Net, {name}, {direction}, %"
        rows.append((what, 100 * seconds[variant] / seconds[unet_pass], "<=", target))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9, help="timed rounds, of which the median counts")
    parser.add_argument("--without-networks", action="store_true", help="time one level only")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    show(operator_rows(arguments.rounds))
    if not arguments.without_networks:
        small = {"model_channels": 16, "channel_mult": (1, 2, 2), "num_blocks": 1, "attn_resolutions": (4,)}
        show(network_rows("0.3M, 16 px", 1.5, 64, 3 * arguments.rounds, True, img_resolution=16, **small))
        show(network_rows("56M, 32 px", 0.6, 8, 3, False, img_resolution=32, channel_mult=(2, 2, 2)))


def show(rows: list[tuple[str, float, str, float]]) -> None:
    """Print the rows of one section, and which of them miss their target."""
    for what, ratio, sense, target in rows:
        holds = {"<=": ratio <= target, ">=": ratio >= target, "": True}[sense]
        wanted = f"{sense} {target:g}" if sense else ""
        print(f"{what:<62}{ratio:>8.2f}  {wanted:>8}  {'' if holds else 'misses'}".rstrip(), flush=True)


if __name__ == "__main__":
    main()
