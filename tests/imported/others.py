"""Networks of Score SDE's and of guided diffusion's layout, written here from their descriptions.

Modules have the numbers and names that they have there, and forward passes of their own, to hold imported weights
against."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

ROOT = math.sqrt(0.5)


def taps(channels: int) -> Tensor:
    row = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8
    return (row[:, None] * row)[None, None].repeat(channels, 1, 1, 1)


def resampled(x: Tensor, way: str | None, fir: bool) -> Tensor:
    if way is None:
        return x
    if not fir:
        return F.avg_pool2d(x, 2) if way == "down" else F.interpolate(x, scale_factor=2)
    kernel = taps(x.shape[1])
    if way == "down":
        return F.conv2d(x, kernel, stride=2, padding=1, groups=x.shape[1])
    return F.conv_transpose2d(x, 4 * kernel, stride=2, padding=1, groups=x.shape[1])


def norm(channels: int, eps: float) -> nn.GroupNorm:
    return nn.GroupNorm(min(channels // 4, 32), channels, eps=eps)


class SongBlock(nn.Module):
    def __init__(self, cin: int, cout: int, emb: int, way: str | None, fir: bool) -> None:
        super().__init__()
        self.way, self.fir = way, fir
        self.GroupNorm_0, self.Conv_0 = norm(cin, 1e-6), nn.Conv2d(cin, cout, 3, padding=1)
        self.Dense_0 = nn.Linear(emb, cout)
        self.GroupNorm_1, self.Conv_1 = norm(cout, 1e-6), nn.Conv2d(cout, cout, 3, padding=1)
        if way or cin != cout:
            self.Conv_2 = nn.Conv2d(cin, cout, 1)

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:
        h = self.Conv_0(resampled(F.silu(self.GroupNorm_0(x)), self.way, self.fir))
        h = h + self.Dense_0(F.silu(emb))[:, :, None, None]
        h = self.Conv_1(F.silu(self.GroupNorm_1(h)))
        x = resampled(x, self.way, self.fir)
        return ((self.Conv_2(x) if hasattr(self, "Conv_2") else x) + h) * ROOT


class Nin(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.W, self.b = (
            nn.Parameter(torch.randn(channels, channels) / channels**0.5),
            nn.Parameter(torch.randn(channels)),
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.einsum("bihw,io->bohw", x, self.W) + self.b[:, None, None]


class SongAttention(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.GroupNorm_0 = norm(channels, 1e-6)
        self.NIN_0, self.NIN_1, self.NIN_2, self.NIN_3 = (Nin(channels) for _ in range(4))

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:
        h = self.GroupNorm_0(x)
        q, k, v = (part(h).flatten(2) for part in (self.NIN_0, self.NIN_1, self.NIN_2))
        weights = (q.mT @ k / q.shape[1] ** 0.5).softmax(-1)
        return (x + self.NIN_3((v @ weights.mT).reshape(x.shape))) * ROOT


class Frequencies(nn.Module):
    def __init__(self, size: int) -> None:
        super().__init__()
        self.W = nn.Parameter(16 * torch.randn(size), requires_grad=False)


class Pyramid(nn.Module):
    def __init__(self, cin: int, cout: int) -> None:
        super().__init__()
        self.Conv2d_0 = nn.Conv2d(cin, cout, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        return self.Conv2d_0(F.conv2d(F.pad(x, (2, 2, 2, 2)), taps(x.shape[1]), groups=x.shape[1]))


class SongNet(nn.Module):
    """Score SDE's NCSN++ (`fir`: with its pyramid and Fourier features) and DDPM++ (without)."""

    def __init__(
        self, size: int, nf: int, mult: tuple[int, ...], blocks: int, attention: tuple[int, ...], fir: bool
    ) -> None:
        super().__init__()
        self.nf, self.fir, emb = nf, fir, 4 * nf
        self.register_buffer("sigmas", torch.linspace(1, 0.1, 5))
        made: list[nn.Module] = [Frequencies(nf)] if fir else []
        made += [nn.Linear(2 * nf if fir else nf, emb), nn.Linear(emb, emb), nn.Conv2d(3, nf, 3, padding=1)]
        self.plan: list[str] = []
        skips, channels, pyramid = [nf], nf, 3

        def add(kind: str, module: nn.Module) -> None:
            self.plan.append(kind)
            made.append(module)

        for level, factor in enumerate(mult):
            if level:
                add("down", SongBlock(channels, channels, emb, "down", fir))
                if fir:
                    add("pyramid", Pyramid(pyramid, channels))
                    pyramid = channels
                self.plan.append("keep")
                skips.append(channels)
            for _ in range(blocks):
                add("block", SongBlock(channels, nf * factor, emb, None, fir))
                channels = nf * factor
                if size >> level in attention:
                    add("block", SongAttention(channels))
                self.plan.append("keep")
                skips.append(channels)
        for module in (SongBlock(channels, channels, emb, None, fir), SongAttention(channels)):
            add("block", module)
        add("block", SongBlock(channels, channels, emb, None, fir))
        for level, factor in reversed(list(enumerate(mult))):
            for _ in range(blocks + 1):
                add("join", SongBlock(channels + skips.pop(), nf * factor, emb, None, fir))
                channels = nf * factor
            if size >> level in attention:
                add("block", SongAttention(channels))
            if level:
                add("block", SongBlock(channels, channels, emb, "up", fir))
        made += [norm(channels, 1e-6), nn.Conv2d(channels, 3, 3, padding=1)]
        self.all_modules = nn.ModuleList(made)

    def forward(self, x: Tensor, label: Tensor) -> Tensor:
        """Return the output at labels (B,): ln sigma where there are Fourier features, else the time."""
        modules = list(self.all_modules)
        half = self.nf // 2
        angle = (
            label[:, None] * modules.pop(0).W * 2 * math.pi
            if self.fir
            else label[:, None] * torch.exp(-math.log(10000) / (half - 1) * torch.arange(half))
        )
        emb = torch.cat((angle.sin(), angle.cos()), dim=1)
        first, second, stem = modules.pop(0), modules.pop(0), modules.pop(0)
        emb = second(F.silu(first(emb)))
        h, pyramid = stem(x), x
        skips = [h]
        for kind in self.plan:
            if kind == "keep":
                skips.append(h)
                continue
            module = modules.pop(0)
            if kind == "pyramid":
                h = pyramid = (module(pyramid) + h) * ROOT
            else:
                h = module(torch.cat((h, skips.pop()), dim=1) if kind == "join" else h, emb)
        last, out = modules
        return out(F.silu(last(h)))


def checkpoint(averaged: SongNet, last: SongNet) -> dict[str, object]:
    """Return what Score SDE's code saves: last weights by name, and averages as a list of what is trained."""
    names = {name for name, p in averaged.named_parameters() if p.requires_grad}
    shadow = [p.detach().clone() for name, p in averaged.named_parameters() if name in names]
    model = {f"module.{name}": value for name, value in last.state_dict().items()}
    if averaged.fir:  # which nothing trains, so that the last are the averaged ones
        model["module.all_modules.0.W"] = averaged.state_dict()["all_modules.0.W"]
    ema = {"decay": 0.999, "num_updates": 7, "shadow_params": shadow}
    return {"optimizer": {"state": {}, "param_groups": []}, "model": model, "ema": ema, "step": 7}


class AdmBlock(nn.Module):
    def __init__(self, cin: int, cout: int, emb: int, way: str | None = None) -> None:
        super().__init__()
        self.way = way
        self.in_layers = nn.Sequential(norm(cin, 1e-5), nn.SiLU(), nn.Conv2d(cin, cout, 3, padding=1))
        self.emb_layers = nn.Sequential(nn.SiLU(), nn.Linear(emb, 2 * cout))
        out = nn.Conv2d(cout, cout, 3, padding=1)
        self.out_layers = nn.Sequential(norm(cout, 1e-5), nn.SiLU(), nn.Dropout(0.0), out)
        self.skip_connection = nn.Identity() if cin == cout else nn.Conv2d(cin, cout, 1)

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:
        h = self.in_layers[2](resampled(self.in_layers[:2](x), self.way, False))
        scale, shift = self.emb_layers(emb)[:, :, None, None].chunk(2, dim=1)
        h = self.out_layers[1:](self.out_layers[0](h) * (1 + scale) + shift)
        return self.skip_connection(resampled(x, self.way, False)) + h


class AdmAttention(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.heads = channels // 64
        self.norm = norm(channels, 1e-5)
        self.qkv, self.proj_out = nn.Conv2d(channels, 3 * channels, 1), nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:
        batch, channels = x.shape[:2]
        q, k, v = self.qkv(self.norm(x)).reshape(batch, 3, self.heads, channels // self.heads, -1).unbind(1)
        weights = (q.mT @ k / q.shape[2] ** 0.5).softmax(-1)
        return x + self.proj_out((v @ weights.mT).reshape(x.shape))


class AdmNet(nn.Module):
    """The network of Consistency Models' PyTorch code, conditional on a class."""

    def __init__(
        self, size: int, width: int, mult: tuple[int, ...], blocks: int, attention: tuple[int, ...], classes: int
    ):
        super().__init__()
        self.width, emb = width, 4 * width
        self.time_embed = nn.Sequential(nn.Linear(width, emb), nn.SiLU(), nn.Linear(emb, emb))
        self.label_emb = nn.Embedding(classes, emb)
        channels = width * mult[0]
        inputs, skips = [nn.ModuleList([nn.Conv2d(3, channels, 3, padding=1)])], [channels]
        for level, factor in enumerate(mult):
            if level:
                inputs.append(nn.ModuleList([AdmBlock(channels, channels, emb, "down")]))
                skips.append(channels)
            for _ in range(blocks):
                here = [AdmBlock(channels, width * factor, emb)]
                channels = width * factor
                inputs.append(nn.ModuleList([*here, *([AdmAttention(channels)] if size >> level in attention else [])]))
                skips.append(channels)
        middle = [AdmBlock(channels, channels, emb), AdmAttention(channels), AdmBlock(channels, channels, emb)]
        outputs = []
        for level, factor in reversed(list(enumerate(mult))):
            for k in range(blocks + 1):
                here: list[nn.Module] = [AdmBlock(channels + skips.pop(), width * factor, emb)]
                channels = width * factor
                here += [AdmAttention(channels)] if size >> level in attention else []
                here += [AdmBlock(channels, channels, emb, "up")] if level and k == blocks else []
                outputs.append(nn.ModuleList(here))
        self.input_blocks, self.middle_block = nn.ModuleList(inputs), nn.ModuleList(middle)
        self.output_blocks = nn.ModuleList(outputs)
        self.out = nn.Sequential(norm(channels, 1e-5), nn.SiLU(), nn.Conv2d(channels, 3, 3, padding=1))

    def forward(self, x: Tensor, label: Tensor, classes: Tensor) -> Tensor:
        half = self.width // 2
        angle = label[:, None] * torch.exp(-math.log(10000) / half * torch.arange(half))
        emb = self.time_embed(torch.cat((angle.cos(), angle.sin()), dim=1)) + self.label_emb(classes)
        h, skips = self.input_blocks[0][0](x), []
        skips.append(h)
        for group in self.input_blocks[1:]:
            for module in group:
                h = module(h, emb)
            skips.append(h)
        for module in self.middle_block:
            h = module(h, emb)
        for group in self.output_blocks:
            h = torch.cat((h, skips.pop()), dim=1)
            for module in group:
                h = module(h, emb)
        return self.out(h)
