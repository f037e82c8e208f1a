"""The residual block, with optional resampling and self-attention, of the DDPM++, NCSN++ and ADM networks."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.nn import functional as F

from hkd.nets.layers import Conv2d, Init, Linear, Resample, Resampling, group_norm


@dataclass(frozen=True)
class BlockStyle:
    """Settings that all blocks of one family of U-Nets share."""

    emb_channels: int
    dropout: float
    eps: float  # of every GroupNorm
    skip_scale: float  # both branches of every residual sum are multiplied by it
    adaptive_scale: bool  # the embedding scales and shifts, or only shifts
    project_resampled: bool  # whether a skip that only changes resolution still has a 1x1 convolution
    init: Init
    init_zero: Init  # of the last convolution of a residual branch
    init_attn: Init
    taps: tuple[int, ...] = (1, 1)
    channels_per_head: int | None = None  # None: a single head


class UNetBlock(nn.Module):
    """Two convolutions with the noise-level embedding between them, then self-attention where asked for.

    Source: the blocks of Song et al. (2021) and Dhariwal & Nichol (2021), as unified by Karras et al. (2022).
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        style: BlockStyle,
        *,
        direction: Resampling | None = None,
        attention: bool = False,
    ) -> None:
        super().__init__()
        self.style = style
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.norm0 = group_norm(in_channels, eps=style.eps)
        self.conv0 = Conv2d(in_channels, out_channels, 3, init=style.init, direction=direction, taps=style.taps)
        self.affine = Linear(style.emb_channels, out_channels * (1 + style.adaptive_scale), init=style.init)
        self.norm1 = group_norm(out_channels, eps=style.eps)
        self.conv1 = Conv2d(out_channels, out_channels, 3, init=style.init_zero)
        self.skip: nn.Module | None = None
        if in_channels != out_channels or (direction is not None and style.project_resampled):
            self.skip = Conv2d(in_channels, out_channels, 1, init=style.init, direction=direction, taps=style.taps)
        elif direction is not None:
            self.skip = Resample(direction, style.taps)
        self.norm2: nn.GroupNorm | None = None
        if attention:
            self.heads = out_channels // style.channels_per_head if style.channels_per_head else 1
            self.norm2 = group_norm(out_channels, eps=style.eps)
            self.qkv = Conv2d(out_channels, 3 * out_channels, 1, init=style.init_attn)
            self.proj = Conv2d(out_channels, out_channels, 1, init=style.init_zero)

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:
        """Return the features (B, out_channels, H', W') for x (B, in_channels, H, W) and emb (B or 1, emb_channels)."""
        h = self._modulated(self.conv0(F.silu(self.norm0(x))), self.affine(emb)[:, :, None, None])
        h = self.conv1(F.dropout(F.silu(h), self.style.dropout, training=self.training))
        x = self._joined(x if self.skip is None else self.skip(x), h)
        if self.norm2 is None:
            return x
        return self._joined(x, self.proj(attend(self.qkv(self.norm2(x)), self.heads)))

    def _modulated(self, h: Tensor, affine: Tensor) -> Tensor:
        if not self.style.adaptive_scale:
            return self.norm1(h + affine)
        scale, shift = affine.chunk(2, dim=1)
        # the scale is learned as a difference from 1, so that an embedding of 0 leaves the normalised h as it is
        return torch.addcmul(shift, self.norm1(h), scale + 1)

    def _joined(self, x: Tensor, branch: Tensor) -> Tensor:
        total = x + branch
        return total if self.style.skip_scale == 1 else total * self.style.skip_scale


def attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Return softmax(q k^T / sqrt(d)) v, by a fused kernel unless derivatives are taken forward: it has none."""
    if q.device.type != "cpu":  # fused kernels read rows that lie together; on a CPU this would only round differently
        q, k, v = q.contiguous(), k.contiguous(), v.contiguous()
    if torch.compiler.is_compiling() or forward_ad._current_level < 0:
        return F.scaled_dot_product_attention(q, k, v)
    weights = (q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])).softmax(dim=-1)
    return weights @ v


def attend(qkv: Tensor, heads: int) -> Tensor:
    """Return softmax(q k^T / sqrt(d)) v over all pixels, (B, C, H, W), softmax in float32.

    Args:
        qkv: (B, 3C, H, W); within a head, channel 3c + j is component c of the query, key or value (j = 0, 1, 2).
        heads: how many groups the channels are split into.
    """
    batch, channels, height, width = qkv.shape
    # the published weights interleave the three: channel 3c + j, not all queries before all keys
    parts = qkv.reshape(batch, heads, channels // (3 * heads), 3, height * width)
    q, k, v = parts.permute(3, 0, 1, 4, 2)  # each (B, heads, pixels, C / heads)
    out = attention(q, k, v)
    return out.transpose(2, 3).reshape(batch, channels // 3, height, width)
