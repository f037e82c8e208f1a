"""What only a GPU can show: `make test-gpu`, ten minutes on one card. It needs torch, numpy, pydantic, pyyaml,
safetensors, typer, pillow and pytest; a test that needs more is skipped by name."""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch.nn.utils import parameters_to_vector

from hkd.compute import settle
from hkd.data.image_shape import ImageShape
from hkd.data.kinds import shapes
from hkd.draws import of_step
from hkd.experiment.feed import batches
from hkd.experiment.sample import sample_images
from hkd.nets.precond import EDMPrecond
from hkd.seeding import stream
from hkd.settings.numerics import Compute
from hkd.training.checkpoint import Checkpoints, Progress
from hkd.training.costs import SLACK, step_cost
from hkd.training.ema import Average
from hkd.training.optim import Adaptive, named_state
from hkd.training.snapshot import Snapshots
from tests.gpu import probes
from tests.gpu.trainings import ROOT, one_step, training
from tests.nets.test_unet import GOLDEN, fill

pytestmark = pytest.mark.gpu

METHODS = sorted(f"{p.parent.name}/{p.stem}" for g in ("methods", "ablations") for p in ROOT.glob(f"configs/{g}/*"))
SHAPE = ImageShape(8, 3, len(shapes.CLASSES))
WAYS = {
    "fp32": {},
    "tf32": {},
    "bf16": {"bf16": True},
    "bf16 channels_last": {"bf16": True, "channels_last": True},
    "bf16 compiled": {"bf16": True, "compiled": True},
}
BATCH = {"edm": 128, "hkd": 32}


def settled(way: str, device: torch.device) -> None:
    settle(Compute(precision=way.split()[0]), device, training=True)


@pytest.mark.parametrize("precision", ["fp32", "tf32", "bf16"])
def test_products_and_convolutions(device, report, precision):
    settled(precision, device)
    product = probes.product_tflops(device, precision, size=8192, rounds=10)
    convolution = probes.convolution_tflops(device, precision, batch=128, width=256, size=32, rounds=10)
    report.note(f"product TFLOP/s {precision}", product)
    report.note(f"convolution TFLOP/s {precision}", convolution)
    assert product > 0 and convolution > 0


@pytest.mark.parametrize("name", list(GOLDEN))
def test_networks_of_edm_in_float32(device, report, name):
    apart = probes.distance_to_published(device, name)
    report.note(f"{name}: difference to published numbers", apart)
    assert apart < 1e-4


@pytest.mark.parametrize("name", METHODS)
def test_every_config_makes_the_step_and_the_sample_of_the_cpu(device, name, tiny_run, build, images, trajectories_of):
    short = {"params": {"diffusion_steps": 6}} if name == "methods/ddpm" else {}
    run, found = tiny_run(name, **short), []
    nfe = {"methods/ddpm": 6}.get(name, 4 if "score_sde" in name else min(run.sampling.nfe))
    for where in (torch.device("cpu"), device):
        built = copy.deepcopy(build(run)).to(where).train()
        numbers = []
        if built.trains:
            feed = batches(run, images=images, trajectories=trajectories_of(run), seed=0, to=where)
            optims = {n: Adaptive(run.training.optimizer, built.parameter_groups(n)) for n in built.trains}
            averages = {n: Average(getattr(built, n)) for n in built.trains}
            numbers.append(one_step(built, optims, averages, feed(0), 0).cpu().reshape(1))
            numbers.append(parameters_to_vector(getattr(built, built.trains[0]).parameters()).detach().cpu())
        with torch.no_grad():
            made = sample_images(built.eval(), run, SHAPE, range(2), seed=0, nfe=nfe, to=where)
        found.append([*numbers, made.cpu().flatten()])
    for here, there in zip(*found, strict=True):
        assert float((here - there).norm() / here.norm().clamp(min=1e-6)) < 1e-3


@pytest.mark.parametrize("way", list(WAYS))
@pytest.mark.parametrize("name", ["edm", "hkd"])
def test_time_and_memory_of_a_full_step(device, report, name, way):
    settled(way, device)
    torch.cuda.reset_peak_memory_stats(device)
    made = training(name, device, batch=BATCH[name], **WAYS[way])
    time = probes.seconds(lambda: made.go(1), device, rounds=8)
    peak = torch.cuda.max_memory_allocated(device)
    parameters = sum(p.numel() for n in made.built.trains for p in getattr(made.built, n).parameters())
    kept = 4 * 5 * parameters  # weights, gradients, two moments and the average, float32 each
    report.note(f"{name} {way}: ms a step of {BATCH[name]}", 1000 * time)
    report.note(f"{name} {way}: peak MiB", peak / 2**20)
    report.note(f"{name} {way}: MiB an image beside {kept / 2**20:.0f} kept", (peak - kept) / BATCH[name] / 2**20)
    assert peak > kept


@pytest.mark.parametrize("name", ["edm", "hkd"])
def test_the_device_is_busy(device, report, name):
    settled("bf16", device)
    made = training(name, device, batch=BATCH[name], bf16=True)
    made.go(10)
    probes.wait(device)
    kinds = [torch.profiler.ProfilerActivity.CPU, torch.profiler.ProfilerActivity.CUDA]
    with torch.profiler.profile(activities=kinds) as profile:
        time = probes.seconds(lambda: made.go(200 if name == "edm" else 50), device, rounds=1, warm=0)
    events = [e.time_range for e in profile.events() if e.device_type == torch.autograd.DeviceType.CUDA]
    busy = probes.busy_share([(e.start, e.end) for e in events], 1e6 * time)
    report.note(f"{name} bf16: busy share under the profiler", busy)
    assert busy > 0.95


def test_draws_on_the_device_are_those_of_the_host(device, report):
    apart = probes.drawn_apart(device)
    report.note("draws: largest difference to the host's", apart)
    assert apart < 1e-6


def test_a_state_resumes_to_the_same_weights(device, report, tmp_path):
    from hkd.training.optim import load_named_state

    settle(Compute(deterministic=True), device, training=True)
    whole = training("edm", device, batch=16)
    whole.go(3)
    state = {f"m/{k}": v for k, v in whole.built.training_state().items()}
    state |= {f"o/{k}": v for k, v in named_state(whole.optims["student"]).items()}
    checkpoints = Checkpoints(tmp_path, "probe")
    report.note(
        "seconds to write a state of EDM, as it is today",
        probes.seconds(lambda: checkpoints.save(state, Progress(step=3)), device, rounds=1, warm=0),
    )
    whole.go(3)
    loaded = checkpoints.load()
    assert loaded is not None
    resumed = training("edm", device, batch=16, seed=1)
    resumed.batches = whole.batches
    resumed.built.load_training_state({k[2:]: v for k, v in loaded[0].items() if k.startswith("m/")})
    load_named_state(resumed.optims["student"], {k[2:]: v for k, v in loaded[0].items() if k.startswith("o/")})
    resumed.step = 3
    resumed.go(3)
    for here, there in zip(whole.built.student.parameters(), resumed.built.student.parameters(), strict=True):
        assert torch.equal(here, there)


def test_a_state_stops_the_steps_for_a_fifth_of_a_second_at_most(device, report, tmp_path):
    made = training("edm", device, batch=16)
    made.go(1)
    state = {f"m/{k}": v for k, v in made.built.training_state().items()}
    state |= {f"o/{k}": v for k, v in named_state(made.optims["student"]).items()}
    state |= {f"e/{k}": v for k, v in made.averages["student"].values.items()}
    with Snapshots(Checkpoints(tmp_path, "probe")) as snapshots:
        snapshots.save(state, Progress(step=1))  # takes the memory that later ones are copied into
        snapshots.finish()
        probes.wait(device)
        stall = probes.seconds(lambda: snapshots.save(state, Progress(step=2)), device, rounds=1, warm=0)
    report.note("seconds for which a state stops the steps", stall)
    assert stall <= 0.2


@pytest.mark.parametrize("name", ["edm", "hkd"])
def test_the_bytes_of_an_image_are_those_counted(device, report, name):
    made, size = training(name, device, batch=BATCH[name]), BATCH[name]
    (whole,) = made.batches
    few, more = (training(name, device, batch=n).batches[0] for n in (1, 2))
    cost = step_cost(made.built, few, more, draws="image")
    made.go(1)
    before = torch.cuda.memory_allocated(device)
    torch.cuda.reset_peak_memory_stats(device)
    losses = made.built.losses(whole, step=1, draws=of_step("image", 0, 1, batch=None, first=0, device=device))
    kept = (torch.cuda.memory_allocated(device) - before) / size
    sum(losses.values()).backward()  # type: ignore[union-attr]
    peak = (torch.cuda.max_memory_allocated(device) - before) / size
    report.note(f"{name}: MiB an image, counted", cost.kept / 2**20)
    report.note(f"{name}: MiB an image, kept", kept / 2**20)
    report.note(f"{name}: MiB an image, at the peak", peak / 2**20)
    assert kept == pytest.approx(cost.kept, rel=0.1) and peak < SLACK * cost.kept


def test_processes_exchange_gradients_over_nccl(device, tmp_path):
    """One process, which is all that a card holds, through all that several do."""
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "1"]
    command = [*launch, str(ROOT / "tests/training/together.py"), str(tmp_path), "5", "4"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TOGETHER_DEVICE": "cuda:0"}
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert ran.returncode == 0, ran.stderr
    assert json.loads((tmp_path / "progress.json").read_text()) == {"network_evals": 80, "nonfinite": [2]}


def test_what_tf32_does_to_trajectories(device, report):
    build, *_ = GOLDEN["cifar10 ddpm++"]
    net = fill(EDMPrecond(build())).to(device).eval()
    noise = torch.randn((16, 3, 32, 32), generator=stream(0, "noise")).to(device)

    def switch(on: bool) -> None:
        settle(Compute(evaluation="tf32" if on else "fp32"), device)

    apart = probes.trajectories_apart(net, noise, switch, steps=18)
    report.note("Heun-18, TF32 against float32: relative RMS difference of images", apart)
    assert apart < 0.05


@pytest.mark.parametrize("name", ["edm", "hkd"])
def test_300_steps_in_bfloat16_have_the_losses_of_float32(device, report, name):
    def losses(way: str, seed: int) -> list[float]:
        settled(way, device)
        made = training(name, device, batch=BATCH[name] // 4, seed=seed, bf16=way == "bf16", batches=16)
        return torch.stack(made.go(300)).tolist()

    inside, said = probes.within_the_seeds_band(losses("bf16", 0), [losses("fp32", 0), losses("fp32", 1)], last=50)
    report.note(f"{name}: losses of steps 251 to 300", said)
    assert inside, said


def test_lpips_itself_on_the_device(device, report):
    pytest.importorskip("lpips", reason="needs the package lpips")
    from hkd.methods.distances import LPIPS
    from hkd.store.published import WEIGHTS

    file = Path("weights") / WEIGHTS["lpips-vgg"].filename
    if not file.is_file():
        pytest.skip(f"needs {file}: run `hkd fetch lpips-vgg`")
    distance = LPIPS("vgg", file, 224).to(device)
    x = torch.rand(16, 3, 32, 32, device=device) * 2 - 1
    time = probes.seconds(lambda: distance(x, distance.features(-x)), device, rounds=8)
    report.note("LPIPS (VGG16, 224 pixels), ms for 16 images", 1000 * time)
    assert time > 0
