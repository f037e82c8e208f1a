"""DINOv2 and CLIP image towers as extractors, from a local weight file in the publishers' own layout.

Both are plain vision transformers; they differ in the names of their tensors, the activation, a layer scale and the
output. UNPROVEN: the published files were not at hand when this was written, and every number says so. CLIP is tested
against another implementation of it, DINOv2 against a transcription of its equations, on made-up weights.

Sources: Oquab et al. (2023) for DINOv2; Radford et al. (2021) for CLIP.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from hkd.metrics.features.extract import FunctionExtractor, state_digest
from hkd.metrics.features.inputs import MetricError
from hkd.settings.sections import PublishedExtractor
from hkd.store.published import WEIGHTS, verified

HEAD_WIDTH = 64
State = Mapping[str, Tensor]
# mean and standard deviation of the training images in [0, 1], per channel
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
CLIP_SET = ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))


def extractor(settings: PublishedExtractor, device: str) -> FunctionExtractor:
    """Return the network that a file of configs/extractors describes."""
    make = dinov2_extractor if settings.kind == "dinov2" else clip_extractor
    path = Path(settings.folder) / WEIGHTS[settings.weights].filename
    return make(path, name=settings.weights, device=device)


def dinov2_extractor(path: str | Path, *, name: str = "dinov2-vit-s-14", device: str = "cpu") -> FunctionExtractor:
    """Return the extractor of class-token features from the published backbone file.

    Raises:
        ArtifactError: if the file is absent or its bytes are not the published ones.
    """
    state = torch.load(verified(Path(path), WEIGHTS[name]), map_location="cpu", weights_only=True)
    return transformer_extractor(f"FD-{name}", state, dinov2, digest=WEIGHTS[name].sha256, device=device)


def clip_extractor(path: str | Path, *, name: str = "clip-vit-b-32", device: str = "cpu") -> FunctionExtractor:
    """Return the extractor of CLIP image embeddings from the published archive.

    Raises:
        ArtifactError: if the file is absent or its bytes are not the published ones.
    """
    archive = torch.jit.load(str(verified(Path(path), WEIGHTS[name])), map_location="cpu")
    state = {key.removeprefix("visual."): v for key, v in archive.state_dict().items() if key.startswith("visual.")}
    return transformer_extractor(f"FD-{name}", state, clip, digest=WEIGHTS[name].sha256, device=device)


def transformer_extractor(
    name: str,
    state: State,
    tower: Callable[[State, Tensor], Tensor],
    *,
    digest: str = "",
    size: int = 224,
    device: str = "cpu",
) -> FunctionExtractor:
    """Return an extractor of `tower` (dinov2 or clip) with the given weights at `size` pixels.

    Raises:
        MetricError: for a state dict that lacks one of the tower's tensors.
    """
    weights = {key: value.to(device, torch.float32) for key, value in state.items()}
    mean, deviation = IMAGENET if tower is dinov2 else CLIP_SET
    centre = 255.0 * torch.tensor(mean, device=device)[:, None, None]
    scale = 255.0 * torch.tensor(deviation, device=device)[:, None, None]

    def features(levels: Tensor) -> Tensor:
        return tower(weights, (levels - centre) / scale)

    try:
        with torch.inference_mode():
            dim = features(torch.zeros(1, 3, size, size, device=device)).shape[1]
    except KeyError as error:
        raise MetricError(f"{name}: no tensor {error} in the weights; the file is of another network") from error
    found = digest or state_digest(state)
    return FunctionExtractor(name, size, dim, found, features, device=device, unproven=True)


def dinov2(state: State, x: Tensor) -> Tensor:
    """Return the normalised class token (B, D) of normalised images (B, 3, H, W), sides divisible by the patch."""
    tokens = _patches(state, "patch_embed.proj", x)
    x = torch.cat((state["cls_token"].expand(len(x), -1, -1), tokens), dim=1)
    x = x + _dinov2_positions(state["pos_embed"], math.isqrt(tokens.shape[1]))
    for block in _blocks(state, "blocks"):
        h = _norm(state, f"{block}.norm1", x, 1e-6)
        qkv = F.linear(h, state[f"{block}.attn.qkv.weight"], state[f"{block}.attn.qkv.bias"])
        x = x + state[f"{block}.ls1.gamma"] * _linear(state, f"{block}.attn.proj", _attention(qkv))
        h = F.gelu(_linear(state, f"{block}.mlp.fc1", _norm(state, f"{block}.norm2", x, 1e-6)))
        x = x + state[f"{block}.ls2.gamma"] * _linear(state, f"{block}.mlp.fc2", h)
    return _norm(state, "norm", x, 1e-6)[:, 0]


def clip(state: State, x: Tensor) -> Tensor:
    """Return the image embedding (B, D) of normalised images (B, 3, H, W) of the trained size."""
    tokens = _patches(state, "conv1", x)
    x = torch.cat((state["class_embedding"].expand(len(x), 1, -1), tokens), dim=1) + state["positional_embedding"]
    x = _norm(state, "ln_pre", x, 1e-5)
    for block in _blocks(state, "transformer.resblocks"):
        h = _norm(state, f"{block}.ln_1", x, 1e-5)
        qkv = F.linear(h, state[f"{block}.attn.in_proj_weight"], state[f"{block}.attn.in_proj_bias"])
        x = x + _linear(state, f"{block}.attn.out_proj", _attention(qkv))
        h = _linear(state, f"{block}.mlp.c_fc", _norm(state, f"{block}.ln_2", x, 1e-5))
        # OpenAI's weights were trained with this approximation of GELU (Hendrycks and Gimpel, 2016)
        x = x + _linear(state, f"{block}.mlp.c_proj", h * torch.sigmoid(1.702 * h))
    return _norm(state, "ln_post", x[:, 0], 1e-5) @ state["proj"]


def _patches(state: State, name: str, x: Tensor) -> Tensor:
    """Return patch embeddings (B, patches, D), row by row."""
    weight = state[f"{name}.weight"]
    return F.conv2d(x, weight, state.get(f"{name}.bias"), stride=weight.shape[-1]).flatten(2).transpose(1, 2)


def _blocks(state: State, stem: str) -> list[str]:
    """Return the name of every transformer block of the weights, in order."""
    numbers = {int(key[len(stem) + 1 :].split(".")[0]) for key in state if key.startswith(f"{stem}.")}
    return [f"{stem}.{k}" for k in sorted(numbers)]


def _attention(qkv: Tensor) -> Tensor:
    """Return softmax(q kᵀ / √64) v of stacked (B, T, 3 D), heads of width 64."""
    batch, tokens, width = qkv.shape
    q, k, v = qkv.reshape(batch, tokens, 3, width // (3 * HEAD_WIDTH), HEAD_WIDTH).permute(2, 0, 3, 1, 4)
    return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(batch, tokens, width // 3)


def _dinov2_positions(stored: Tensor, side: int) -> Tensor:
    """Return position embeddings for side x side patches, bicubic from the stored grid with DINOv2's 0.1 offset."""
    grid = math.isqrt(stored.shape[1] - 1)
    if grid == side:
        return stored
    plane = stored[:, 1:].reshape(1, grid, grid, -1).permute(0, 3, 1, 2)
    plane = F.interpolate(plane, scale_factor=(side + 0.1) / grid, mode="bicubic", recompute_scale_factor=False)
    return torch.cat((stored[:, :1], plane.flatten(2).transpose(1, 2)), dim=1)


def _norm(state: State, name: str, x: Tensor, epsilon: float) -> Tensor:
    return F.layer_norm(x, x.shape[-1:], state[f"{name}.weight"], state[f"{name}.bias"], epsilon)


def _linear(state: State, name: str, x: Tensor) -> Tensor:
    return F.linear(x, state[f"{name}.weight"], state[f"{name}.bias"])
