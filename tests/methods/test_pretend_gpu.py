"""Every method and ablation on a pretend GPU: no device error, no wait, and no copy that can be spared."""

from __future__ import annotations

import copy
import math
from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

from hkd.data.image_shape import ImageShape
from hkd.data.kinds import shapes
from hkd.experiment.feed import batches
from hkd.experiment.sample import sample_images
from hkd.training.trainer import Trainer
from tests.pretend_gpu import GPU, OnGPU, PretendGPU

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
METHODS = sorted(f"{path.parent.name}/{path.stem}" for g in ("methods", "ablations") for path in CONFIGS.glob(f"{g}/*"))
SHAPE = ImageShape(8, 3, len(shapes.CLASSES))
AUGMENTED = {"params": {"augment": 0.12}, "network": {"augment_dim": 9}}  # as EDM is at paper scale
SHORT = {"params": {"diffusion_steps": 6}, "sampling": {"nfe": [6], "n_samples": 4, "batch": 2}}
CASES = {**{name: {} for name in METHODS}, "methods/edm augmented": AUGMENTED, "methods/ddpm": SHORT}
EVERYDAY = ("methods/hkd", "methods/ddpm", "methods/edm augmented")
# what a step copies beside its batch: at most the grid of noise levels, and how likely they are; the warp of an
# augmentation is computed on the host
CONSTANTS = {"methods/edm augmented": 3}


def everyday(name: str) -> object:
    marks = [] if name in EVERYDAY else [pytest.mark.slow]
    return pytest.param(name, marks=[*marks, pytest.mark.ci] if name == "methods/dmd" else marks)


def steps_of(name: str, run) -> int:
    return 4 if "score_sde" in name else min(run.sampling.nfe)


@pytest.fixture
def on_gpu(tiny_run, build, images, trajectories_of):
    """A method on the device, its settings, and its feed."""

    def made(name: str):
        changes = {key: dict(value) for key, value in CASES[name].items()}
        run = tiny_run(name.split()[0], training={"draws": "image"}, **changes)
        method = copy.deepcopy(build(run)).to(GPU)  # other tests have the same teacher and distance
        solved = trajectories_of(run)
        return method, run, batches(run, images=images, trajectories=solved, seed=0, to=GPU, place="device")

    return made


@pytest.mark.parametrize("name", [everyday(name) for name in CASES])
def test_a_step_and_a_sample_never_wait_for_the_device(name, on_gpu):
    with PretendGPU() as gpu:
        method, run, feed = on_gpu(name)
        trainer = Trainer(method.train(), run.training, seed=0)
        if method.trains:
            trainer.step(feed(0))  # the first brings to the device what stays there
        gpu.forget()
        if method.trains:
            trainer.step(feed(1))
        reads, copies = dict(gpu.reads), dict(gpu.copies)
        copied = {where: n for where, n in copies.items() if not where.startswith("hkd/data/")}
        if method.trains:
            assert math.isfinite(trainer.read()["loss/" + method.trains[0]]) and sum(gpu.reads.values()) <= 1
        gpu.forget()
        nfe = steps_of(name, run)
        with torch.no_grad():
            sample_images(method.eval(), run, SHAPE, range(2), seed=0, nfe=nfe, to=GPU)
        sampled = dict(gpu.copies)
    print(f"{name:36} step: {sum(reads.values())} reads, {copies}; sample of {nfe}: {sampled}")  # with -rP, a table
    assert not reads and not gpu.reads
    assert sum(copied.values()) <= CONSTANTS.get(name, 2), copied
    assert not [where for where in copied if where.startswith(("hkd/nets", "hkd/koopman", "hkd/training"))], copied
    # beside the first noise and the classes, a sampler copies what it draws, and no number that the host knows
    again = {"methods/ddpm": nfe - 1, "methods/score_sde": nfe, "methods/score_sde_deep": nfe}.get(name, 0)
    assert sum(sampled.values()) == 1 + run.conditional + again, sampled


@pytest.mark.slow
def test_what_the_device_computes_is_what_the_host_computes(on_gpu, tiny_run, build, feed):
    name = "methods/hkd"
    run = tiny_run(name, training={"draws": "image"})
    here = build(run).train()
    Trainer(here, run.training, seed=0).step(feed(run)(0))
    with PretendGPU():
        there, _, on_device = on_gpu(name)
        Trainer(there.train(), run.training, seed=0).step(on_device(0))
        found = {key: value.cpu() for key, value in there.artefact().items()}
    for key, value in here.artefact().items():  # attention alone is in other steps
        assert_close(value, found[key], rtol=1e-4, atol=1e-5)


def test_it_refuses_what_a_gpu_refuses():
    host = torch.ones(3)
    with PretendGPU():
        there = host.to("cuda")
        assert there.device == GPU and there.is_cuda and isinstance(there, OnGPU)
        with pytest.raises(RuntimeError, match="same device"):
            there + host
        with pytest.raises(RuntimeError, match="same device"):
            torch.cat((there, host))
        with pytest.raises(RuntimeError, match="same device"):
            torch.ones(3, device="cuda").copy_(host) @ host
        with pytest.raises(RuntimeError, match="for generator"):
            torch.randn(3, device=GPU, generator=torch.Generator())
        with pytest.raises(RuntimeError, match="for generator"):
            torch.empty_like(there).normal_(generator=torch.Generator())
        with pytest.raises(RuntimeError, match="indexed tensor"):
            host[torch.zeros(1, dtype=torch.long, device=GPU)]
        with pytest.raises(TypeError, match="numpy"):
            there.numpy()
        assert_close((there * torch.tensor(2.0)).cpu(), 2 * host)  # a number without dimensions may lie on the host


@pytest.mark.parametrize(
    "read", [float, bool, lambda x: x.item(), lambda x: x.cpu(), lambda x: x.tolist(), lambda x: x.to("cpu")]
)
def test_every_way_to_read_a_number_is_counted(read):
    with PretendGPU() as gpu:
        number = torch.ones((), device="cuda")
        read(number)
        assert sum(gpu.reads.values()) == 1 and not gpu.copies


def test_masks_and_searches_wait_and_numbers_from_lists_are_copied():
    with PretendGPU() as gpu:
        x = torch.arange(4.0, device="cuda")
        for count, read in enumerate((lambda: x[x > 1], lambda: x.nonzero(), lambda: torch.equal(x, x)), start=1):
            read()
            assert sum(gpu.reads.values()) == count
        assert not gpu.copies
        torch.tensor([1.0, 2.0], device="cuda"), x.new_tensor((1, 2)), torch.as_tensor(3.0, device="cuda")
        x[torch.tensor([0, 1])]
        assert sum(gpu.copies.values()) == 4
        torch.full((2,), 3.0, device="cuda"), x.new_full((1,), 2.0), torch.zeros(2, device=x.device)
        assert sum(gpu.copies.values()) == 4
