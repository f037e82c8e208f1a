"""Convolution, linear map, normalisation, resampling and noise-level embedding of the U-Nets.

Parameter names, shapes and buffers are those of the published EDM networks, so that their weights load.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Resampling = Literal["up", "down"]


@dataclass(frozen=True)
class Init:
    """How fresh weights are drawn: a rule that depends on the fans, and a gain for weight and bias.

    Source: the rules and gains of the official EDM code; Glorot and Bengio (2010) and He et al. (2015).
    """

    rule: Literal["xavier_uniform", "kaiming_uniform", "kaiming_normal"] = "xavier_uniform"
    weight: float = 1.0
    bias: float = 0.0

    def gained(self, gain: float) -> Init:
        """Return the same rule with another gain for the weight."""
        return replace(self, weight=gain)

    def draw(self, shape: Sequence[int], *, fan_in: int, fan_out: int) -> Tensor:
        """Return a draw of `shape` before any gain, from torch's global generator."""
        if self.rule == "xavier_uniform":
            return (torch.rand(*shape) * 2 - 1) * math.sqrt(6 / (fan_in + fan_out))
        if self.rule == "kaiming_uniform":
            return (torch.rand(*shape) * 2 - 1) * math.sqrt(3 / fan_in)
        return torch.randn(*shape) * math.sqrt(1 / fan_in)


class Linear(nn.Module):
    """x W^T + b, drawn by an `Init`."""

    def __init__(self, in_features: int, out_features: int, *, init: Init, bias: bool = True) -> None:
        super().__init__()
        self.in_features, self.out_features = in_features, out_features
        fans = {"fan_in": in_features, "fan_out": out_features}
        self.weight = nn.Parameter(init.draw((out_features, in_features), **fans) * init.weight)
        self.bias = nn.Parameter(init.draw((out_features,), **fans) * init.bias) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight, self.bias)


class Resample(nn.Module):
    """Doubles or halves the resolution with a small separable low-pass filter.

    The filter is a constant, but a buffer: the published state dicts hold it.
    """

    resample_filter: Tensor

    def __init__(self, direction: Resampling | None, taps: Sequence[int] = (1, 1)) -> None:
        super().__init__()
        if direction is not None and (len(taps) % 2 or list(taps) != list(taps)[::-1]):
            raise ValueError(f"resample_filter: expected an even, symmetric list of taps, found {list(taps)}")
        self.direction, self.margin = direction, (len(taps) - 1) // 2
        if direction is not None:
            line = torch.tensor(list(taps), dtype=torch.float32)
            self.register_buffer("resample_filter", (line.outer(line) / line.sum() ** 2)[None, None])

    def resample(self, x: Tensor) -> Tensor:
        """Return x (B, C, H, W) at the other resolution."""
        return self._up(x) if self.direction == "up" else self._down(x, self.margin)

    forward = resample

    @property
    def is_box(self) -> bool:
        """Whether the filter is [1, 1]: nearest-neighbour doubling, and the mean of 2x2 pixels."""
        return self.direction is not None and self.resample_filter.shape[-1] == 2

    def _up(self, x: Tensor) -> Tensor:
        if self.is_box:
            return F.interpolate(x, scale_factor=2, mode="nearest")
        # each input pixel is spread over 2 x 2 outputs: times 4, so that the mean stays the same
        kernel = (self.resample_filter * 4).repeat(x.shape[1], 1, 1, 1)
        return F.conv_transpose2d(x, kernel, groups=x.shape[1], stride=2, padding=self.margin)

    def _down(self, x: Tensor, padding: int) -> Tensor:
        if self.is_box:
            return F.avg_pool2d(x, 2)
        kernel = self.resample_filter.repeat(x.shape[1], 1, 1, 1)
        return F.conv2d(x, kernel, groups=x.shape[1], stride=2, padding=padding)


class Conv2d(Resample):
    """An odd square convolution, after resampling if there is any.

    With `fused` (and `down`) the convolution comes first and the filter needs no padding of its own, as in the
    auxiliary residuals of NCSN++.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int,
        *,
        init: Init,
        direction: Resampling | None = None,
        taps: Sequence[int] = (1, 1),
        fused: bool = False,
    ) -> None:
        super().__init__(direction, taps)
        self.in_channels, self.out_channels, self.padding = in_channels, out_channels, kernel // 2
        self.fused = fused
        fans = {"fan_in": in_channels * kernel**2, "fan_out": out_channels * kernel**2}
        self.weight = nn.Parameter(init.draw((out_channels, in_channels, kernel, kernel), **fans) * init.weight)
        self.bias = nn.Parameter(init.draw((out_channels,), **fans) * init.bias)

    def forward(self, x: Tensor) -> Tensor:
        if self.direction is None:
            return self._convolve(x, self.padding)
        if self.fused:
            return self._down(self._convolve(x, self.padding + self.margin), padding=0)
        if self.direction == "up" and self.is_box:
            return self._convolve_doubled(x)
        return self._convolve(self.resample(x), self.padding)

    def _convolve_doubled(self, x: Tensor) -> Tensor:
        """Return the convolution of the copied pixels without copying them, in less than half the work.

        The box and the kernel are one transposed convolution of stride 2, whose kernel is the mirrored one summed
        over 2x2 windows.
        """
        # four times a mean, not a pool with a divisor of one: exporters to ONNX lose the divisor without a word
        kernel = 4 * F.avg_pool2d(F.pad(self.weight.flip(2, 3), (1, 1, 1, 1)), 2, stride=1)
        return F.conv_transpose2d(x, kernel.transpose(0, 1), self.bias, stride=2, padding=self.padding)

    def _convolve(self, x: Tensor, padding: int) -> Tensor:
        return F.conv2d(x, self.weight, self.bias, padding=padding)


def group_norm(channels: int, *, eps: float) -> nn.GroupNorm:
    """Return a GroupNorm of at most 32 groups with at least 4 channels each.

    Raises:
        ValueError: if that many groups do not divide the channels.
    """
    groups = min(32, channels // 4)
    if groups == 0 or channels % groups:
        raise ValueError(
            f"model_channels: {channels} channels cannot be normalised in groups; use a multiple of 4, or of 32"
        )
    return nn.GroupNorm(groups, channels, eps=eps)


class PositionalEmbedding(nn.Module):
    """Cosines, then sines, of a number at geometrically spaced frequencies from 1 down to about 1/10000."""

    def __init__(self, channels: int, *, endpoint: bool) -> None:
        super().__init__()
        self.count, self.last = channels // 2, channels // 2 - (1 if endpoint else 0)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, channels) for x of shape (B,)."""
        k = torch.arange(self.count, dtype=torch.float32, device=x.device)
        angle = x.outer((k / self.last * -math.log(10000)).exp().to(x.dtype))
        return torch.cat((angle.cos(), angle.sin()), dim=1)


class FourierEmbedding(nn.Module):
    """Cosines, then sines, of a number at fixed random frequencies drawn from N(0, scale^2)."""

    freqs: Tensor

    def __init__(self, channels: int, *, scale: float) -> None:
        super().__init__()
        self.register_buffer("freqs", torch.randn(channels // 2) * scale)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, channels) for x of shape (B,)."""
        angle = x.outer((2 * math.pi * self.freqs).to(x.dtype))
        return torch.cat((angle.cos(), angle.sin()), dim=1)
