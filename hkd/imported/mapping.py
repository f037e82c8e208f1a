"""How tensors of others become ours: which of theirs each is made of, and whether all of them have a place."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from hkd.store.bounded import Damaged
from hkd.store.lines import one_line, shortened


def same(tensor: Tensor) -> Tensor:
    """Return a tensor as it is."""
    return tensor


@dataclass(frozen=True)
class Made:
    """What one of our tensors is made of: names of theirs, and how."""

    of: tuple[str, ...]
    make: Callable[..., Tensor] = same


Mapped = dict[str, Made]


def layer(ours: str, theirs: str) -> Mapped:
    """Return the map of a layer's weight and bias."""
    return {f"{ours}.{kind}": Made((f"{theirs}.{kind}",)) for kind in ("weight", "bias")}


def block(ours: str, theirs: str, names: Mapping[str, str], parts: frozenset[str]) -> Mapped:
    """Return the map of a block's layers: `names` are of all that a block may have, `parts` what this one has."""
    found: Mapped = {}
    for part in names.keys() & parts:
        found |= layer(f"{ours}.{part}", f"{theirs}.{names[part]}")
    return found


def groups(names: Sequence[str]) -> list[tuple[str, frozenset[str]]]:
    """Return the modules of encoder and decoder in their order, each with the names of its parts.

    `enc.8x8_block0.conv1.weight` is of the part `conv1` of `enc.8x8_block0`.
    """
    found: dict[str, set[str]] = {}
    for name in names:
        side, _, rest = name.partition(".")
        if side in ("enc", "dec"):
            module, _, part = rest.partition(".")
            found.setdefault(f"{side}.{module}", set()).add(part.partition(".")[0])
    return [(name, frozenset(parts)) for name, parts in found.items()]


def fitted(wanted: Mapping[str, torch.Size], theirs: Mapping[str, Tensor], mapped: Mapped) -> dict[str, Tensor]:
    """Return our tensors, float32, made of theirs one after the other.

    Args:
        wanted: the shapes of our tensors that must come from the file.
        mapped: how each is made.
    Raises:
        Damaged: naming the first of theirs that is missing, has no place or another shape, and how many are so.
    """
    used = {name for made in mapped.values() for name in made.of}
    if missing := sorted(used - theirs.keys()):
        raise Damaged(
            f"lacks {missing[0]!r}{_more(missing)}; it holds {len(theirs):,} tensors, the network {len(wanted):,}"
        )
    if extra := sorted(theirs.keys() - used):
        raise Damaged(f"holds {shortened(extra[0])!r}{_more(extra)}, for which the network has no place")
    if unknown := sorted(wanted.keys() - mapped.keys()):
        raise Damaged(f"says nothing of our {unknown[0]!r}{_more(unknown)}")
    return {
        name: _made(name, shape, [theirs[each] for each in mapped[name].of], mapped[name])
        for name, shape in wanted.items()
    }


def _made(name: str, shape: torch.Size, parts: list[Tensor], made: Made) -> Tensor:
    try:
        tensor = made.make(*parts)
    except (RuntimeError, ValueError, IndexError) as error:
        raise Damaged(
            f"{made.of[0]!r} has shape {tuple(parts[0].shape)}, not one of {name!r} ({one_line(str(error), 80)})"
        ) from None
    if tensor.shape != shape:
        raise Damaged(f"{made.of[0]!r} makes {tuple(tensor.shape)} of {name!r}, the network has {tuple(shape)}")
    if not tensor.is_floating_point() or not bool(tensor.isfinite().all()):
        raise Damaged(f"{made.of[0]!r} holds other than finite numbers")
    return tensor.detach().to(torch.float32).clone().contiguous()


def _more(names: Sequence[str]) -> str:
    return f" and {len(names) - 1:,} more" if len(names) > 1 else ""
