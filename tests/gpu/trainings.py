"""Trainings of EDM and HKD, at full size or cut down, without a file: for time, memory and losses on a device."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hkd.data.image_set import ImageBatch, ImageShape, to_unit_range
from hkd.data.kinds import shapes
from hkd.data.toy import GaussianData
from hkd.data.trajectories import TrajectoryBatch, state_scales
from hkd.diffusion.ode import solve
from hkd.diffusion.schedules import edm_sigmas
from hkd.draws import of_step
from hkd.experiment.build import Parts, method
from hkd.methods.base import Method
from hkd.methods.distances import PerceptualDistance
from hkd.nets.compiled import compile_networks
from hkd.nets.precision import narrow
from hkd.plan.runs import Plan
from hkd.seeding import address, stream
from hkd.settings.sections import Run
from hkd.training.ema import Average
from hkd.training.optim import Adaptive

ROOT = Path(__file__).resolve().parents[2]
TINY = {"model_channels": 8, "channel_mult": [1, 2], "num_blocks": 1, "attn_resolutions": [4]}
VGG = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))  # channels, stage by stage


def one_step(built: Method, optims: dict[str, Adaptive], averages: dict[str, Average], batch: Any, step: int) -> Tensor:
    """Make a step as the loop does, but for the facts that it reads, and return the first loss."""
    torch.manual_seed(address(0, "dropout", step))
    losses = built.losses(batch, step=step, draws=of_step("image", 0, step, batch=None, first=0, device=_device(built)))
    for name, loss in losses.items():
        optims[name].zero_grad()
        loss.backward()
        optims[name].step()
        averages[name].update(getattr(built, name), 0.999)
    built.after_step(step + 1)
    return next(iter(losses.values())).detach()


def _device(built: Method) -> torch.device:
    return next(built.parameters()).device


class SeededVGG(nn.Module):
    """A VGG16 with seeded weights in LPIPS's place: its arithmetic and its cost, without its meaning or its file."""

    def __init__(self, width: int) -> None:
        super().__init__()
        channels, stages = 3, []
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(address(0, "vgg"))
            for stage in VGG:
                layers: list[nn.Module] = [nn.MaxPool2d(2)] if stages else []
                for out in stage:
                    layers += [nn.Conv2d(channels, out * width // 64, 3, padding=1), nn.ReLU()]
                    channels = out * width // 64
                stages.append(nn.Sequential(*layers))
        self.stages = nn.ModuleList(stages)

    def maps(self, levels: Tensor) -> list[Tensor]:
        x, found = levels / 127.5 - 1, []
        for stage in self.stages:
            x = stage(x)
            found.append(x)
        return found


@dataclass
class Training:
    """A method with optimisers and averages on a device, and one batch that it sees again and again."""

    built: Method
    optims: dict[str, Adaptive]
    averages: dict[str, Average]
    batches: list[Any]
    step: int = 0

    def go(self, steps: int) -> list[Tensor]:
        """Make some steps and return their losses, still on the device."""
        losses = []
        for _ in range(steps):
            batch = self.batches[self.step % len(self.batches)]
            losses.append(one_step(self.built, self.optims, self.averages, batch, self.step))
            self.step += 1
        return losses


def settings(name: str, *, tiny: bool) -> Run:
    """Return the paper's settings of a method on CIFAR-10, or those with a small network for a CPU."""
    changes: dict[str, Any] = {"set": {"network": TINY}} if tiny else {}
    overrides = {"scale": "paper", "teacher": "train", "extractors": "train", **changes}
    plan = Plan.load(str(ROOT / "configs/benchmarks/embedded.yaml"), overrides, ROOT / "configs")
    return plan.run("cifar10", f"methods/{name}")


def training(
    name: str,
    device: torch.device,
    *,
    batch: int,
    seed: int = 0,
    tiny: bool = False,
    bf16: bool = False,
    compiled: bool = False,
    channels_last: bool = False,
    batches: int = 1,
) -> Training:
    """Return a training of `edm` or `hkd` from fresh weights."""
    run, size = settings(name, tiny=tiny), 8 if tiny else 32
    distance = None
    if run.perceptual:
        network = SeededVGG(4 if tiny else 64)
        distance = PerceptualDistance(network, network.maps, 16 if tiny else run.perceptual_resize)
    built = method(run, ImageShape(size, 3, 0), seed=seed, parts=Parts(distance=distance)).to(device).train()
    if channels_last:
        built.to(memory_format=torch.channels_last)
    if bf16:
        narrow(built)
    if compiled:
        compile_networks(built)
    optims = {n: Adaptive(run.training.optimizer, built.parameter_groups(n)) for n in built.trains}
    averages = {n: Average(getattr(built, n)) for n in built.trains}
    feed = _trajectories if run.feed.startswith("trajectories/") else _images
    return Training(built, optims, averages, [feed(seed, k, batch, size, device) for k in range(batches)])


def _images(seed: int, number: int, count: int, size: int, device: torch.device) -> ImageBatch:
    values = shapes.factors(seed, "train", range(number * count, (number + 1) * count))
    return ImageBatch(to_unit_range(torch.from_numpy(shapes.render(values, size))).to(device), None)


def _trajectories(seed: int, number: int, count: int, size: int, device: torch.device) -> TrajectoryBatch:
    """Return trajectories of a Gaussian with the means of procedural images, solved as a teacher's are."""
    clean = _images(seed, 0, 64, size, torch.device("cpu")).clean.double()
    gaussian = GaussianData(clean.mean(dim=0), clean.var(dim=0) + 1e-3)
    sigmas = edm_sigmas(18, sigma_min=0.002, sigma_max=80.0, rho=7.0)
    noise = torch.randn((count, 3, size, size), generator=stream(seed, "noise", number))
    scales = state_scales(sigmas, 0.5)
    states = solve(gaussian, noise, sigmas, "heun") / scales[None, :, None, None, None]
    rows: list[np.ndarray] = list(states.to(torch.float16).numpy())
    return TrajectoryBatch(rows, sigmas, scales, None, device)
