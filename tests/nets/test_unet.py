"""The U-Nets against numbers, sizes and names obtained from the published networks."""

from __future__ import annotations

import math

import pytest
import torch
from torch.testing import assert_close

from hkd.nets.precond import EDMPrecond
from hkd.nets.unet import DhariwalUNet, SongUNet

NCSNPP = {
    "embedding_type": "fourier",
    "encoder_type": "residual",
    "channel_mult_noise": 2,
    "resample_filter": (1, 3, 3, 1),
}
CIFAR = {"img_resolution": 32, "in_channels": 3, "out_channels": 3, "channel_mult": (2, 2, 2)}
FFHQ = {"img_resolution": 64, "in_channels": 3, "out_channels": 3}
TOY = {**CIFAR, "channel_mult": (1, 2), "model_channels": 32, "num_blocks": 1}
TOY_ADM = {**TOY, "model_channels": 64, "attn_resolutions": (16,)}
SMALL = {
    "img_resolution": 16,
    "in_channels": 3,
    "out_channels": 3,
    "label_dim": 4,
    "augment_dim": 9,
    "model_channels": 64,
    "channel_mult": (1, 2),
    "num_blocks": 1,
    "attn_resolutions": (8,),
}
FAMILIES = {
    "ddpmpp": lambda **more: SongUNet(**SMALL, **more),
    "ncsnpp": lambda **more: SongUNet(**SMALL, **NCSNPP, **more),
    "adm": lambda **more: DhariwalUNet(**SMALL, **more),
}


def fill(net):
    """Give every parameter a value that depends on its place in the sorted list of names only."""
    for i, (name, p) in enumerate(sorted(net.named_parameters()), 1):
        c = torch.cos(0.37 * i + 0.11 * torch.arange(p.numel(), dtype=torch.float64)).reshape(p.shape)
        if p.ndim >= 2:
            c = c / math.sqrt(p[0].numel())
        else:
            c = 1 + 0.1 * c if name.endswith("weight") else 0.1 * c
        p.data.copy_(c)
    for name, buffer in net.named_buffers():
        if name.endswith("freqs"):
            buffer.copy_((torch.arange(len(buffer)) + 1) / 16)
    return net.eval()


# Of the raw output F: mean, deviation, F[0,0,0,0..3], F[1,2,-1,-1], F[0,1,5,7].
# Of the denoised D: mean, deviation, D[1,2,-1,-1], D[0,0,0,0].
GOLDEN = {
    "cifar10 ddpm++": (
        lambda: SongUNet(**CIFAR, augment_dim=9),
        (-0.046182, 0.305605, -0.18419, -0.23113, -0.22390, -0.22350, 0.16081, -0.25697),
        (-0.014774, 0.182666, 0.05615, -0.06666),
    ),
    "cifar10 ddpm++ conditional": (
        lambda: SongUNet(**CIFAR, augment_dim=9, label_dim=10),
        (-0.047853, 0.233735, -0.17448, -0.22474, -0.22254, -0.22255, 0.11327, -0.08193),
        (-0.015486, 0.161108, 0.03241, -0.06194),
    ),
    "cifar10 ncsn++": (
        lambda: SongUNet(**CIFAR, augment_dim=9, **NCSNPP),
        (-0.048263, 0.208979, -0.16816, -0.21948, -0.22039, -0.22048, 0.09560, -0.04623),
        (-0.015649, 0.156500, 0.02359, -0.06140),
    ),
    "ffhq ddpm++": (
        lambda: SongUNet(**FFHQ, augment_dim=9),
        (0.675665, 1.419488, 0.81451, 1.34437, 1.62091, 1.70831, 0.13779, 0.50526),
        (0.300657, 0.617459, 0.04803, 0.20448),
    ),
    "toy ddpm++": (
        lambda: SongUNet(**TOY),
        (0.534592, 0.541884, 0.05930, 0.13327, 0.15061, 0.15829, -0.40861, 0.26377),
        (0.270359, 0.272192, -0.22768, 0.04229),
    ),
    "toy ncsn++": (
        lambda: SongUNet(**TOY, **NCSNPP),
        (0.378563, 0.577326, 0.08307, 0.15083, 0.12179, 0.14304, -0.12921, 0.25278),
        (0.169248, 0.273476, -0.08825, 0.04196),
    ),
    "toy adm": (
        lambda: DhariwalUNet(**TOY_ADM),
        (0.778170, 0.593122, 0.38124, 0.53586, 0.49065, 0.46261, 0.88599, 1.65359),
        (0.312641, 0.289298, 0.41841, 0.13416),
    ),
}
LARGE = [name for name in GOLDEN if not name.startswith("toy")]


def slow(name: str) -> object:
    """A network of published size: a longer proof, of which CI runs the first."""
    marks = [pytest.mark.slow, *([pytest.mark.ci] if name == LARGE[0] else [])]
    return pytest.param(name, marks=marks)


@pytest.mark.parametrize("name", [slow(n) if n in LARGE else n for n in GOLDEN])
def test_outputs_are_those_of_the_published_network(name):
    build, *expected = GOLDEN[name]
    net = fill(EDMPrecond(build()))
    resolution = net.img_resolution
    flat = torch.arange(2 * 3 * resolution**2, dtype=torch.float64)
    u = torch.sin(0.013 * flat).float().reshape(2, 3, resolution, resolution)
    sigma = torch.tensor([0.5, 10.0])
    labels = torch.eye(10)[[3, 7]] if net.label_dim else None
    with torch.inference_mode():
        raw = net.model(u, sigma.log() / 4, labels)
        denoised = net(u * sigma[:, None, None, None], sigma, labels)
    of_raw = torch.stack([raw.mean(), raw.std(), *raw[0, 0, 0, :4], raw[1, 2, -1, -1], raw[0, 1, 5, 7]])
    of_denoised = torch.stack([denoised.mean(), denoised.std(), denoised[1, 2, -1, -1], denoised[0, 0, 0, 0]])
    assert_close([of_raw, of_denoised], [torch.tensor(values) for values in expected], atol=1e-4, rtol=0)


DEEP = {**CIFAR, "num_blocks": 8}
WIDE = {"img_resolution": 32, "in_channels": 3, "out_channels": 3}
IMAGENET = {"img_resolution": 64, "in_channels": 3, "out_channels": 3, "label_dim": 1000}


@pytest.mark.parametrize(
    ("family", "settings", "count"),
    [
        (SongUNet, {**CIFAR, "augment_dim": 9}, 55_733_891),
        (SongUNet, CIFAR, 55_732_739),
        (SongUNet, {**CIFAR, "augment_dim": 9, "label_dim": 10}, 55_735_299),
        (SongUNet, {**CIFAR, **NCSNPP, "augment_dim": 9}, 56_397_827),
        (SongUNet, {**CIFAR, **NCSNPP}, 56_395_523),
        (SongUNet, {**CIFAR, **NCSNPP, "augment_dim": 9, "label_dim": 10}, 56_400_643),
        (SongUNet, {**FFHQ, "augment_dim": 9}, 61_805_571),
        (SongUNet, FFHQ, 61_804_419),
        (SongUNet, {**FFHQ, **NCSNPP, "augment_dim": 9}, 62_761_091),
        (SongUNet, DEEP, 96_947_715),
        (SongUNet, {**DEEP, "augment_dim": 9}, 96_948_867),
        (SongUNet, {**DEEP, **NCSNPP}, 97_610_499),
        (SongUNet, {**DEEP, **NCSNPP, "augment_dim": 9}, 97_612_803),
        (SongUNet, WIDE, 61_804_419),
        (SongUNet, {**WIDE, **NCSNPP}, 62_758_787),
        (SongUNet, TOY, 749_891),
        (SongUNet, {**TOY, "model_channels": 16}, 189_347),
        (DhariwalUNet, IMAGENET, 295_899_267),
    ],
)
def test_parameters_are_as_many_as_published(family, settings, count):
    with torch.device("meta"):
        assert sum(p.numel() for p in family(**settings).parameters()) == count


@pytest.mark.parametrize(
    ("settings", "parameters", "buffers"),
    [
        ({**CIFAR, "augment_dim": 9}, 417, 8),
        ({**CIFAR, "augment_dim": 9, "label_dim": 10}, 419, 8),
        ({**FFHQ, "augment_dim": 9}, 541, 12),
    ],
)
def test_state_dicts_have_as_many_entries_as_published(settings, parameters, buffers):
    with torch.device("meta"):
        net = SongUNet(**settings)
    assert len(list(net.parameters())) == parameters
    assert len(list(net.buffers())) == buffers
    assert len(net.state_dict()) == parameters + buffers


def test_parts_are_as_large_as_published():
    with torch.device("meta"):
        net = EDMPrecond(SongUNet(**CIFAR, augment_dim=9))
    sizes = {name: p.numel() for name, p in net.named_parameters()}

    def total(prefix):
        return sum(size for name, size in sizes.items() if name.startswith(prefix))

    assert total("model.map_") == 329_856
    assert total("model.enc.") == 19_302_912
    assert total("model.dec.") == 36_101_123
    assert total("model.enc.32x32_block0.") == 1_050_368
    assert total("model.enc.16x16_down.") == 1_378_304
    assert total("model.enc.16x16_block3.") == 1_576_192
    assert total("model.dec.16x16_block4.") == 2_297_856
    assert total("model.dec.32x32_block4.") == 1_706_240
    assert net.state_dict()["model.enc.16x16_down.conv0.resample_filter"].shape == (1, 1, 2, 2)
    assert net.state_dict()["model.dec.32x32_aux_conv.weight"].shape == (3, 256, 3, 3)


def test_only_the_residual_encoder_has_a_pyramid_and_stored_frequencies():
    with torch.device("meta"):
        plain, residual = SongUNet(**CIFAR).state_dict(), SongUNet(**CIFAR, **NCSNPP).state_dict()
    assert residual["enc.16x16_aux_residual.weight"].shape == (256, 3, 3, 3)
    assert residual["enc.8x8_aux_residual.weight"].shape == (256, 256, 3, 3)
    assert residual["map_noise.freqs"].shape == (128,)
    assert not any("aux_residual" in name or "freqs" in name for name in plain)


def test_cifar10_has_15_encoder_outputs_and_ffhq_20():
    with torch.device("meta"):
        cifar, ffhq = SongUNet(**CIFAR).encoder_outputs(), SongUNet(**FFHQ).encoder_outputs()
    assert len(cifar) == 15 and len(ffhq) == 20
    assert cifar[0] == ("32x32_conv", 128, 32, 32)
    assert cifar[1] == ("32x32_block0", 256, 32, 32)
    assert cifar[5] == ("16x16_down", 256, 16, 16)
    assert cifar[-1] == ("8x8_block3", 256, 8, 8)


@pytest.fixture(params=FAMILIES)
def net(request):
    torch.manual_seed(0)
    return fill(FAMILIES[request.param]()).double()


@pytest.fixture
def inputs():
    torch.manual_seed(1)
    values = torch.randn(2, 3, 16, 16), torch.tensor([-1.0, 0.7]), torch.eye(4)[[1, 3]], torch.randn(2, 9)
    return [value.double() for value in values]


def test_decoding_what_was_encoded_is_the_forward_pass(net, inputs):
    x, *conditions = inputs
    emb = net.embed(*conditions)
    assert_close(net.decode(net.encode(x, emb), emb), net(x, *conditions), atol=0, rtol=0)


def test_the_encoder_yields_the_shapes_it_announces(net, inputs):
    x, *conditions = inputs
    skips = net.encode(x, net.embed(*conditions))
    assert [tuple(skip.shape[1:]) for skip in skips] == [tuple(output[1:]) for output in net.encoder_outputs()]


def test_decoding_leaves_the_skips_and_starts_from_the_trunk(net, inputs):
    x, *conditions = inputs
    emb = net.embed(*conditions)
    skips = net.encode(x, emb)
    kept = [skip.clone() for skip in skips]
    plain = net.decode(skips, emb)
    assert_close(skips, kept, atol=0, rtol=0)
    assert_close(net.decode(skips, emb, trunk=skips[-1]), plain, atol=0, rtol=0)
    assert (net.decode(skips, emb, trunk=skips[-1] + 1) - plain).abs().max() > 1e-4


def test_every_encoder_output_reaches_the_image(net, inputs):
    x, *conditions = inputs
    emb = net.embed(*conditions)
    skips = [skip.detach().requires_grad_() for skip in net.encode(x, emb)]
    net.decode(skips, emb).square().sum().backward()
    assert all(skip.grad.abs().max() > 0 for skip in skips)


def test_every_parameter_receives_a_gradient(net, inputs):
    net(*inputs).square().sum().backward()
    assert [name for name, p in net.named_parameters() if p.grad is None or not p.grad.abs().max() > 0] == []


def test_an_image_does_not_depend_on_its_batch(net, inputs):
    alone = [net(*(value[i : i + 1] for value in inputs)) for i in range(2)]
    assert_close(torch.cat(alone), net(*inputs))


def test_one_noise_level_serves_the_whole_batch(net, inputs):
    x = inputs[0]
    noise = torch.tensor([0.3, 0.3], dtype=x.dtype)
    assert_close(net(x, noise[:1]), net(x, noise))


def test_no_label_is_a_row_of_zeros(net, inputs):
    x, noise, _, _ = inputs
    assert_close(net(x, noise), net(x, noise, x.new_zeros(2, 4), x.new_zeros(2, 9)))


@pytest.mark.parametrize("family", FAMILIES)
def test_label_dropout_hides_labels_in_training_only(family, inputs):
    net = fill(FAMILIES[family](label_dropout=0.999, dropout=0.0)).double()
    x, noise, labels, _ = inputs
    assert_close(net.train()(x, noise, labels), net(x, noise))
    assert (net.eval()(x, noise, labels) - net(x, noise)).abs().max() > 1e-4


@pytest.mark.parametrize("family", FAMILIES)
def test_a_fresh_network_returns_almost_zero(family, inputs):
    assert FAMILIES[family]().double()(*inputs).abs().max() < 1e-2


@pytest.mark.parametrize(
    ("key", "value"), [("embedding_type", "learned"), ("encoder_type", "skip"), ("decoder_type", "skip")]
)
def test_an_unknown_type_names_its_key_and_the_known_ones(key, value):
    with pytest.raises(ValueError, match=f"{key}: '{value}' is not known; choose from"):
        SongUNet(**SMALL, **{key: value})


def test_levels_that_do_not_fit_the_image_are_refused():
    with pytest.raises(ValueError, match="3 levels need a resolution divisible by 4, found 18"):
        SongUNet(**{**SMALL, "img_resolution": 18, "channel_mult": (1, 2, 2)})
