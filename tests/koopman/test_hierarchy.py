"""HKD as cut from EDM: identities at A = 0, counts at full size, and the effect of every key."""

from __future__ import annotations

import copy
from typing import Literal, get_args, get_type_hints

import pytest
import torch
from torch.testing import assert_close

from hkd.koopman.choices import KoopmanSettings
from hkd.koopman.hierarchy import HKDNet
from hkd.nets.precond import EDMPrecond
from hkd.nets.unet import SongUNet

EPS, T = 0.002, 80.0
SIGMAS = torch.tensor([0.01, 0.7, 9.0, 80.0])
CIFAR = {"img_resolution": 32, "channel_mult": (2, 2, 2)}
FFHQ = {"img_resolution": 64, "channel_mult": (1, 2, 2, 2)}
GOLDEN = {"decoder_sigma": "same_as_input", "output_wrapper": "edm"}


def full_size(network, label_dim=0, **settings):
    """The published network around an operator per level, without memory for its weights."""
    with torch.device("meta"):
        unet = SongUNet(in_channels=3, out_channels=3, augment_dim=9, label_dim=label_dim, **network)
        return HKDNet(EDMPrecond(unet), KoopmanSettings(sigma_min=EPS, sigma_max=T, **settings))


def count(module):
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize(
    ("network", "label_dim", "operators", "total", "levels"),
    [
        (CIFAR, 0, 1_589_248, 57_323_139, 15),
        (CIFAR, 10, 1_589_248, 57_324_547, 15),
        (FFHQ, 0, 4_210_688, 66_016_259, 20),
    ],
)
def test_full_size_networks_have_the_published_counts(network, label_dim, operators, total, levels):
    net = full_size(network, label_dim)
    assert (count(net.koopman), count(net), len(net.koopman)) == (operators, total, levels)
    assert net.metadata()["koopman_parameters"] == operators
    assert [tuple(op.generator.shape) for op in net.koopman.values()] == [
        tuple(output[1:]) for output in net.net.model.encoder_outputs()
    ]


@pytest.mark.parametrize("network", [CIFAR, FFHQ])
def test_a_bottleneck_operator_has_16384_parameters(network):
    assert count(full_size(network, levels="bottleneck_only").koopman) == 16_384
    assert count(full_size(network, levels="skips_dropped").koopman) == 16_384
    separate = full_size(network, bottleneck_operator="separate")
    assert count(separate.koopman) - count(full_size(network).koopman) == 16_384


def test_other_choices_have_the_counts_that_follow_from_their_shapes():
    assert count(full_size(CIFAR, levels="per_resolution").koopman) == 131_072 + 262_144 + 65_536 + 16_384
    assert count(full_size(CIFAR, levels="finest_only").koopman) == 1_179_648
    assert count(full_size(CIFAR, coupling="fourier").koopman) == 1_589_248
    assert count(full_size(CIFAR, conditioning="separate")) - count(full_size(CIFAR)) == 329_856


@pytest.mark.parametrize("bottleneck", ["shared", "separate"])
@pytest.mark.parametrize("sigma", [80.0, SIGMAS])
def test_zero_operator_with_edm_output_is_edm(make_net, noise, sigma, bottleneck):
    net = make_net(rates=0, bottleneck_operator=bottleneck, **GOLDEN)
    x = noise * torch.as_tensor(sigma).reshape(-1, 1, 1, 1)
    assert torch.equal(net(x, sigma), net.net(x, sigma))


def test_scaled_output_at_sigma_max_is_edms_denoiser_without_its_skip(make_net, noise):
    net = make_net(rates=0, decoder_sigma="sigma_max")
    c_skip = 0.25 / (T**2 + 0.25)
    assert_close(net(T * noise, T) + c_skip * T * noise, net.net(T * noise, T), rtol=1e-4, atol=1e-4)


def test_one_step_is_encode_evolve_decode(make_net, noise):
    net, x = make_net(), T * noise
    latents = net.evolve(net.encode(x, T), T, EPS)
    assert torch.equal(net(x, T), net.decode(latents, x=x, sigma=T))
    assert len(latents) == len(net.latent_names) == len(net.operators())


def test_numbers_and_one_sigma_per_image_agree(make_net, noise):
    net = make_net(decoder_sigma="same_as_input", output_wrapper="edm")
    together = net(noise * SIGMAS[:, None, None, None], SIGMAS)
    for i, sigma in enumerate(SIGMAS.tolist()):
        assert_close(net(noise[i : i + 1] * sigma, sigma)[0], together[i], rtol=1e-4, atol=1e-4)


def test_evolution_of_latents_is_a_group_over_noise_levels(make_net, noise):
    net = make_net()
    start = net.encode(T * noise, T)
    via = net.evolve(net.evolve(start, T, 3.0), 3.0, EPS)
    for a, b, z in zip(via, net.evolve(start, T, EPS), start, strict=True):
        assert_close(a, b, rtol=1e-4, atol=1e-4)
        assert z.shape == a.shape
    for a, z in zip(net.evolve(via, EPS, T), start, strict=True):
        assert_close(a, z, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("settings", [{}, GOLDEN, {"decoder_sigma": "latent_time", "bottleneck_operator": "separate"}])
def test_a_trajectory_is_decoded_from_one_encoding(make_net, noise, settings):
    net, calls = make_net(label_dim=3, **settings), []
    labels = torch.eye(3)[[0, 1, 2, 0]]
    sigmas, x = [T, 5.0, EPS], T * noise
    for module in (net.net.model.enc["8x8_conv"], net.net.model.dec["4x4_in0"]):
        module.register_forward_hook(lambda module, args, out: calls.append(len(out)))
    states = net.trajectory(x, sigmas, labels)
    assert calls == [4, 12]
    assert_close(states[-1], net(x, T, labels), rtol=1e-4, atol=1e-4)
    for state, sigma in zip(states, sigmas, strict=True):
        latents = net.evolve(net.encode(x, T, labels), T, sigma)
        assert_close(state, net.decode(latents, labels, x=x, sigma=T, latent_sigma=sigma), rtol=1e-4, atol=1e-4)


def other_values():
    """Every value of every key beside its default."""
    defaults = KoopmanSettings(sigma_min=EPS, sigma_max=T)
    for key, hint in get_type_hints(KoopmanSettings).items():
        if getattr(hint, "__origin__", None) is Literal:
            yield from ((key, value) for value in get_args(hint) if value != getattr(defaults, key))
    yield from [("rho", 3.0), ("alpha_clamp", 0.1), ("alpha_bound", 0.1), ("radius_bound", 0.1), ("frozen", True)]


@pytest.mark.parametrize(("key", "value"), list(other_values()))
def test_every_value_of_every_key_changes_the_output(make_net, noise, key, value):
    base = {"time_map": "rho"} if key == "rho" else {"time_map": "sigma"}
    x = noise * SIGMAS[:, None, None, None]

    def images(**settings):
        net = make_net(rates=0.02, per_span=False, **{**base, **settings})
        return net.decode(net.evolve(net.encode(x, SIGMAS), SIGMAS, 0.5), x=x, sigma=SIGMAS, latent_sigma=0.5)

    changed = images(**{key: value})
    assert torch.isfinite(changed).all()
    assert (changed - images()).abs().max() > 1e-5


def test_dropped_skips_reach_the_decoder_as_zeros(make_net, noise):
    *skips, bottleneck = make_net(levels="skips_dropped").encode(T * noise, T)
    assert not any(skip.any() for skip in skips)
    assert bottleneck.any()


def test_constant_encoder_is_told_the_same_level_for_every_input(make_net, noise):
    net = make_net(encoder_sigma="constant")
    seen = []
    net.net.model.map_layer0.register_forward_hook(lambda module, args, out: seen.append(args[0]))
    for sigma in (0.5, 80.0):
        net.encode(noise, sigma)
    assert torch.equal(*seen)


def test_teacher_weights_convert_by_name(make_net):
    net, teacher = make_net(conditioning="separate"), make_net().net.state_dict()
    teacher = {key: value + 1 for key, value in teacher.items()}
    net.initialise_from({**teacher, "model.map_augment.weight": torch.zeros(8, 9)})
    assert_close(net.net.state_dict(), teacher)
    assert torch.equal(net.decoder_mapping.map_layer0.weight, teacher["model.map_layer0.weight"])
    assert not any(p.any() for p in net.koopman_parameters())


def test_operators_start_at_random_as_far_from_zero_as_asked_for(make_net):
    nets = [make_net(operator_init=0.2, time_map="sigma") for _ in range(2)]
    for net in nets:
        net.initialise_from(net.net.state_dict())
    first, second = (torch.cat([p.detach().flatten() for p in net.koopman_parameters()]) for net in nets)
    assert torch.equal(first, second)  # one draw for all seeds
    assert float(first.std()) * nets[0].time.span == pytest.approx(0.2, rel=0.1)


def test_a_frozen_operator_starts_at_zero_or_not_at_all():
    with pytest.raises(ValueError, match=r"operator_init: 0\.2 is not the 0 at which 'frozen: true' holds A"):
        KoopmanSettings(sigma_min=EPS, sigma_max=T, frozen=True, operator_init=0.2)


def test_a_teacher_of_another_shape_is_refused(make_net):
    net = make_net()
    with pytest.raises(ValueError, match=r"model.map_layer0.bias: absent in the teacher's weights, \(32,\) in this"):
        state = net.net.state_dict()
        del state["model.map_layer0.bias"]
        net.initialise_from(state)


def test_weights_of_another_configuration_are_refused(make_net):
    with pytest.raises(ValueError, match=r"koopman.8x8_conv.generator: absent in these weights, \(8, 8, 8\) in this"):
        make_net().load_weights(make_net(levels="bottleneck_only").state_dict())
    net = make_net(rates=0)
    trained = make_net()
    net.load_weights(trained.state_dict())
    assert_close(net.state_dict(), trained.state_dict())


def test_a_diverged_checkpoint_is_refused(make_net):
    state = copy.deepcopy(make_net().state_dict())
    state["koopman.4x4_down.generator"][0] = torch.nan
    with pytest.raises(ValueError, match=r"4x4_down.generator: 16 of 128 values are not finite"):
        make_net().load_weights(state)


@pytest.mark.parametrize("sigma", [100.0, 1e-3, torch.tensor([1.0, 2.0, 3.0, 81.0])])
def test_times_outside_are_refused(make_net, noise, sigma):
    with pytest.raises(ValueError, match=r"outside \[0.002, 80\]"):
        make_net()(noise, sigma)


def test_decoding_without_an_argument_that_the_settings_need_is_refused(make_net, noise):
    for settings, message in [(GOLDEN, "decoder_sigma"), ({"output_wrapper": "edm"}, "output_wrapper: edm needs 'x'")]:
        net = make_net(**settings)
        with pytest.raises(ValueError, match=message):
            net.decode(net.encode(noise, 1.0))


def test_latents_of_another_network_are_refused(make_net, noise):
    net = make_net()
    latents = net.encode(noise, 1.0)
    with pytest.raises(ValueError, match=r"level 4x4_block0 must have shape \(16, 4, 4\), got absent"):
        net.evolve(latents[:-1], 1.0, EPS)
    with pytest.raises(ValueError, match=r"level 8x8_conv must have shape \(8, 8, 8\), got \(16, 4, 4\)"):
        net.decode(latents[::-1])


@pytest.mark.parametrize(("key", "value"), [("levels", "all"), ("output_wrapper", "ddpm"), ("time_map", "linear")])
def test_unknown_values_are_refused_by_name(key, value):
    with pytest.raises(ValueError, match=f"{key}: '{value}' is not one of"):
        KoopmanSettings(sigma_min=EPS, sigma_max=T, **{key: value})


def test_every_operator_and_every_weight_learns(make_net, noise):
    net = make_net(rates=0, label_dim=2)
    net(T * noise, T, torch.eye(2)[[0, 1, 0, 1]]).square().mean().backward()
    still = [name for name, p in net.named_parameters() if p.grad is None or not p.grad.any()]
    assert still == []


@pytest.mark.parametrize("sigma", [T, SIGMAS])
def test_forward_can_be_exported(make_net, noise, sigma):
    net = make_net()
    program = torch.export.export(net, (noise, sigma))
    assert_close(program.module()(noise, sigma), net(noise, sigma), rtol=1e-4, atol=1e-4)


def test_a_network_with_classes_refuses_to_run_without_them(make_net, noise):
    net, labels = make_net(label_dim=3), torch.eye(3)[[0, 1, 2, 0]]
    latents = net.encode(T * noise, T, labels)
    for call in (lambda: net(T * noise, T), lambda: net.encode(T * noise, T), lambda: net.decode(latents)):
        with pytest.raises(ValueError, match="class_labels: missing; this network is told one of 3 classes"):
            call()
    make_net()(T * noise, T, labels)  # one without classes ignores them


def test_weights_in_another_type_are_refused_with_what_to_set(make_net, noise):
    with pytest.raises(ValueError, match=r"weights: torch\.bfloat16, .* set `compute\.precision` instead"):
        make_net().bfloat16()(T * noise, T)


def test_the_skip_adds_the_share_of_the_state_that_the_level_of_the_latents_demands(make_net, noise):
    plain, skip = make_net(), make_net(output_wrapper="skip")
    x = T * noise
    assert_close(skip(x, T), EPS / T * x + (1 - EPS / T) * plain(x, T), rtol=1e-5, atol=1e-6)
    for level in (T, 8.0):
        latents = plain.evolve(plain.encode(x, T), T, level)
        image, state = (net.decode(latents, x=x, sigma=T, latent_sigma=level) for net in (plain, skip))
        assert_close(state, level / T * x + (1 - level / T) * image, rtol=1e-5, atol=1e-4)
    with pytest.raises(ValueError, match="output_wrapper: skip needs 'x' and 'sigma'"):
        skip.decode(latents)
