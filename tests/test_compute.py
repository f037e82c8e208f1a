"""How torch computes is chosen in one place: TF32 never by accident, bfloat16 within networks alone, all recorded."""

from __future__ import annotations

import copy
import json
from collections import Counter

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from hkd import compute, job
from hkd.compute import settle, switches
from hkd.draws import StreamDraws
from hkd.nets.precision import narrow
from hkd.plan.stages import SAMPLE, TRAIN
from hkd.seeding import stream
from hkd.settings.numerics import Compute
from hkd.settings.origins import ConfigError
from hkd.store.records import record_path
from hkd.training.ema import Average
from hkd.training.optim import Adaptive

CPU, GPU = torch.device("cpu"), torch.device("cuda")


@pytest.fixture(autouse=True)
def put_back():
    yield
    settle(Compute(), CPU)


def test_tf32_is_off_unless_asked_for_and_torchs_own_default_is_not():
    torch.backends.cudnn.allow_tf32 = True  # torch's default
    job.pick_device("cpu")  # as every stage begins
    assert not torch.backends.cudnn.allow_tf32 and not torch.backends.cuda.matmul.allow_tf32
    found = settle(Compute(precision="tf32"), CPU, training=True)
    assert torch.backends.cudnn.allow_tf32 and torch.backends.cuda.matmul.allow_tf32
    assert found["cudnn_tf32"] and found["matmul_precision"] == "high" and found["precision"] == "tf32"


@pytest.mark.parametrize("precision", ["tf32", "bf16"])
def test_an_evaluation_is_in_float32_whatever_precision_a_training_has(precision):
    found = settle(Compute(precision=precision), CPU)
    assert found["precision"] == "fp32" and not found["cudnn_tf32"] and found["matmul_precision"] == "highest"
    assert settle(Compute(evaluation="tf32"), CPU)["cudnn_tf32"]


def test_deterministic_algorithms_exclude_the_search_for_the_fastest(monkeypatch):
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    found = settle(Compute(deterministic=True), CPU)
    assert found["deterministic"] and not found["cudnn_benchmark"] and torch.backends.cudnn.deterministic
    assert compute.os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
    assert settle(Compute(), CPU)["cudnn_benchmark"] and not torch.are_deterministic_algorithms_enabled()


def test_a_card_without_that_arithmetic_is_named(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (7, 0))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Tesla V100")
    monkeypatch.setattr(torch.cuda, "set_device", lambda device: None)
    with pytest.raises(ConfigError, match=r"compute.precision: bf16 needs .* Tesla V100 with 7.0; set fp32"):
        settle(Compute(precision="bf16"), GPU, training=True)
    assert settle(Compute(precision="bf16"), GPU)["precision"] == "fp32"  # no evaluation asks for it


def test_only_what_changes_numbers_is_in_the_digest(smoke_plan):
    def digests(**keys):
        plan = smoke_plan(compute=keys)
        train = TRAIN.work(plan, dataset="shapes8", method="methods/hkd", seed=0)
        sample = SAMPLE.work(plan, dataset="shapes8", method="methods/hkd", seed=0, nfe=1)
        return train.digest, sample.digest

    as_before = digests()
    assert digests(precision="fp32", evaluation="fp32", compile=True, deterministic=True) == as_before
    for precision in ("tf32", "bf16"):
        train, sample = digests(precision=precision)
        assert train != as_before[0] and sample == as_before[1]
    train, sample = digests(evaluation="tf32")
    assert train == as_before[0] and sample != as_before[1]


def test_a_record_says_how_torch_computed(smoke_plan, tmp_path, monkeypatch):
    monkeypatch.setattr(job, "check_inputs", lambda work, *names: None)
    work = TRAIN.work(smoke_plan(compute={"precision": "tf32"}), dataset="shapes8", method="methods/ddpm", seed=0)
    monkeypatch.setattr(type(work), "inputs", lambda self, *names: [])
    (tmp_path / "weights").write_bytes(b"w")
    job.record(work, "cpu", seed=0).write(tmp_path / "weights")
    found = json.loads(record_path(tmp_path / "weights").read_text())["compute"]
    assert found == {"precision": "tf32", "compile": False, **switches()} and found["cudnn_tf32"]


# -- bfloat16 ----------------------------------------------------------------------------------------------------------


class Types(TorchDispatchMode):
    """Counts the floating types of what operations return."""

    def __init__(self) -> None:
        super().__init__()
        self.found: Counter[tuple[str, torch.dtype]] = Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        made = func(*args, **(kwargs or {}))
        for x in made if isinstance(made, tuple | list) else (made,):
            if isinstance(x, Tensor) and x.is_floating_point():
                self.found[func.overloadpacket.__name__, x.dtype] += 1
        return made

    def narrow(self) -> set[str]:
        return {name for name, dtype in self.found if dtype == torch.bfloat16}


@pytest.mark.parametrize("name", ["methods/hkd", "methods/ddpm"])
def test_bfloat16_is_within_networks_alone(name, tiny_run, build, feed, monkeypatch):
    run = tiny_run(name)
    method = copy.deepcopy(build(run)).train()
    narrow(method)
    seen = _watch(method, monkeypatch)
    with Types() as inside:
        (loss,) = method.losses(feed(run)(0), step=0, draws=StreamDraws(stream(0, "train", 0))).values()
    assert "convolution" in inside.narrow() and loss.dtype == torch.float32
    assert not inside.narrow() & {"exp", "cos", "sin", "addcmul", "sum", "mean", "square", "rsqrt"}
    assert seen and set(seen) == {torch.float32}  # what comes out of the networks, latents too
    loss.backward()
    optim = Adaptive(run.training.optimizer, method.parameter_groups("student"))
    average = Average(method.student)
    with Types() as stepping:
        optim.step()
        average.update(method.student, 0.9)
    assert not stepping.narrow()
    assert {p.grad.dtype for p in method.student.parameters() if p.grad is not None} == {torch.float32}


def _watch(method, monkeypatch) -> list[torch.dtype]:
    seen: list[torch.dtype] = []
    network = getattr(method.student, "net", method.student)
    network = getattr(network, "model", network)
    for part in [name for name in ("forward", "encode", "decode") if hasattr(network, name)]:
        bound = getattr(network, part)

        def watched(*args, bound=bound, **kwargs):
            made = bound(*args, **kwargs)
            seen.extend(x.dtype for x in (made if isinstance(made, list) else [made]))
            return made

        monkeypatch.setattr(network, part, watched)
    return seen


def test_without_a_precision_a_network_computes_as_it_always_did(tiny_run, build):
    network = build(tiny_run("methods/edm")).student.model
    x, level = torch.randn(2, 3, 8, 8, generator=stream(0, "x")), torch.zeros(2)
    before = network(x, level)
    with torch.no_grad():
        assert torch.equal(before, type(network).forward.__wrapped__(network, x, level))
    narrow(network)
    after = network(x, level)
    network.precision = None
    assert after.dtype == torch.float32 and not torch.equal(before, after)
    assert float((after - before).norm() / before.norm()) < 0.03
