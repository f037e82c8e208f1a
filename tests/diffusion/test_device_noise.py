"""Numbers that a device draws: the published vectors of Philox, and the same for an image whatever batch and device."""

from __future__ import annotations

import pytest
import torch

from hkd.data.image_shape import ImageShape
from hkd.data.kinds import shapes
from hkd.diffusion.device_noise import DeviceStreams
from hkd.draws import philox
from hkd.experiment.sample import sample_images
from hkd.plan.stages import SAMPLE
from tests.pretend_gpu import GPU, PretendGPU

CPU, SHAPE = torch.device("cpu"), ImageShape(8, 3, len(shapes.CLASSES))
FEW = {"params": {"diffusion_steps": 6}}


@pytest.mark.parametrize(
    "counter, key, expected",
    [
        ("00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
        ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
        ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
    ],
)
def test_philox_gives_its_published_vectors(counter, key, expected):
    words = [torch.tensor([int(word, 16)]) for word in counter.split()]
    first, second = (int(word, 16) for word in key.split())
    assert [f"{int(word):08x}" for word in philox(words, second << 32 | first)] == expected.split()


def test_an_image_draws_the_same_in_any_batch_and_on_any_device():
    together = DeviceStreams(3, [5, 9, 2**40], CPU)
    first, second, third = together.randn((3, 5)), together.randn((7,)), together.uniform()
    assert not torch.equal(first.flatten(1)[:, :7], second) and bool(((third >= 0) & (third < 1)).all())
    for row, index in enumerate((5, 9, 2**40)):
        alone = DeviceStreams(3, [index], CPU)
        assert torch.equal(alone.randn((3, 5))[0], first[row]) and torch.equal(alone.randn((7,))[0], second[row])
        assert torch.equal(alone.uniform()[0], third[row])
    with PretendGPU() as gpu:
        there = DeviceStreams(3, [5, 9, 2**40], GPU)
        gpu.forget()
        drawn = there.randn((3, 5))
        assert drawn.device == GPU and not gpu.reads and not gpu.copies
        assert torch.equal(drawn.cpu(), first)


def test_the_numbers_are_normal_and_independent_of_one_another():
    streams = DeviceStreams(0, range(64), CPU)
    x = torch.stack([streams.randn((1001,)) for _ in range(4)]).double()
    n = x.numel()
    assert abs(float(x.mean())) < 4 / n**0.5 and abs(float(x.square().mean()) - 1) < 4 * (2 / n) ** 0.5
    assert abs(float(x.pow(4).mean()) - 3) < 4 * (96 / n) ** 0.5 and 4 < float(x.abs().max()) < 6.7
    for a, b in ((x[0], x[1]), (x[:, 0], x[:, 1]), (x[..., :-1], x[..., 1:]), (x[..., :-2], x[..., 2:])):
        assert abs(float((a * b).mean())) < 4 / a.numel() ** 0.5


def test_a_sampler_draws_on_the_device_if_asked_to_from_the_same_first_noise(tiny_run, build):
    def sampled(draws: str, indices: list[int]):
        run = tiny_run("methods/ddpm", **FEW, sampling={"nfe": [6], "n_samples": 4, "batch": 2, "draws": draws})
        return sample_images(build(run).eval(), run, SHAPE, indices, seed=0, nfe=6, to=CPU)

    host, device = sampled("host", [0, 1]), sampled("device", [0, 1])
    assert not torch.equal(host, device)
    torch.testing.assert_close(device[1:], sampled("device", [1]), rtol=1e-4, atol=1e-4)


def test_who_draws_is_in_the_digest_of_the_samples_and_the_default_is_as_it_was(smoke_plan):
    def work(**draws):
        plan = smoke_plan(set={"sampling": draws})
        return SAMPLE.work(plan, dataset="shapes8", method="methods/ddpm", seed=0, nfe=1000)

    assert work().settings == {"n_samples": work().settings["n_samples"]}
    assert work(draws="host").digest == work().digest != work(draws="device").digest
