"""DDPM's own U-Net, which predicts the noise in an image at an integer time step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hkd.nets.blocks import attention
from hkd.nets.layers import Conv2d, Init, Linear, PositionalEmbedding, group_norm
from hkd.nets.precision import in_its_precision
from hkd.nets.presets import NetworkConfig

EPS = 1e-6  # of every GroupNorm
INIT = Init()
INIT_ZERO = INIT.gained(1e-5)  # of the last map of every residual branch, and of the output


def from_config(config: NetworkConfig, size: Mapping[str, Any]) -> DDPMUNet:
    """Return the network of preset `ddpm`."""
    return DDPMUNet(**size)


class DDPMUNet(nn.Module):
    """Levels of residual blocks with attention at some resolutions, and a skip from every encoder module.

    Unlike the networks of EDM: strided-convolution downsampling, no rescaled sums, a middle of block, attention,
    block, and skips after downsampling too. With the defaults and 32 pixels it has 35,746,307 parameters.
    The class label, where there is one, is a linear map added to the time embedding (our addition).

    `precision`: type in which convolutions and maps compute; None is that of the weights.

    Source: Ho et al. (2020), Appendix B.
    """

    graphs: ClassVar[tuple[str, ...]] = ("forward",)
    precision: torch.dtype | None = None

    def __init__(
        self,
        img_resolution: int,
        in_channels: int,
        out_channels: int,
        label_dim: int = 0,
        model_channels: int = 128,
        channel_mult: Sequence[int] = (1, 2, 2, 2),
        channel_mult_emb: int = 4,
        num_blocks: int = 2,
        attn_resolutions: Sequence[int] = (16,),
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        depth = len(channel_mult) - 1
        if img_resolution % 2**depth:
            raise ValueError(
                f"channel_mult: {depth + 1} levels need a resolution divisible by {2**depth}, found {img_resolution}"
            )
        self.img_resolution, self.img_channels, self.out_channels = img_resolution, in_channels, out_channels
        self.label_dim = label_dim
        emb_channels = model_channels * channel_mult_emb
        self.map_time = PositionalEmbedding(model_channels, endpoint=True)
        self.map_layer0 = Linear(model_channels, emb_channels, init=INIT)
        self.map_layer1 = Linear(emb_channels, emb_channels, init=INIT)
        self.map_label = Linear(label_dim, emb_channels, init=INIT, bias=False) if label_dim else None

        def block(cin: int, cout: int, res: int) -> Block:
            return Block(cin, cout, emb_channels, dropout=dropout, attention=res in attn_resolutions)

        resolutions = [img_resolution >> level for level in range(depth + 1)]
        widths = [model_channels * mult for mult in channel_mult]
        channels = model_channels
        self.enc = nn.ModuleDict({f"{img_resolution}x{img_resolution}_conv": _conv(in_channels, channels, 3)})
        skips = [channels]
        for res, width in zip(resolutions, widths, strict=True):
            for i in range(num_blocks):
                self.enc[f"{res}x{res}_block{i}"] = block(channels, width, res)
                channels = width
                skips.append(channels)
            if res != resolutions[-1]:
                self.enc[f"{res // 2}x{res // 2}_down"] = Downsample(channels)
                skips.append(channels)
        self.mid0 = Block(channels, channels, emb_channels, dropout=dropout, attention=True)
        self.mid1 = Block(channels, channels, emb_channels, dropout=dropout, attention=False)
        self.dec = nn.ModuleDict()
        for res, width in zip(resolutions[::-1], widths[::-1], strict=True):
            if res != resolutions[-1]:
                self.dec[f"{res}x{res}_up"] = Conv2d(channels, channels, 3, init=INIT, direction="up")
            for i in range(num_blocks + 1):
                self.dec[f"{res}x{res}_block{i}"] = block(channels + skips.pop(), width, res)
                channels = width
        self.out_norm = group_norm(channels, eps=EPS)
        self.out_conv = _conv(channels, out_channels, 3, init=INIT_ZERO)

    @in_its_precision
    def forward(self, x: Tensor, t: Tensor, class_labels: Tensor | None = None) -> Tensor:
        """Return the raw output (B, out_channels, R, R).

        Args:
            x: (B, in_channels, R, R) noisy images.
            t: (B,) or (1,) time step, a number in [0, 1000).
            class_labels: (B, label_dim) one-hot rows; None is the unknown class.
        """
        emb = self.embed(t, class_labels)
        skips: list[Tensor] = []
        for module in self.enc.values():
            x = module(x, emb) if isinstance(module, Block) else module(x)
            skips.append(x)
        x = self.mid1(self.mid0(x, emb), emb)
        for module in self.dec.values():
            x = module(torch.cat((x, skips.pop()), dim=1), emb) if isinstance(module, Block) else module(x)
        return self.out_conv(F.silu(self.out_norm(x)))

    def embed(self, t: Tensor, class_labels: Tensor | None = None) -> Tensor:
        """Return the conditioning vector (B or 1, emb_channels)."""
        # DDPM puts sines before cosines, `PositionalEmbedding` cosines before sines
        cos, sin = self.map_time(t.to(torch.float32)).chunk(2, dim=1)
        emb = self.map_layer1(F.silu(self.map_layer0(torch.cat((sin, cos), dim=1))))
        if self.map_label is not None and class_labels is not None:
            emb = emb + self.map_label(class_labels)
        return F.silu(emb)


class Block(nn.Module):
    """Two convolutions with the time embedding added between them, then self-attention where asked for."""

    def __init__(
        self, in_channels: int, out_channels: int, emb_channels: int, *, dropout: float, attention: bool
    ) -> None:
        super().__init__()
        self.dropout = dropout
        self.norm0 = group_norm(in_channels, eps=EPS)
        self.conv0 = _conv(in_channels, out_channels, 3)
        self.affine = Linear(emb_channels, out_channels, init=INIT)
        self.norm1 = group_norm(out_channels, eps=EPS)
        self.conv1 = _conv(out_channels, out_channels, 3, init=INIT_ZERO)
        self.skip = _conv(in_channels, out_channels, 1) if in_channels != out_channels else None
        self.attention = Attention(out_channels) if attention else None

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:
        h = self.conv0(F.silu(self.norm0(x))) + self.affine(emb)[:, :, None, None]
        h = self.conv1(F.dropout(F.silu(self.norm1(h)), self.dropout, training=self.training))
        x = h + (x if self.skip is None else self.skip(x))
        return x if self.attention is None else self.attention(x)


class Attention(nn.Module):
    """Single-head self-attention over pixels, added to its input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = group_norm(channels, eps=EPS)
        self.q, self.k, self.v = (_conv(channels, channels, 1) for _ in range(3))
        self.proj = _conv(channels, channels, 1, init=INIT_ZERO)

    def forward(self, x: Tensor) -> Tensor:
        h = self.norm(x)
        q, k, v = (part(h).flatten(2).transpose(1, 2) for part in (self.q, self.k, self.v))  # (B, pixels, C)
        h = attention(q, k, v)
        return x + self.proj(h.transpose(1, 2).reshape(x.shape))


class Downsample(nn.Module):
    """A 3x3 convolution of stride 2 over the image padded by one pixel on the right and at the bottom."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = _conv(channels, channels, 3)

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(F.pad(x, (0, 1, 0, 1)), self.conv.weight, self.conv.bias, stride=2)


def _conv(in_channels: int, out_channels: int, kernel: int, *, init: Init = INIT) -> Conv2d:
    return Conv2d(in_channels, out_channels, kernel, init=init)
