"""KDM: two encoders, a dense operator, three terms of reconstruction, and a discriminator of its own."""

from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

from hkd.draws import StreamDraws
from hkd.nets.assemble import build
from hkd.nets.kdm import Discriminator, KDMNet
from hkd.nets.presets import NetworkConfig
from hkd.seeding import ImageStreams, stream
from tests.methods.stand_ins import Squared

TINY = {"model_channels": 8, "channel_mult": [1, 2], "num_blocks": 1, "attn_resolutions": [4], "dropout": 0.0}


@pytest.mark.parametrize(
    ("dataset", "label_dim", "count"), [("cifar10", 0, 47476165), ("cifar10", 10, 47489541), ("ffhq64", 0, 18203365)]
)
def test_the_full_network_has_the_known_number_of_parameters(settings, dataset, label_dim, count):
    resolution = {"cifar10": 32, "ffhq64": 64}[dataset]
    config = NetworkConfig(**settings("kdm", dataset=dataset).network)
    with torch.device("meta"):
        network = build(config, resolution=resolution, channels=3, label_dim=label_dim)
    assert sum(p.numel() for p in network.parameters()) == count


def test_the_full_discriminator_gives_one_logit_and_has_the_known_number_of_parameters():
    discriminator = Discriminator(32, 3, 64)
    assert discriminator(torch.zeros(2, 3, 32, 32)).shape == (2, 1, 1, 1)
    assert Discriminator(16, 3, 8)(torch.zeros(2, 3, 16, 16)).shape == (2, 1, 1, 1)
    assert sum(p.numel() for p in discriminator.parameters()) == 3136 + (131200 + 256) + (524544 + 512) + 4097


def test_projections_are_drawn_by_xaviers_rule_without_bias():
    torch.manual_seed(0)
    net = KDMNet(8, 3, latent_size=48, **TINY)
    for name, (inputs, outputs) in {"project_clean": (64, 48), "project_noise": (64, 48), "expand": (48, 64)}.items():
        layer = getattr(net, name)
        bound = (6 / (inputs + outputs)) ** 0.5  # of torch's own rule it would be 1 / sqrt(inputs)
        assert layer.weight.shape == (outputs, inputs) and not layer.bias.any()
        assert 0.98 * bound < float(layer.weight.abs().max()) <= bound
        assert float(layer.weight.std()) == pytest.approx(bound / 3**0.5, rel=0.03)
    assert net.operator.bias.any()  # the operator is a plain linear map in the official code


def test_the_encoder_of_noise_is_told_one_and_the_other_networks_zero(tiny_run, build, draw):
    method, told = build(tiny_run("methods/kdm")).eval(), {}
    net = method.student
    for name in ("encoder_noise", "encoder_clean", "decoder"):
        getattr(net, name).register_forward_pre_hook(lambda _, inputs, name=name: told.update({name: inputs[1]}))
    draw(method, [0], 1)
    net.encode_clean(torch.zeros(1, 3, 8, 8))
    assert {name: float(time) for name, time in told.items()} == {"encoder_noise": 1, "encoder_clean": 0, "decoder": 0}


def test_the_latent_evolves_linearly():
    net = KDMNet(8, 3, **TINY)
    a, b = torch.randn((2, 4, 64), generator=stream(0, "z"))
    zero = net.evolve(torch.zeros(4, 64))
    assert_close(net.evolve(torch.eye(64)) - zero[:1], net.operator.weight.T)  # a full matrix
    assert_close(net.evolve(2 * a - 3 * b) - zero, 2 * (net.evolve(a) - zero) - 3 * (net.evolve(b) - zero))


def test_the_loss_is_the_sum_of_its_terms(tiny_run, build, feed):
    run = tiny_run("methods/kdm")
    method, batch = build(run).eval(), feed(run)(0)
    method.distance = Squared()
    method.latent_noise = 0.0
    found = method.losses(batch, step=0, draws=StreamDraws(stream(0, "l")))
    net = method.student
    with torch.no_grad():
        z0 = net.encode_clean(batch.clean)
        pushed = net.evolve(net.encode_noise(batch.state(0), torch.ones(1)))
        made, kept = net.decode(pushed), net.decode(z0)
        terms = [(image - batch.clean).square().sum(dim=(1, 2, 3)).mean() for image in (made, kept)]
        fooled = -torch.sigmoid(method.discriminator(made)).log().mean()
        expected = (z0 - pushed).square().mean() + sum(terms) + 0.01 * fooled
        real = -torch.sigmoid(method.discriminator(batch.clean)).log().mean()
        told = real - (1 - torch.sigmoid(method.discriminator(made))).log().mean()
    assert_close(found["student"].detach(), expected)
    assert_close(found["discriminator"].detach(), told)


def test_noise_on_the_latents_is_drawn_from_the_steps_stream(tiny_run, build, feed):
    run = tiny_run("methods/kdm")
    method, batch = build(run).eval(), feed(run)(0)
    losses = [
        float(method.losses(batch, step=0, draws=StreamDraws(stream(0, "l", i)))["student"].detach()) for i in (0, 0, 1)
    ]
    assert losses[0] == losses[1] != losses[2]


def test_one_evaluation_samples_without_the_clean_encoder(tiny_run, trained, draw):
    method = trained(tiny_run("methods/kdm"))
    with torch.no_grad():
        for index, p in enumerate(method.student.parameters()):
            p.add_(0.05 * torch.randn(p.shape, generator=stream(6, "moved", index)))
    images = draw(method, [3, 4, 5], 1)
    assert float((images[0] - images[1]).abs().max()) > 1e-3
    assert_close(draw(method, [4], 1)[0], images[1], rtol=1e-4, atol=1e-4)
    with torch.no_grad():
        for p in method.student.encoder_clean.parameters():
            p.zero_()
    assert_close(draw(method, [3, 4, 5], 1), images, rtol=0, atol=0)
    noise = ImageStreams(0, [3]).randn((3, 8, 8))
    with torch.no_grad():
        assert_close(method.one_step(80 * noise, 80.0, None), images[:1], rtol=1e-2, atol=1e-3)
    with pytest.raises(ValueError, match="not 2"):
        draw(method, [0], 2)


@pytest.mark.parametrize("scale", ["embedded", "cpu", "paper"])
def test_the_defining_settings_of_kdm_hold_at_every_scale(settings, scale):
    run = settings("kdm", scale)
    assert (run.init, run.teacher, run.perceptual) == (None, None, True)
    assert (run.network["preset"], run.network["precond"]) == ("kdm", "none")
    assert (run.training.optimizer.name, run.params["latent_noise"]) == ("adam", 0.4)
    assert run.feed.startswith("trajectories/edm-")
