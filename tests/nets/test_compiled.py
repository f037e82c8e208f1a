"""Every network is one graph of `torch.compile`, is still counted, and without it has derivatives in forward mode."""

from __future__ import annotations

import copy

import pytest
import torch
from torch.func import jvp

from hkd.draws import StreamDraws
from hkd.methods.evaluations import EvaluationCounter, networks
from hkd.nets.assemble import build
from hkd.nets.compiled import compile_networks
from hkd.nets.precision import narrow
from hkd.nets.presets import NetworkConfig
from hkd.seeding import stream
from tests.pretend_gpu import PretendGPU

SMALL = {"model_channels": 8, "channel_mult": (1, 2), "num_blocks": 1, "attn_resolutions": (4, 8), "dropout": 0.1}
WIDE = {**SMALL, "model_channels": 64, "channel_mult": (1,)}  # a head of Dhariwal's attention has 64 channels
PRESETS = {"ddpmpp": ("edm", SMALL), "ncsnpp": ("ve", SMALL), "adm": ("edm", WIDE), "ddpm": ("none", SMALL)}

TIME = torch.ones(1)


class Graphs:
    """A backend that counts the graphs that it is given, and runs them as they are."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, graph, inputs):
        self.count += 1
        return graph.forward


@pytest.fixture
def graphs():
    torch._dynamo.reset()
    yield Graphs()
    torch._dynamo.reset()


def network(preset: str, precond: str, size: dict):
    made = build(NetworkConfig(preset, precond, **size), resolution=8, channels=3, label_dim=0, seed=1)
    with torch.no_grad():  # as after training: a fresh network's last map is almost zero
        for index, value in enumerate(made.parameters()):
            value.add_(0.05 * torch.randn(value.shape, generator=stream(6, "moved", index)))
    return made


def images(*address: int) -> torch.Tensor:
    return torch.randn(2, 3, 8, 8, generator=stream(0, "images", *address))


@pytest.mark.slow
@pytest.mark.parametrize("preset", [pytest.param("ddpmpp", marks=pytest.mark.ci), "ncsnpp", "adm", "ddpm"])
def test_a_network_is_one_graph_and_its_evaluations_are_counted(preset, graphs):
    holder = torch.nn.Module()
    holder.student = network(preset, *PRESETS[preset]).eval()
    plain = copy.deepcopy(holder.student)
    compile_networks(holder, graphs)
    x, level = images(), torch.tensor([1.0, 2.0])
    for calls in (1, 2, 3):
        with EvaluationCounter(networks(holder)) as counter:  # a hook that comes and goes
            found = holder.student(x, level)
        assert counter.counted == len(x) and graphs.count == 1, calls
    assert torch.equal(found, plain(x, level))


@pytest.mark.slow
def test_kdms_network_is_one_graph_and_each_of_its_parts_in_a_training_too(graphs):
    net = network("kdm", "none", SMALL).eval()
    whole = torch.compile(copy.deepcopy(net).forward, fullgraph=True, backend=graphs)
    assert torch.equal(whole(images(), torch.ones(1)), net(images(), torch.ones(1))) and graphs.count == 1
    holder = torch.nn.Module()
    holder.student = net
    compile_networks(holder, graphs)
    with EvaluationCounter(networks(holder)) as counter:
        net(images(), torch.ones(1))
    assert graphs.count == 3 and counter.counted == 2  # of its three U-Nets, sampling calls two


def test_hkds_network_is_one_graph_and_its_evaluations_are_counted(graphs, tiny_run, build):
    run = tiny_run("methods/hkd")
    method = copy.deepcopy(build(run)).eval()
    plain = copy.deepcopy(method)
    compile_networks(method, graphs)
    with torch.no_grad(), EvaluationCounter(networks(method)) as counter:
        made = method.sample(images(), labels=None, nfe=1, streams=None)
        assert counter.counted == 2 and graphs.count == 1
        torch.testing.assert_close(made, plain.sample(images(), labels=None, nfe=1, streams=None), rtol=1e-4, atol=1e-4)


@pytest.mark.slow
def test_a_compiled_training_has_the_gradients_of_a_plain_one(graphs, tiny_run, build, feed):
    run, found = tiny_run("methods/hkd"), []
    for compiled in (False, True):
        method = copy.deepcopy(build(run)).eval()
        if compiled:
            compile_networks(method, graphs)
        for step in range(3):
            method.zero_grad()
            (loss,) = method.losses(feed(run)(0), step=step, draws=StreamDraws(stream(0, "train", 0))).values()
            loss.backward()
        found.append([p.grad for p in method.student.parameters() if p.grad is not None])
    assert graphs.count == 2  # of the encoder, and of operators and decoder
    for plain, other in zip(*found, strict=True):
        torch.testing.assert_close(plain, other, rtol=1e-3, atol=1e-5)


@pytest.mark.slow
def test_a_network_in_bfloat16_is_one_graph_too(graphs):
    holder = torch.nn.Module()
    holder.student = network("ddpmpp", "edm", SMALL).eval()
    narrow(holder)
    plain = holder.student(images(), 1.5)
    compile_networks(holder, graphs)
    assert torch.equal(holder.student(images(), 1.5), plain) and graphs.count == 1


@pytest.mark.parametrize("preset", [*PRESETS, "kdm"])
def test_derivatives_in_forward_mode_are_those_of_differences(preset):
    precond, size = PRESETS.get(preset, ("none", SMALL))
    net, x, v = network(preset, precond, size).eval(), images(), images(1)
    level = torch.tensor([1.0, 2.0])
    _, found = jvp(lambda x: net(x, level), (x,), (v,))
    with torch.no_grad():
        expected = (net(x + 1e-2 * v, level) - net(x - 1e-2 * v, level)) / 2e-2
    assert float((found - expected).norm() / expected.norm()) < 2e-3


def test_derivatives_in_forward_mode_go_through_the_operators(tiny_run, build):
    net, x, v = build(tiny_run("methods/hkd")).student.eval(), images(), images(1)
    with torch.no_grad():
        for index, rates in enumerate(net.koopman_parameters()):
            rates.copy_(0.01 * torch.randn(rates.shape, generator=stream(0, "rates", index)))
    level, faster = torch.tensor([10.0, 20.0]), torch.ones(2)
    _, found = jvp(lambda x, s: net(x, s), (x, level), (v, faster))
    with torch.no_grad():
        ahead, behind = net(x + 1e-2 * v, level + 1e-2 * faster), net(x - 1e-2 * v, level - 1e-2 * faster)
    expected = (ahead - behind) / 2e-2
    assert float((found - expected).norm() / expected.norm()) < 1e-2


def test_on_a_gpu_attention_hands_contiguous_rows_to_its_kernel(monkeypatch):
    strides, kernel = [], torch.nn.functional.scaled_dot_product_attention

    def seen(*parts):
        strides.append(all(part.is_contiguous() for part in parts))
        return kernel(*parts)

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", seen)
    for preset in PRESETS:
        with PretendGPU():
            network(preset, *PRESETS[preset]).to("cuda")(
                images().to("cuda"), 1.5 if preset != "ddpm" else TIME.to("cuda")
            )
    assert len(strides) > 6 and all(strides)
