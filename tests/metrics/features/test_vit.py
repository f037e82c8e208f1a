"""Both towers equal another implementation on made-up weights; the published files are not needed for that."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from hkd.metrics.features.extract import extract
from hkd.metrics.features.inputs import MetricError
from hkd.metrics.features.vit import IMAGENET, clip, clip_extractor, dinov2, dinov2_extractor, transformer_extractor
from hkd.seeding import stream
from hkd.store.atomic import sha256
from hkd.store.published import WEIGHTS
from hkd.store.refusals import ArtifactError

WIDTH, LAYERS, PATCH = 128, 2, 14


def fill(shapes: dict[str, tuple[int, ...]]) -> dict[str, torch.Tensor]:
    generator = stream(0, "vit-weights")
    return {key: torch.randn(shape, generator=generator) * 0.1 for key, shape in shapes.items()}


@pytest.fixture(scope="module")
def dino_state() -> dict[str, torch.Tensor]:
    """The published layout, mask token included, at width 128 with a 5 x 5 grid of positions."""
    shapes: dict[str, tuple[int, ...]] = {
        "cls_token": (1, 1, WIDTH),
        "pos_embed": (1, 26, WIDTH),
        "mask_token": (1, WIDTH),
        "patch_embed.proj.weight": (WIDTH, 3, PATCH, PATCH),
        "patch_embed.proj.bias": (WIDTH,),
        "norm.weight": (WIDTH,),
        "norm.bias": (WIDTH,),
    }
    for k in range(LAYERS):
        for name in ("norm1", "norm2"):
            shapes |= {f"blocks.{k}.{name}.weight": (WIDTH,), f"blocks.{k}.{name}.bias": (WIDTH,)}
        for name, out, inside in (
            ("attn.qkv", 3 * WIDTH, WIDTH),
            ("attn.proj", WIDTH, WIDTH),
            ("mlp.fc1", 4 * WIDTH, WIDTH),
            ("mlp.fc2", WIDTH, 4 * WIDTH),
        ):
            shapes |= {f"blocks.{k}.{name}.weight": (out, inside), f"blocks.{k}.{name}.bias": (out,)}
        shapes |= {f"blocks.{k}.ls1.gamma": (WIDTH,), f"blocks.{k}.ls2.gamma": (WIDTH,)}
    return fill(shapes)


def test_dinov2_equals_its_equations(dino_state: dict[str, torch.Tensor]) -> None:
    x = torch.randn(2, 3, 5 * PATCH, 5 * PATCH, generator=stream(0, "vit-images"))

    def module(kind: nn.Module, **tensors: str) -> nn.Module:
        kind.load_state_dict({name: dino_state[key] for name, key in tensors.items()})
        return kind.eval()

    patches = nn.functional.unfold(x, PATCH, stride=PATCH).transpose(1, 2)
    tokens = patches @ dino_state["patch_embed.proj.weight"].flatten(1).T + dino_state["patch_embed.proj.bias"]
    h = torch.cat((dino_state["cls_token"].repeat(2, 1, 1), tokens), dim=1) + dino_state["pos_embed"]
    for k in range(LAYERS):
        stem = f"blocks.{k}"
        names = {"weight": f"{stem}.norm1.weight", "bias": f"{stem}.norm1.bias"}
        attention = module(
            nn.MultiheadAttention(WIDTH, WIDTH // 64, batch_first=True),
            in_proj_weight=f"{stem}.attn.qkv.weight",
            in_proj_bias=f"{stem}.attn.qkv.bias",
            **{"out_proj.weight": f"{stem}.attn.proj.weight", "out_proj.bias": f"{stem}.attn.proj.bias"},
        )
        normed = module(nn.LayerNorm(WIDTH, eps=1e-6), **names)(h)
        h = h + dino_state[f"{stem}.ls1.gamma"] * attention(normed, normed, normed)[0]
        names = {"weight": f"{stem}.norm2.weight", "bias": f"{stem}.norm2.bias"}
        normed = module(nn.LayerNorm(WIDTH, eps=1e-6), **names)(h)
        wide = nn.functional.gelu(normed @ dino_state[f"{stem}.mlp.fc1.weight"].T + dino_state[f"{stem}.mlp.fc1.bias"])
        out = wide @ dino_state[f"{stem}.mlp.fc2.weight"].T + dino_state[f"{stem}.mlp.fc2.bias"]
        h = h + dino_state[f"{stem}.ls2.gamma"] * out
    expected = module(nn.LayerNorm(WIDTH, eps=1e-6), weight="norm.weight", bias="norm.bias")(h)[:, 0]
    torch.testing.assert_close(dinov2(dino_state, x), expected, rtol=1e-4, atol=1e-4)


def test_dinov2_takes_other_sizes_than_its_grid(dino_state: dict[str, torch.Tensor], photos: np.ndarray) -> None:
    ours = transformer_extractor("FD-made-up", dino_state, dinov2, size=4 * PATCH)
    features = extract(photos, ours, "C")
    assert features.shape == (4, WIDTH)
    assert len(ours.digest) == 64 and ours.value_map == "own" and ours.unproven
    assert np.ptp(features, axis=0).max() > 1e-3


def test_levels_are_normalised_with_the_training_set(dino_state: dict[str, torch.Tensor]) -> None:
    ours = transformer_extractor("FD-made-up", dino_state, dinov2, size=5 * PATCH)
    mean = 255 * torch.tensor(IMAGENET[0])[:, None, None].expand(3, 5 * PATCH, 5 * PATCH)
    torch.testing.assert_close(ours(mean[None]), dinov2(dino_state, torch.zeros(1, 3, 70, 70)), rtol=1e-4, atol=1e-4)


def test_clip_equals_the_tower_in_torch_fidelity() -> None:
    module = pytest.importorskip("torch_fidelity.feature_extractor_clip")
    theirs = module.VisionTransformer(
        input_resolution=64, patch_size=16, width=WIDTH, layers=LAYERS, heads=WIDTH // 64, output_dim=32
    ).eval()
    state = fill({key: tuple(value.shape) for key, value in theirs.state_dict().items()})
    theirs.load_state_dict(state)
    x = torch.randn(2, 3, 64, 64, generator=stream(0, "vit-images"))
    with torch.inference_mode():
        expected = theirs(x)
    expected = expected[0] if isinstance(expected, tuple) else expected
    torch.testing.assert_close(clip(state, x), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.filterwarnings("ignore::FutureWarning")  # of TorchScript, in which CLIP comes
def test_a_file_of_made_up_weights_in_the_published_layout_loads(
    tmp_path: Path, dino_state: dict[str, torch.Tensor], photos: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    def pinned(name: str, path: Path) -> Path:
        monkeypatch.setitem(WEIGHTS, name, replace(WEIGHTS[name], sha256=sha256(path)))
        return path

    torch.save(dino_state, tmp_path / "dinov2.pth")
    ours = dinov2_extractor(pinned("dinov2-vit-s-14", tmp_path / "dinov2.pth"))
    assert (ours.name, ours.dim, ours.unproven) == ("FD-dinov2-vit-s-14", WIDTH, True)
    assert ours.digest == sha256(tmp_path / "dinov2.pth")
    expected = transformer_extractor("FD-made-up", dino_state, dinov2)
    np.testing.assert_array_equal(extract(photos, ours, "C"), extract(photos, expected, "C"))

    tower = pytest.importorskip("torch_fidelity.feature_extractor_clip").VisionTransformer(
        input_resolution=224, patch_size=32, width=WIDTH, layers=1, heads=WIDTH // 64, output_dim=32
    )
    state = fill({key: tuple(value.shape) for key, value in tower.state_dict().items()})
    archive = nn.Module()  # what CLIP distributes: a TorchScript archive with the text tower beside the visual one
    archive.visual = _module(state)
    archive.transformer = nn.Linear(2, 2)
    torch.jit.save(torch.jit.script(archive), tmp_path / "clip.pt")
    ours = clip_extractor(pinned("clip-vit-b-32", tmp_path / "clip.pt"))
    assert (ours.name, ours.dim, ours.unproven) == ("FD-clip-vit-b-32", 32, True)
    np.testing.assert_array_equal(
        extract(photos, ours, "C"), extract(photos, transformer_extractor("FD-made-up", state, clip), "C")
    )


def _module(state: dict[str, torch.Tensor]) -> nn.Module:
    """A module without a forward whose state dict this is."""
    root = nn.Module()
    for key, value in state.items():
        *path, last = key.split(".")
        inner = root
        for name in path:
            if name not in inner._modules:
                inner.add_module(name, nn.Module())
            inner = inner.get_submodule(name)
        inner.register_parameter(last, nn.Parameter(value))
    return root


def test_absent_or_foreign_weights_are_refused(tmp_path: Path, dino_state: dict[str, torch.Tensor]) -> None:
    with pytest.raises(ArtifactError, match="are absent; run `hkd fetch dinov2-vit-s-14`"):
        dinov2_extractor(tmp_path / "dinov2.pth")
    (tmp_path / "ViT-B-32.pt").write_bytes(b"something else")
    with pytest.raises(ArtifactError, match="delete it and run `hkd fetch clip-vit-b-32`"):
        clip_extractor(tmp_path / "ViT-B-32.pt")
    with pytest.raises(MetricError, match=r"no tensor 'conv1.weight' in the weights; the file is of another network"):
        transformer_extractor("FD-made-up", dino_state, clip)
