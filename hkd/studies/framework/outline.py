"""Shapes and numbers of parameters of an HKD network's blocks and operators, for tables and the diagram."""

from __future__ import annotations

from typing import NamedTuple

from torch import nn

from hkd.koopman.hierarchy import HKDNet


class LevelOutline(NamedTuple):
    """One latent: the encoder block that makes it, its operator, and the decoder block that takes it.

    `operator` names the operator, None for a latent that passes unchanged; its parameters are counted at the first
    latent that it moves.
    """

    name: str
    shape: tuple[int, ...]
    encoder_parameters: int
    operator: str | None
    operator_parameters: int
    decoder: str
    decoder_parameters: int


class Outline(NamedTuple):
    """A network: its levels from the finest to the bottleneck, and all other parts by name."""

    levels: list[LevelOutline]
    decoder_others: dict[str, int]
    encoder_parameters: int
    operator_parameters: int
    decoder_parameters: int
    embedding_parameters: int
    total: int


def outline(net: HKDNet) -> Outline:
    """Return the outline of a network; decoder blocks read latents in the reverse order of their production."""
    model = net.net.model
    encoder, decoder = dict(model.enc.items()), dict(model.dec.items())  # type: ignore[union-attr, operator]
    readers = [name for name in decoder if "_block" in name]
    latents = net.latent_names[: len(readers)]
    if len(readers) != len(latents):
        raise ValueError(f"the decoder reads {len(readers)} latents, the encoder makes {len(latents)}")
    counted: set[str] = set()
    levels = []
    for number, (name, reader) in enumerate(zip(latents, reversed(readers), strict=True)):
        level = net.level_name(number)
        fresh = level is not None and level not in counted
        counted |= {level} if level else set()
        levels.append(
            LevelOutline(
                name,
                net.latent_shape(number),
                size(encoder[name]),
                level,
                size(net.koopman[level]) if fresh and level else 0,
                reader,
                size(decoder[reader]),
            )
        )
    total, operators = size(net), size(net.koopman)
    whole_encoder, whole_decoder = (sum(size(block) for block in part.values()) for part in (encoder, decoder))
    others = {name: size(block) for name, block in decoder.items() if name not in readers}
    rest = total - operators - whole_encoder - whole_decoder
    return Outline(levels, others, whole_encoder, operators, whole_decoder, rest, total)


def size(module: nn.Module) -> int:
    """Return the number of parameters of a module."""
    return sum(parameter.numel() for parameter in module.parameters())
