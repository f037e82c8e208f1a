"""Names of ADM's networks, as guided diffusion and Consistency Models have them, under ours.

Source: Dhariwal and Nichol (2021) and Song et al. (2023), official codes, unet.py.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from hkd.imported.mapping import Made, Mapped, block, groups, layer

BLOCK = {
    "norm0": "in_layers.0",
    "conv0": "in_layers.2",
    "affine": "emb_layers.1",
    "norm1": "out_layers.0",
    "conv1": "out_layers.3",
    "skip": "skip_connection",
}


def adm_names(expected: Sequence[str]) -> Mapped:
    """Return what our tensors are made of.

    Args:
        expected: names of our bare network's tensors, in the order of its modules.
    """
    found = {**layer("map_layer0", "time_embed.0"), **layer("map_layer1", "time_embed.2")}
    found |= {**layer("out_norm", "out.0"), **layer("out_conv", "out.2")}
    if "map_label.weight" in expected:  # a table of classes, which ours multiplies by one-hot rows
        found["map_label.weight"] = Made(("label_emb.weight",), lambda table: table.mT)
    inputs, outputs, last = 0, -1, 0
    for name, parts in groups(expected):
        if name.startswith("enc."):
            theirs, first = f"input_blocks.{inputs}", 0
            inputs += 1
        elif name.endswith(("_in0", "_in1")):  # the middle is block, attention, block
            theirs, first = "middle_block", 2 * name.endswith("_in1")
        else:
            if not name.endswith("_up"):  # which ends the module of the block before it
                outputs, last = outputs + 1, 0
            theirs, first = f"output_blocks.{outputs}", last
        found |= _module(name, parts, theirs, first)
        last = first + 1 + ("qkv" in parts)
    return {name: made for name, made in found.items() if name in expected}  # a skip that only resamples has no map


def _module(name: str, parts: frozenset[str], theirs: str, first: int) -> Mapped:
    if name.endswith("_conv"):
        return layer(name, f"{theirs}.{first}")
    found = block(name, f"{theirs}.{first}", BLOCK, parts)
    if "qkv" in parts:
        attention = f"{theirs}.{first + 1}"
        found |= layer(f"{name}.norm2", f"{attention}.norm")
        found |= {f"{name}.qkv.{kind}": Made((f"{attention}.qkv.{kind}",), _woven) for kind in ("weight", "bias")}
        found[f"{name}.proj.weight"] = Made((f"{attention}.proj_out.weight",), _square)
        found[f"{name}.proj.bias"] = Made((f"{attention}.proj_out.bias",))
    return found


def _woven(stacked: Tensor) -> Tensor:
    """Return q, k and v of each channel side by side, of all q, all k and all v one after the other.

    So the attention of Consistency Models has them; ours splits the channels into heads as theirs does.
    """
    thirds = stacked.unflatten(0, (3, -1)).transpose(0, 1).flatten(0, 1)
    return thirds if stacked.dim() == 1 else thirds.flatten(1)[..., None, None]


def _square(weight: Tensor) -> Tensor:
    return weight.flatten(1)[..., None, None]
