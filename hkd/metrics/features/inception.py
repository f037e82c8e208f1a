"""Inception-v3 of 2015-12-05 as FID uses it, rebuilt for speed without torchvision.

The network is that of every published FID: average pools ignore their padding, the last block pools by maximum. Only
the order of the arithmetic differs, which changes features by about 1e-6 relative:

- batch normalisation is folded into the convolutions, in float64;
- the 1x1 convolution behind an average pool goes before it: both are linear, so they commute, and fewer channels are
  pooled;
- tensors are channels-last, and weights are packed once in the layout of the CPU's kernels, which also apply the ReLU;
- a batch is walked in small pieces that stay in cache.

Source: Szegedy et al. (2016); layer names as in the published PyTorch port of the TensorFlow weights.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hkd.metrics.features.extract import FunctionExtractor, state_digest
from hkd.metrics.features.inputs import MetricError
from hkd.nets.folding import folded as folded_convolution
from hkd.settings.sections import PublishedExtractor
from hkd.store.published import WEIGHTS, verified

LAYERS = {"pool3": 2048, "logits_unbiased": 1008, "spatial": 2023}
SPATIAL_CHANNELS = 7  # of the 1x1 branch of Mixed_6d, 17 x 17 each: the layer of sFID (Nash et al., 2021)
PIECE = 4  # images per walk through the network; larger pieces fall out of cache (measured: 2 to 8 within 5 %)

# name: (input channels, output channels, kernel, stride, padding) of every convolution outside the mixed blocks
STEM = {
    "Conv2d_1a_3x3": (3, 32, (3, 3), 2, (0, 0)),
    "Conv2d_2a_3x3": (32, 32, (3, 3), 1, (0, 0)),
    "Conv2d_2b_3x3": (32, 64, (3, 3), 1, (1, 1)),
    "Conv2d_3b_1x1": (64, 80, (1, 1), 1, (0, 0)),
    "Conv2d_4a_3x3": (80, 192, (3, 3), 1, (0, 0)),
}
PACKING = torch.backends.mkldnn.is_available() and hasattr(torch._C._nn, "mkldnn_reorder_conv2d_weight")
Layer = tuple[int, int, tuple[int, int], int, tuple[int, int]]


def _same(inputs: int, outputs: int, height: int, width: int | None = None) -> Layer:
    """Return a convolution that keeps the resolution."""
    width = height if width is None else width
    return inputs, outputs, (height, width), 1, (height // 2, width // 2)


def _halve(inputs: int, outputs: int) -> Layer:
    """Return a convolution that halves the resolution."""
    return inputs, outputs, (3, 3), 2, (0, 0)


def _block_a(inputs: int, pool: int) -> dict[str, Layer]:
    return {
        "branch1x1": _same(inputs, 64, 1),
        "branch5x5_1": _same(inputs, 48, 1),
        "branch5x5_2": _same(48, 64, 5),
        "branch3x3dbl_1": _same(inputs, 64, 1),
        "branch3x3dbl_2": _same(64, 96, 3),
        "branch3x3dbl_3": _same(96, 96, 3),
        "branch_pool": _same(inputs, pool, 1),
    }


def _block_b(inputs: int) -> dict[str, Layer]:
    return {
        "branch3x3": _halve(inputs, 384),
        "branch3x3dbl_1": _same(inputs, 64, 1),
        "branch3x3dbl_2": _same(64, 96, 3),
        "branch3x3dbl_3": _halve(96, 96),
    }


def _block_c(inputs: int, c7: int) -> dict[str, Layer]:
    return {
        "branch1x1": _same(inputs, 192, 1),
        "branch7x7_1": _same(inputs, c7, 1),
        "branch7x7_2": _same(c7, c7, 1, 7),
        "branch7x7_3": _same(c7, 192, 7, 1),
        "branch7x7dbl_1": _same(inputs, c7, 1),
        "branch7x7dbl_2": _same(c7, c7, 7, 1),
        "branch7x7dbl_3": _same(c7, c7, 1, 7),
        "branch7x7dbl_4": _same(c7, c7, 7, 1),
        "branch7x7dbl_5": _same(c7, 192, 1, 7),
        "branch_pool": _same(inputs, 192, 1),
    }


def _block_d(inputs: int) -> dict[str, Layer]:
    return {
        "branch3x3_1": _same(inputs, 192, 1),
        "branch3x3_2": _halve(192, 320),
        "branch7x7x3_1": _same(inputs, 192, 1),
        "branch7x7x3_2": _same(192, 192, 1, 7),
        "branch7x7x3_3": _same(192, 192, 7, 1),
        "branch7x7x3_4": _halve(192, 192),
    }


def _block_e(inputs: int) -> dict[str, Layer]:
    return {
        "branch1x1": _same(inputs, 320, 1),
        "branch3x3_1": _same(inputs, 384, 1),
        "branch3x3_2a": _same(384, 384, 1, 3),
        "branch3x3_2b": _same(384, 384, 3, 1),
        "branch3x3dbl_1": _same(inputs, 448, 1),
        "branch3x3dbl_2": _same(448, 384, 3),
        "branch3x3dbl_3a": _same(384, 384, 1, 3),
        "branch3x3dbl_3b": _same(384, 384, 3, 1),
        "branch_pool": _same(inputs, 192, 1),
    }


BLOCKS: dict[str, dict[str, Layer]] = {
    "Mixed_5b": _block_a(192, 32),
    "Mixed_5c": _block_a(256, 64),
    "Mixed_5d": _block_a(288, 64),
    "Mixed_6a": _block_b(288),
    "Mixed_6b": _block_c(768, 128),
    "Mixed_6c": _block_c(768, 160),
    "Mixed_6d": _block_c(768, 160),
    "Mixed_6e": _block_c(768, 192),
    "Mixed_7a": _block_d(768),
    "Mixed_7b": _block_e(1280),
    "Mixed_7c": _block_e(2048),
}
LAYOUT: dict[str, Layer] = {
    **STEM,
    **{f"{block}.{name}": layer for block, layers in BLOCKS.items() for name, layer in layers.items()},
}


class FoldedConvolution(nn.Module):
    """A convolution with bias whose ReLU is optional; on a CPU with oneDNN its weight is packed at first use."""

    weight: Tensor
    bias: Tensor

    def __init__(self, layer: Layer, weight: Tensor, bias: Tensor) -> None:
        super().__init__()
        self._stride, self._padding = (layer[3], layer[3]), layer[4]
        self.register_buffer("weight", weight.contiguous(memory_format=torch.channels_last))
        self.register_buffer("bias", bias)
        self._packed: Tensor | None = None

    def forward(self, x: Tensor, *, relu: bool) -> Tensor:
        if PACKING and x.device.type == "cpu":
            return self._fused(x, "relu" if relu else "none")
        x = F.conv2d(x, self.weight, self.bias, self._stride, self._padding)
        return x.relu_() if relu else x

    def _fused(self, x: Tensor, activation: str) -> Tensor:
        """Return convolution and activation in one call of oneDNN."""
        if self._packed is None:
            reorder: Callable[..., Tensor] = torch._C._nn.mkldnn_reorder_conv2d_weight
            plain = self.weight.contiguous().to_mkldnn()
            self._packed = reorder(plain, self._padding, self._stride, (1, 1), 1, list(x.shape))
        return torch.ops.mkldnn._convolution_pointwise(
            x, self._packed, self.bias, self._padding, self._stride, (1, 1), 1, activation, [], ""
        )


class InceptionV3(nn.Module):
    """The network with folded convolutions: input (z - 128) / 128 or another class's map, 299 x 299."""

    classifier: Tensor

    def __init__(self, state: Mapping[str, Tensor]) -> None:
        super().__init__()
        self._convolutions = nn.ModuleDict(
            {name.replace(".", "-"): FoldedConvolution(layer, *folded(state, name)) for name, layer in LAYOUT.items()}
        )
        self.register_buffer("classifier", state["fc.weight"].float().clone())
        self.requires_grad_(False).eval()

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Return the layers of LAYERS, each (B, its dimension), of normalised images (B, 3, 299, 299)."""
        pieces = [self._walk(piece) for piece in x.split(PIECE if x.device.type == "cpu" else len(x))]
        return {name: torch.cat([piece[name] for piece in pieces]) for name in LAYERS}

    def _walk(self, x: Tensor) -> dict[str, Tensor]:
        x = x.contiguous(memory_format=torch.channels_last)
        x = self._relu("Conv2d_1a_3x3", x)
        x = self._relu("Conv2d_2a_3x3", x)
        x = F.max_pool2d(self._relu("Conv2d_2b_3x3", x), 3, 2)
        x = self._relu("Conv2d_3b_1x1", x)
        x = F.max_pool2d(self._relu("Conv2d_4a_3x3", x), 3, 2)
        for block in ("Mixed_5b", "Mixed_5c", "Mixed_5d"):
            x = self._a(block, x)
        x = self._b("Mixed_6a", x)
        spatial = x
        for block in ("Mixed_6b", "Mixed_6c", "Mixed_6d", "Mixed_6e"):
            x = self._c(block, x)
            if block == "Mixed_6d":
                spatial = x[:, :SPATIAL_CHANNELS]
        x = self._d("Mixed_7a", x)
        x = self._e("Mixed_7b", x, pool_by_maximum=False)
        x = self._e("Mixed_7c", x, pool_by_maximum=True)
        pooled = x.mean(dim=(2, 3))
        return {
            "pool3": pooled,
            "logits_unbiased": pooled @ self.classifier.T,
            "spatial": spatial.permute(0, 2, 3, 1).reshape(len(x), -1),
        }

    def _relu(self, name: str, x: Tensor) -> Tensor:
        return self._convolutions[name.replace(".", "-")](x, relu=True)

    def _chain(self, block: str, x: Tensor, *names: str) -> Tensor:
        for name in names:
            x = self._relu(f"{block}.{name}", x)
        return x

    def _average(self, block: str, x: Tensor) -> Tensor:
        """Return the branch of average pool and 1x1 convolution, in the cheaper order; the ReLU comes last."""
        x = self._convolutions[f"{block}-branch_pool"](x, relu=False)
        # the published network was trained in TensorFlow, whose average leaves the padding out
        return F.avg_pool2d(x, 3, 1, 1, count_include_pad=False).relu_()

    def _a(self, block: str, x: Tensor) -> Tensor:
        return torch.cat(
            (
                self._chain(block, x, "branch1x1"),
                self._chain(block, x, "branch5x5_1", "branch5x5_2"),
                self._chain(block, x, "branch3x3dbl_1", "branch3x3dbl_2", "branch3x3dbl_3"),
                self._average(block, x),
            ),
            dim=1,
        )

    def _b(self, block: str, x: Tensor) -> Tensor:
        return torch.cat(
            (
                self._chain(block, x, "branch3x3"),
                self._chain(block, x, "branch3x3dbl_1", "branch3x3dbl_2", "branch3x3dbl_3"),
                F.max_pool2d(x, 3, 2),
            ),
            dim=1,
        )

    def _c(self, block: str, x: Tensor) -> Tensor:
        return torch.cat(
            (
                self._chain(block, x, "branch1x1"),
                self._chain(block, x, "branch7x7_1", "branch7x7_2", "branch7x7_3"),
                self._chain(block, x, *(f"branch7x7dbl_{k}" for k in range(1, 6))),
                self._average(block, x),
            ),
            dim=1,
        )

    def _d(self, block: str, x: Tensor) -> Tensor:
        return torch.cat(
            (
                self._chain(block, x, "branch3x3_1", "branch3x3_2"),
                self._chain(block, x, *(f"branch7x7x3_{k}" for k in range(1, 5))),
                F.max_pool2d(x, 3, 2),
            ),
            dim=1,
        )

    def _e(self, block: str, x: Tensor, *, pool_by_maximum: bool) -> Tensor:
        near = self._chain(block, x, "branch3x3_1")
        far = self._chain(block, x, "branch3x3dbl_1", "branch3x3dbl_2")
        return torch.cat(
            (
                self._chain(block, x, "branch1x1"),
                self._chain(block, near, "branch3x3_2a"),
                self._chain(block, near, "branch3x3_2b"),
                self._chain(block, far, "branch3x3dbl_3a"),
                self._chain(block, far, "branch3x3dbl_3b"),
                self._chain(block, F.max_pool2d(x, 3, 1, 1), "branch_pool")
                if pool_by_maximum
                else self._average(block, x),
            ),
            dim=1,
        )


class Inception:
    """The network as an extractor of one layer; `name` is FID only for the published weights and pool3."""

    input_size = 299
    value_map = "class"
    unproven = False
    skill, reads = 1.0, ""

    def __init__(
        self, network: InceptionV3, *, name: str, digest: str, layer: str = "pool3", device: str = "cpu"
    ) -> None:
        self.network = network.to(device)
        self.name = name
        self.digest = digest
        self.layer = layer
        self.device = device
        self.dim = LAYERS[layer]

    def __call__(self, levels: Tensor) -> Tensor:
        """Return features (B, dim) of levels in [0, 255], float32 (B, 3, 299, 299)."""
        return self.layers(levels)["features"]

    def layers(self, levels: Tensor) -> dict[str, Tensor]:
        """Return all layers of one pass: features, logits and spatial."""
        # levels of classes with another value map come rescaled (`Preprocessing.levels_at_128`)
        found = self.network((levels - 128.0) * (1.0 / 128.0))
        return {"features": found[self.layer], "logits": found["logits_unbiased"], "spatial": found["spatial"]}


def extractor(settings: PublishedExtractor, device: str) -> Inception:
    """Return the network that a file of configs/extractors describes."""
    if settings.kind == "random-inception":
        return random_inception(settings.seed, device=device)
    return published_inception(Path(settings.folder) / WEIGHTS[settings.weights].filename, device=device)


def published_inception(path: str | Path, *, layer: str = "pool3", device: str = "cpu") -> Inception:
    """Return the extractor of FID from the local file of the published weights.

    Raises:
        ArtifactError: if the file is absent or its bytes are not the published ones.
    """
    entry = WEIGHTS["inception"]
    state = torch.load(verified(Path(path), entry), map_location="cpu", weights_only=True)
    name = "FID" if layer == "pool3" else f"FD-inception-{layer}"
    return Inception(InceptionV3(state), name=name, digest=entry.sha256, layer=layer, device=device)


def torchscript_inception(path: str | Path, *, device: str = "cpu") -> FunctionExtractor:
    """Return the other published port of the network, the TorchScript archive of clean-fid and StyleGAN2-ADA.

    It serves to check `published_inception`; no column is made of it. An archive holds code, which is why only the one
    of the pinned digest is opened.

    Raises:
        ArtifactError: if the file is absent or its bytes are not the published ones.
    """
    entry = WEIGHTS["inception-torchscript"]
    layers = torch.jit.load(str(verified(Path(path), entry)), map_location=device).eval().layers

    def features(levels: Tensor) -> Tensor:
        return layers((levels - 128.0) / 128.0).reshape(len(levels), LAYERS["pool3"])

    name = "FD-inception-torchscript"
    size = Inception.input_size
    dim = LAYERS["pool3"]
    return FunctionExtractor(name, size, dim, entry.sha256, features, value_map="class", device=device, unproven=True)


def random_inception(seed: int = 0, *, layer: str = "pool3", device: str = "cpu") -> Inception:
    """Return the extractor with seeded random weights, for tests and timing; its number is never called FID."""
    state = random_state(seed)
    name = f"FD-random-inception-{layer}"
    return Inception(InceptionV3(state), name=name, digest=state_digest(state), layer=layer, device=device)


def random_state(seed: int = 0) -> dict[str, Tensor]:
    """Return a state dict in the published layout: He-normal convolutions, unit batch-norm, small random shifts.

    Drawn with PCG64 in the order of the layers, so the bits are the same on every machine.
    """
    rng = np.random.Generator(np.random.PCG64(seed))
    state: dict[str, Tensor] = {}
    for name, (inputs, outputs, kernel, _, _) in LAYOUT.items():
        deviation = math.sqrt(2.0 / (inputs * kernel[0] * kernel[1]))
        state[f"{name}.conv.weight"] = _normal(rng, (outputs, inputs, *kernel), deviation)
        state[f"{name}.bn.weight"] = torch.ones(outputs)
        state[f"{name}.bn.bias"] = _normal(rng, (outputs,), 0.05)
        state[f"{name}.bn.running_mean"] = torch.zeros(outputs)
        state[f"{name}.bn.running_var"] = torch.ones(outputs)
    return state | {"fc.weight": _normal(rng, (1008, 2048), 0.02), "fc.bias": torch.zeros(1008)}


def folded(state: Mapping[str, Tensor], name: str) -> tuple[Tensor, Tensor]:
    """Return weight and bias, float32, of convolution `name` with its batch normalisation folded in.

    Raises:
        MetricError: for a state dict without that layer, or with another shape.
    """
    inputs, outputs, kernel, _, _ = LAYOUT[name]
    try:
        weight, gain, shift, mean, variance = (
            state[f"{name}.{part}"].double()
            for part in ("conv.weight", "bn.weight", "bn.bias", "bn.running_mean", "bn.running_var")
        )
    except KeyError as error:
        raise MetricError(f"Inception weights: no {error}; the file is not in the published PyTorch layout") from error
    if weight.shape != (outputs, inputs, *kernel):
        raise MetricError(f"Inception weights: {name} is {tuple(weight.shape)}, due {(outputs, inputs, *kernel)}")
    return folded_convolution(weight, gain, shift, mean, variance)


def _normal(rng: np.random.Generator, shape: tuple[int, ...], deviation: float) -> Tensor:
    return torch.from_numpy((rng.standard_normal(shape) * deviation).astype(np.float32))
