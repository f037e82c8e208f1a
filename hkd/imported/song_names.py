"""Names of Score SDE's networks under ours: modules are numbered there, in the order in which ours are built.

Rectified flow's are the same. Source: Song et al. (2021), official code, models/ncsnpp.py and models/layerspp.py.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from hkd.imported.mapping import Made, Mapped, block, groups, layer

BLOCK = {
    "norm0": "GroupNorm_0",
    "conv0": "Conv_0",
    "affine": "Dense_0",
    "norm1": "GroupNorm_1",
    "conv1": "Conv_1",
    "skip": "Conv_2",
}


def song_names(expected: Sequence[str]) -> Mapped:
    """Return what our tensors are made of.

    Args:
        expected: names of our bare network's tensors, in the order of its modules.
    """
    found: Mapped = {}
    number = 0
    if "map_noise.freqs" in expected:
        found["map_noise.freqs"] = Made((f"all_modules.{number}.W",))
        number += 1
    for name in ("map_layer0", "map_layer1"):
        found |= layer(name, f"all_modules.{number}")
        number += 1
    for name, parts in groups(expected):
        theirs = f"all_modules.{number}"
        if name.endswith(("_conv", "_aux_norm")):
            found |= layer(name, theirs)
        elif name.endswith("_aux_residual"):
            found |= layer(name, f"{theirs}.Conv2d_0")
        else:
            found |= block(name, theirs, BLOCK, parts)
        number += 1
        if "qkv" in parts:
            found |= _attention(name, f"all_modules.{number}")
            number += 1
    return found


def _attention(name: str, theirs: str) -> Mapped:
    """Return the maps of an attention: theirs are matrices from channels to channels, of q, k, v and the output."""
    kinds = [f"{theirs}.NIN_{k}" for k in range(4)]
    return {
        **layer(f"{name}.norm2", f"{theirs}.GroupNorm_0"),
        f"{name}.qkv.weight": Made(tuple(f"{kind}.W" for kind in kinds[:3]), _woven),
        f"{name}.qkv.bias": Made(tuple(f"{kind}.b" for kind in kinds[:3]), lambda *b: torch.stack(b, dim=1).flatten()),
        f"{name}.proj.weight": Made((f"{kinds[3]}.W",), lambda w: w.mT[..., None, None]),
        f"{name}.proj.bias": Made((f"{kinds[3]}.b",)),
    }


def _woven(*matrices: Tensor) -> Tensor:
    """Return q, k and v of each channel side by side, (3 C, C, 1, 1), of three matrices (C in, C out)."""
    return torch.stack(matrices, dim=2).permute(1, 2, 0).flatten(0, 1)[..., None, None]
