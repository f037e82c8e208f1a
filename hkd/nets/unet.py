"""The U-Nets of EDM, in two halves that can be used apart: an encoder of features and a decoder of images.

`SongUNet` is DDPM++ and NCSN++, `DhariwalUNet` is ADM. Names and shapes of parameters and buffers are those of the
published weights; weights are read by name, and their order means nothing.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hkd.nets.blocks import BlockStyle, UNetBlock
from hkd.nets.layers import Conv2d, FourierEmbedding, Init, Linear, PositionalEmbedding, group_norm
from hkd.nets.precision import in_its_precision
from hkd.nets.presets import NetworkConfig

SONG: dict[str, dict[str, Any]] = {
    "ddpmpp": {
        "embedding_type": "positional",
        "encoder_type": "standard",
        "channel_mult_noise": 1,
        "resample_filter": (1, 1),
    },
    "ncsnpp": {
        "embedding_type": "fourier",
        "encoder_type": "residual",
        "channel_mult_noise": 2,
        "resample_filter": (1, 3, 3, 1),
    },
}


def from_config(config: NetworkConfig, size: Mapping[str, Any]) -> SongUNet | DhariwalUNet:
    """Return the network of preset `ddpmpp`, `ncsnpp` or `adm`."""
    further: dict[str, Any] = {"augment_dim": config.augment_dim, "label_dropout": config.label_dropout}
    if config.preset == "adm":
        return DhariwalUNet(**size, **further)
    return SongUNet(**size, **further, **SONG[config.preset], fourier_scale=config.fourier_scale)


class EncoderOutput(NamedTuple):
    """The name and the shape, without batch, of one tensor that the encoder hands to the decoder."""

    name: str
    channels: int
    height: int
    width: int


class UNet(nn.Module, ABC):
    """Base of the two families: encoder and decoder of equal levels, and forward = decode after encode.

    Attributes:
        img_resolution, img_channels: of the images it takes.
        label_dim: length of a one-hot class label; 0 for an unconditional network.
        augment_dim: length of an augmentation label; 0 for none.
        precision: type in which convolutions and maps compute; None is that of the weights.
        graphs: methods that `torch.compile` takes whole.
    """

    graphs: ClassVar[tuple[str, ...]] = ("forward", "encode", "decode")
    precision: torch.dtype | None = None

    def __init__(
        self,
        *,
        img_resolution: int,
        in_channels: int,
        out_channels: int,
        label_dim: int,
        augment_dim: int,
        model_channels: int,
        channel_mult: Sequence[int],
        num_blocks: int,
        attn_resolutions: Sequence[int],
        label_dropout: float,
    ) -> None:
        super().__init__()
        depth = len(channel_mult) - 1
        if img_resolution % 2**depth:
            raise ValueError(
                f"channel_mult: {depth + 1} levels need a resolution divisible by {2**depth}, found {img_resolution}"
            )
        self.img_resolution, self.img_channels, self.out_channels = img_resolution, in_channels, out_channels
        self.label_dim = label_dim
        self.augment_dim = augment_dim
        self.label_dropout = label_dropout
        self.model_channels, self.num_blocks = model_channels, num_blocks
        self.resolutions = [img_resolution >> level for level in range(depth + 1)]
        self.widths = [model_channels * mult for mult in channel_mult]
        self.attn_resolutions = tuple(attn_resolutions)
        self.enc, self.dec = nn.ModuleDict(), nn.ModuleDict()
        self._outputs: list[EncoderOutput] = []

    @in_its_precision
    def forward(
        self, x: Tensor, noise_labels: Tensor, class_labels: Tensor | None = None, augment_labels: Tensor | None = None
    ) -> Tensor:
        """Return the raw output (B, out_channels, R, R).

        Args:
            x: (B, in_channels, R, R), already scaled by the preconditioning.
            noise_labels: (B,) or (1,) transformed noise level.
            class_labels: (B, label_dim) one-hot rows; None or a row of zeros is the unknown class.
            augment_labels: (B, augment_dim); None is no augmentation.
        """
        emb = self.embed(noise_labels, class_labels, augment_labels)
        return self.decode(self.encode(x, emb), emb)

    @abstractmethod
    def embed(
        self, noise_labels: Tensor, class_labels: Tensor | None = None, augment_labels: Tensor | None = None
    ) -> Tensor:
        """Return the conditioning vector (B or 1, emb_channels) that every block receives."""

    @in_its_precision
    def encode(self, x: Tensor, emb: Tensor) -> list[Tensor]:
        """Return every encoder output in order of production; the last one is also the bottleneck."""
        skips: list[Tensor] = []
        for name, block in self.enc.items():
            x = block(x) if name.endswith("_conv") else block(x, emb)
            skips.append(x)
        return skips

    @in_its_precision
    def decode(self, skips: Sequence[Tensor], emb: Tensor, trunk: Tensor | None = None) -> Tensor:
        """Return the raw output from the encoder's outputs, or from others of the same shapes.

        Args:
            skips: as returned by `encode`; left unchanged.
            trunk: what the lowest level starts from; the last skip unless given.
        """
        remaining = list(skips)  # popped from the end: the decoder mirrors the encoder
        x = remaining[-1] if trunk is None else trunk
        for name, block in self.dec.items():
            if name.endswith(("_aux_norm", "_aux_conv")):  # the output layers, which `_head` applies
                continue
            if "_block" in name:
                x = torch.cat((x, remaining.pop()), dim=1)
            x = block(x, emb)
        return self._head(x)

    def encoder_outputs(self) -> list[EncoderOutput]:
        """Return name, channels, height and width of every encoder output, in the order of `encode`."""
        return list(self._outputs)

    @abstractmethod
    def _head(self, x: Tensor) -> Tensor:
        """Return the raw output, given the output of the last block."""

    def _build_encoder(self, stem_channels: int, style: BlockStyle) -> None:
        channels = stem_channels
        for level, (res, width) in enumerate(zip(self.resolutions, self.widths, strict=True)):
            if level == 0:
                stem = Conv2d(self.img_channels, channels, 3, init=style.init)
                self._encoder_module(f"{res}x{res}_conv", stem, channels, res)
            else:
                down = UNetBlock(channels, channels, style, direction="down")
                self._encoder_module(f"{res}x{res}_down", down, channels, res)
                self._build_auxiliary(res, channels, style)
            for i in range(self.num_blocks):
                block = UNetBlock(channels, width, style, attention=res in self.attn_resolutions)
                self._encoder_module(f"{res}x{res}_block{i}", block, width, res)
                channels = width

    def _build_auxiliary(self, res: int, channels: int, style: BlockStyle) -> None:
        """Add the modules that a family has beside a `down` block; none by default."""

    def _encoder_module(self, name: str, module: nn.Module, channels: int, res: int) -> None:
        self.enc[name] = module
        self._outputs.append(EncoderOutput(name, channels, res, res))

    def _build_decoder(self, style: BlockStyle, *, attention_in_last_only: bool) -> None:
        skips = [output.channels for output in self._outputs]
        channels = skips[-1]
        for res, width in zip(self.resolutions[::-1], self.widths[::-1], strict=True):
            if res == self.resolutions[-1]:
                self.dec[f"{res}x{res}_in0"] = UNetBlock(channels, channels, style, attention=True)
                self.dec[f"{res}x{res}_in1"] = UNetBlock(channels, channels, style)
            else:
                self.dec[f"{res}x{res}_up"] = UNetBlock(channels, channels, style, direction="up")
            for i in range(self.num_blocks + 1):
                attention = res in self.attn_resolutions and (i == self.num_blocks or not attention_in_last_only)
                self.dec[f"{res}x{res}_block{i}"] = UNetBlock(channels + skips.pop(), width, style, attention=attention)
                channels = width

    def _labels(self, class_labels: Tensor | None, noise_labels: Tensor) -> Tensor:
        """Return class labels (B or 1, label_dim): zeros where none are given or the label is dropped."""
        if class_labels is None:
            return noise_labels.new_zeros(1, self.label_dim)
        if self.training and self.label_dropout:
            keep = torch.rand(len(class_labels), 1, device=class_labels.device) >= self.label_dropout
            class_labels = class_labels * keep.to(class_labels.dtype)
        return class_labels


class SongUNet(UNet):
    """DDPM++ (positional, standard, 1, [1, 1]) and NCSN++ (fourier, residual, 2, [1, 3, 3, 1]).

    Source: Song et al. (2021), as reimplemented for Karras et al. (2022), Appendix F.2.
    Raises:
        ValueError: for an embedding, encoder or decoder type other than these.
    """

    def __init__(
        self,
        img_resolution: int,
        in_channels: int,
        out_channels: int,
        label_dim: int = 0,
        augment_dim: int = 0,
        model_channels: int = 128,
        channel_mult: Sequence[int] = (1, 2, 2, 2),
        channel_mult_emb: int = 4,
        num_blocks: int = 4,
        attn_resolutions: Sequence[int] = (16,),
        dropout: float = 0.10,
        label_dropout: float = 0,
        embedding_type: str = "positional",
        channel_mult_noise: int = 1,
        encoder_type: str = "standard",
        decoder_type: str = "standard",
        resample_filter: Sequence[int] = (1, 1),
        fourier_scale: float = 16.0,
    ) -> None:
        super().__init__(
            img_resolution=img_resolution,
            in_channels=in_channels,
            out_channels=out_channels,
            label_dim=label_dim,
            augment_dim=augment_dim,
            model_channels=model_channels,
            channel_mult=channel_mult,
            num_blocks=num_blocks,
            attn_resolutions=attn_resolutions,
            label_dropout=label_dropout,
        )
        _require("embedding_type", embedding_type, ("positional", "fourier"))
        _require("encoder_type", encoder_type, ("standard", "residual"))
        _require("decoder_type", decoder_type, ("standard",))
        emb_channels, noise_channels = model_channels * channel_mult_emb, model_channels * channel_mult_noise
        init = Init()
        style = BlockStyle(
            emb_channels=emb_channels,
            dropout=dropout,
            eps=1e-6,
            skip_scale=math.sqrt(0.5),
            adaptive_scale=False,
            project_resampled=True,
            init=init,
            init_zero=init.gained(1e-5),
            init_attn=init.gained(math.sqrt(0.2)),
            taps=tuple(resample_filter),
        )
        self.map_noise: nn.Module = (
            PositionalEmbedding(noise_channels, endpoint=True)
            if embedding_type == "positional"
            else FourierEmbedding(noise_channels, scale=fourier_scale)
        )
        self.map_label = Linear(label_dim, noise_channels, init=init) if label_dim else None
        self.map_augment = Linear(augment_dim, noise_channels, init=init, bias=False) if augment_dim else None
        self.map_layer0 = Linear(noise_channels, emb_channels, init=init)
        self.map_layer1 = Linear(emb_channels, emb_channels, init=init)
        self._auxiliary = in_channels if encoder_type == "residual" else 0  # channels of the image pyramid so far
        self._build_encoder(model_channels, style)
        self._build_decoder(style, attention_in_last_only=True)
        self.dec[f"{img_resolution}x{img_resolution}_aux_norm"] = group_norm(self.widths[0], eps=style.eps)
        self.dec[f"{img_resolution}x{img_resolution}_aux_conv"] = Conv2d(
            self.widths[0], out_channels, 3, init=style.init_zero
        )

    @in_its_precision
    def embed(
        self, noise_labels: Tensor, class_labels: Tensor | None = None, augment_labels: Tensor | None = None
    ) -> Tensor:
        # the published weights expect sines before cosines
        cos, sin = self.map_noise(noise_labels).chunk(2, dim=1)
        emb = torch.cat((sin, cos), dim=1)
        if self.map_label is not None:
            # a one-hot row of n classes has mean square 1 / n, which the root brings to 1
            emb = emb + self.map_label(self._labels(class_labels, emb) * math.sqrt(self.label_dim))
        if self.map_augment is not None and augment_labels is not None:
            emb = emb + self.map_augment(augment_labels)
        return F.silu(self.map_layer1(F.silu(self.map_layer0(emb))))

    @in_its_precision
    def encode(self, x: Tensor, emb: Tensor) -> list[Tensor]:
        auxiliary = x
        skips: list[Tensor] = []
        for name, block in self.enc.items():
            if name.endswith("_aux_residual"):
                # NCSN++'s pyramid: the shrunken input joins the features after each `down` block, whose
                # output it replaces among the skips; sqrt(1/2) keeps the variance of the sum
                x = auxiliary = skips[-1] = (x + block(auxiliary)) * math.sqrt(0.5)
                continue
            x = block(x) if name.endswith("_conv") else block(x, emb)
            skips.append(x)
        return skips

    def _build_auxiliary(self, res: int, channels: int, style: BlockStyle) -> None:
        if self._auxiliary:
            self.enc[f"{res}x{res}_aux_residual"] = Conv2d(
                self._auxiliary, channels, 3, init=style.init, direction="down", taps=style.taps, fused=True
            )
            self._auxiliary = channels

    def _head(self, x: Tensor) -> Tensor:
        prefix = f"{self.img_resolution}x{self.img_resolution}"
        return self.dec[f"{prefix}_aux_conv"](F.silu(self.dec[f"{prefix}_aux_norm"](x)))


class DhariwalUNet(UNet):
    """ADM: blocks that the embedding scales and shifts, and attention at several resolutions.

    Source: Dhariwal & Nichol (2021), as reimplemented for Karras et al. (2022), Appendix F.2.
    """

    def __init__(
        self,
        img_resolution: int,
        in_channels: int,
        out_channels: int,
        label_dim: int = 0,
        augment_dim: int = 0,
        model_channels: int = 192,
        channel_mult: Sequence[int] = (1, 2, 3, 4),
        channel_mult_emb: int = 4,
        num_blocks: int = 3,
        attn_resolutions: Sequence[int] = (32, 16, 8),
        dropout: float = 0.10,
        label_dropout: float = 0,
    ) -> None:
        super().__init__(
            img_resolution=img_resolution,
            in_channels=in_channels,
            out_channels=out_channels,
            label_dim=label_dim,
            augment_dim=augment_dim,
            model_channels=model_channels,
            channel_mult=channel_mult,
            num_blocks=num_blocks,
            attn_resolutions=attn_resolutions,
            label_dropout=label_dropout,
        )
        emb_channels = model_channels * channel_mult_emb
        init = Init("kaiming_uniform", math.sqrt(1 / 3), math.sqrt(1 / 3))
        zero = Init("kaiming_uniform", 0, 0)
        style = BlockStyle(
            emb_channels=emb_channels,
            dropout=dropout,
            eps=1e-5,
            skip_scale=1,
            adaptive_scale=True,
            project_resampled=False,
            init=init,
            init_zero=zero,
            init_attn=init,
            channels_per_head=64,
        )
        self.map_noise = PositionalEmbedding(model_channels, endpoint=False)
        self.map_augment = Linear(augment_dim, model_channels, init=zero, bias=False) if augment_dim else None
        self.map_layer0 = Linear(model_channels, emb_channels, init=init)
        self.map_layer1 = Linear(emb_channels, emb_channels, init=init)
        label_init = Init("kaiming_normal", math.sqrt(label_dim))
        self.map_label = Linear(label_dim, emb_channels, init=label_init, bias=False) if label_dim else None
        self._build_encoder(self.widths[0], style)
        self._build_decoder(style, attention_in_last_only=False)
        self.out_norm = group_norm(self.widths[0], eps=style.eps)
        self.out_conv = Conv2d(self.widths[0], out_channels, 3, init=zero)

    @in_its_precision
    def embed(
        self, noise_labels: Tensor, class_labels: Tensor | None = None, augment_labels: Tensor | None = None
    ) -> Tensor:
        emb = self.map_noise(noise_labels)
        if self.map_augment is not None and augment_labels is not None:
            emb = emb + self.map_augment(augment_labels)
        emb = self.map_layer1(F.silu(self.map_layer0(emb)))
        if self.map_label is not None:
            emb = emb + self.map_label(self._labels(class_labels, emb))
        return F.silu(emb)

    def _head(self, x: Tensor) -> Tensor:
        return self.out_conv(F.silu(self.out_norm(x)))


def _require(key: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ValueError(f"{key}: '{value}' is not known; choose from {', '.join(known)}")
