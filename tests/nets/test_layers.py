"""Layers against their definitions, written out."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F
from torch.testing import assert_close

from hkd.nets import layers
from hkd.nets.blocks import BlockStyle, UNetBlock, attend
from hkd.nets.layers import Conv2d, FourierEmbedding, Init, Linear, PositionalEmbedding, Resample, group_norm


@pytest.mark.parametrize("rule", ["xavier_uniform", "kaiming_uniform"])
def test_uniform_weights_fill_the_bound_of_their_fans(rule):
    torch.manual_seed(0)
    layer = Conv2d(30, 10, 3, init=Init(rule, weight=0.5))
    fans = 9 * (30 + 10) / 2 if rule == "xavier_uniform" else 9 * 30
    bound = 0.5 * math.sqrt(3 / fans)
    assert 0.95 * bound < layer.weight.abs().max() <= bound
    assert layer.bias.abs().max() == 0


def test_normal_weights_have_the_deviation_of_their_fan():
    torch.manual_seed(0)
    assert_close(Linear(100, 400, init=Init("kaiming_normal")).weight.std().item(), 0.1, rtol=0.02, atol=0)


@settings(max_examples=20, deadline=None)
@given(kernel=st.sampled_from([1, 3]), cin=st.integers(1, 5), cout=st.integers(1, 5), seed=st.integers(0, 999))
def test_the_convolution_after_doubling_equals_the_two_steps(kernel, cin, cout, seed):
    torch.manual_seed(seed)
    layer = Conv2d(cin, cout, kernel, init=Init(bias=1.0), direction="up")
    x = torch.randn(2, cin, 4, 6)
    doubled = x.repeat_interleave(2, 2).repeat_interleave(2, 3)
    assert_close(layer(x), F.conv2d(doubled, layer.weight, layer.bias, padding=kernel // 2), atol=1e-5, rtol=1e-5)


def test_the_box_averages_and_copies_pixels():
    x = torch.arange(16.0).reshape(1, 1, 4, 4)
    assert_close(Resample("down")(x), torch.tensor([[[[2.5, 4.5], [10.5, 12.5]]]]))
    assert_close(Resample("up")(x), x.repeat_interleave(2, 2).repeat_interleave(2, 3))


def test_the_box_is_the_general_filter_for_two_equal_taps():
    x = torch.randn(2, 3, 8, 8)
    box = (torch.ones(3, 1, 2, 2) / 4).double()
    assert_close(Resample("down")(x).double(), F.conv2d(x.double(), box, stride=2, groups=3), atol=1e-6, rtol=0)
    transposed = F.conv_transpose2d(x.double(), 4 * box, stride=2, groups=3)
    assert_close(Resample("up")(x).double(), transposed, atol=1e-6, rtol=0)


@pytest.mark.parametrize("direction", ["up", "down"])
def test_the_long_filter_keeps_a_constant_away_from_the_border(direction):
    y = Resample(direction, (1, 3, 3, 1))(torch.ones(1, 2, 8, 8))
    assert y.shape[-1] == (16 if direction == "up" else 4)
    assert_close(y[..., 2:-2, 2:-2], torch.ones_like(y[..., 2:-2, 2:-2]))


def test_the_long_filter_is_triangular_from_one_pixel():
    x = torch.zeros(1, 1, 4, 4)
    x[0, 0, 1, 1] = 16.0
    weights = torch.tensor([1.0, 3.0, 3.0, 1.0])
    expected = F.pad(weights.outer(weights), (1, 3, 1, 3))
    assert_close(Resample("up", (1, 3, 3, 1))(x)[0, 0], expected)


def test_the_fused_convolution_sees_the_image_before_the_filter():
    layer = Conv2d(2, 3, 3, init=Init(), direction="down", taps=(1, 3, 3, 1), fused=True)
    x = torch.randn(1, 2, 8, 8)
    convolved = F.conv2d(F.pad(x, (2, 2, 2, 2)), layer.weight, layer.bias)
    kernel = layer.resample_filter.repeat(3, 1, 1, 1)
    assert_close(layer(x), F.conv2d(convolved, kernel, stride=2, groups=3), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("taps", [(1, 2, 1), (1, 3)])
def test_a_filter_that_shifts_the_image_is_refused(taps):
    with pytest.raises(ValueError, match="resample_filter"):
        Resample("down", taps)


@pytest.mark.parametrize("heads", [1, 2])
def test_attention_is_softmax_over_interleaved_channels(heads):
    channels, pixels = 8, 6
    qkv = torch.randn(2, 3 * channels, 2, 3)
    expected = torch.empty(2, channels, pixels)
    width = channels // heads
    for image in range(2):
        for head in range(heads):
            own = qkv[image].flatten(1)[3 * width * head : 3 * width * (head + 1)]
            q, k, v = own[0::3], own[1::3], own[2::3]
            weights = torch.softmax(q.T @ k / math.sqrt(width), dim=1)
            expected[image, width * head : width * (head + 1)] = v @ weights.T
    assert_close(attend(qkv, heads), expected.reshape(2, channels, 2, 3), atol=1e-5, rtol=1e-5)


def test_positional_frequencies_end_at_a_ten_thousandth():
    x = torch.tensor([0.0, 2.0])
    k = torch.arange(4)
    for endpoint, last in ((True, 3), (False, 4)):
        angle = x[:, None] * 10000.0 ** (-k / last)
        expected = torch.cat((torch.cos(angle), torch.sin(angle)), dim=1)
        assert_close(PositionalEmbedding(8, endpoint=endpoint)(x), expected)


def test_fourier_frequencies_have_the_scale_and_are_saved():
    torch.manual_seed(0)
    embedding = FourierEmbedding(2000, scale=0.02)
    assert list(embedding.state_dict()) == ["freqs"] and not list(embedding.parameters())
    assert embedding.freqs.std().item() == pytest.approx(0.02, rel=0.1)
    phase = 2 * math.pi * 0.3 * embedding.freqs
    assert_close(embedding(torch.tensor([0.3]))[0], torch.cat((phase.cos(), phase.sin())))


@pytest.mark.parametrize(("channels", "groups"), [(4, 1), (16, 4), (128, 32), (256, 32)])
def test_groups_hold_four_channels_until_there_are_32(channels, groups):
    assert group_norm(channels, eps=1e-6).num_groups == groups


@pytest.mark.parametrize("channels", [3, 18, 132])
def test_channels_that_do_not_split_into_groups_are_refused(channels):
    with pytest.raises(ValueError, match=f"{channels} channels"):
        group_norm(channels, eps=1e-6)


def _style(**changes):
    settings = {
        "emb_channels": 8,
        "dropout": 0.0,
        "eps": 1e-6,
        "skip_scale": 1.0,
        "adaptive_scale": False,
        "project_resampled": False,
        "init": Init(),
        "init_zero": Init(),
        "init_attn": Init(),
    }
    return BlockStyle(**(settings | changes))


def test_a_block_names_its_parts_in_the_published_order():
    block = UNetBlock(4, 8, _style(), attention=True)
    parts = list(dict.fromkeys(name.split(".")[0] for name in block.state_dict()))
    assert parts == ["norm0", "conv0", "affine", "norm1", "conv1", "skip", "norm2", "qkv", "proj"]


def test_a_skip_that_only_resamples_has_a_filter_and_no_weight():
    block = UNetBlock(8, 8, _style(), direction="down")
    assert [name for name in block.state_dict() if name.startswith("skip")] == ["skip.resample_filter"]


@pytest.mark.parametrize("adaptive", [False, True])
def test_a_block_equals_its_formula(adaptive):
    torch.manual_seed(1)
    block = UNetBlock(4, 8, _style(adaptive_scale=adaptive, skip_scale=0.5))
    x, emb = torch.randn(2, 4, 5, 5), torch.randn(2, 8)
    h = F.conv2d(F.silu(block.norm0(x)), block.conv0.weight, block.conv0.bias, padding=1)
    affine = (emb @ block.affine.weight.T + block.affine.bias)[:, :, None, None]
    h = block.norm1(h) * (1 + affine[:, :8]) + affine[:, 8:] if adaptive else block.norm1(h + affine)
    h = F.conv2d(F.silu(h), block.conv1.weight, block.conv1.bias, padding=1)
    skip = F.conv2d(x, block.skip.weight, block.skip.bias)
    assert_close(block(x, emb), (skip + h) * 0.5, atol=1e-5, rtol=1e-5)


def test_dropout_acts_in_training_only():
    block = UNetBlock(4, 4, _style(dropout=0.5))
    x, emb = torch.randn(2, 4, 5, 5), torch.randn(2, 8)
    assert not torch.equal(block.train()(x, emb), block(x, emb))
    assert torch.equal(block.eval()(x, emb), block(x, emb))


def test_the_doubled_kernel_is_the_sum_over_windows_to_the_bit():
    """`4 * mean` and a pool whose divisor is overridden agree, and only the first survives an export to ONNX."""
    weight = torch.randn(5, 3, 3, 3, generator=torch.Generator().manual_seed(0))
    padded = F.pad(weight.flip(2, 3), (1, 1, 1, 1))
    pool = F.avg_pool2d
    assert torch.equal(4 * pool(padded, 2, stride=1), pool(padded, 2, stride=1, divisor_override=1))
    source = Path(layers.__file__).parents[1]
    assert not [path for path in source.rglob("*.py") if "divisor_override" in path.read_text(encoding="utf-8")]
