"""Steps that are not finite: passed over or zeroed as the source does, counted, and too many of them refused."""

from __future__ import annotations

import json
import math

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from hkd.methods.base import Method
from hkd.settings.sections import Ema, Optimizer, Training
from hkd.training.checkpoint import Checkpoints, Progress
from hkd.training.loop import Conduct, train
from hkd.training.nonfinite import Diverged, note, zero
from hkd.training.trainer import Trainer

NAN, INF = math.nan, math.inf


class Pair(Method):
    """Two weights (one network), whose gradients are the numbers of the batch; and a second network, of its own."""

    trains = ("student", "fake")

    def __init__(self) -> None:
        super().__init__()
        self.student, self.fake = nn.Linear(2, 1, bias=False), nn.Linear(1, 1, bias=False)
        for net in (self.student, self.fake):
            nn.init.ones_(net.weight)

    def losses(self, batch, *, step, draws):
        one, two, other = (torch.tensor(value) for value in batch)
        first, second = self.student.weight[0]
        return {"student": one * first + two * second, "fake": other * self.fake.weight.sum()}


def settings(**changes) -> Training:
    values = {
        "steps": 2000,
        "batch": 1,
        "optimizer": Optimizer(name="adam", lr=0.1, betas=(0.9, 0.99), eps=1e-8, weight_decay=0.0),
        "warmup_steps": 0,
        "schedule": "constant",
        "final_lr": 1.0,
        "clip": None,
        "ema": Ema(kind="constant", decay=0.5),
        "flip": False,
    }
    return Training(**{**values, **changes})


def at(bad: dict[int, tuple[float, float, float]]):
    """Batches that are bad at some steps."""
    return lambda step: bad.get(step, (1.0, 1.0, 1.0))


def state(trainer: Trainer) -> dict[str, torch.Tensor]:
    return {key: value.clone() for key, value in trainer.state().items()}


@pytest.mark.parametrize("bad", [NAN, INF, -INF])
def test_a_step_that_is_skipped_changes_nothing_but_its_number(bad):
    trainer = Trainer(Pair(), settings(), seed=0)
    trainer.step((1.0, 1.0, 1.0))
    before = state(trainer)
    trainer.step((bad, 1.0, NAN))
    after = state(trainer)
    assert all(torch.equal(after[key], before[key]) for key in before)
    assert (trainer.progress.step, trainer.progress.nonfinite, trainer.progress.nonfinite_steps) == (2, [1], 1)


def test_only_the_network_that_is_not_finite_is_passed_over():
    trainer = Trainer(Pair(), settings(), seed=0)
    trainer.step((NAN, 1.0, 1.0))
    assert torch.equal(trainer.method.student.weight, torch.ones(1, 2))
    assert trainer.method.fake.weight.item() == pytest.approx(0.9, rel=1e-5)
    assert trainer.averages["student"].values["weight"].tolist() == [[1.0, 1.0]]
    assert trainer.averages["fake"].values["weight"].item() == pytest.approx(0.95, rel=1e-5)


def test_zeroing_makes_the_step_with_the_numbers_that_are_left():
    """Adam's first step has the sign of the gradient: the weight whose gradient is NaN stays, the other moves."""
    trainer = Trainer(Pair(), settings(nonfinite="zero"), seed=0)
    trainer.step((NAN, 2.0, 1.0))
    assert_close(trainer.method.student.weight, torch.tensor([[1.0, 0.9]]), rtol=1e-5, atol=0)
    assert_close(trainer.averages["student"].values["weight"], torch.tensor([[1.0, 0.95]]), rtol=1e-5, atol=0)
    assert trainer.progress.nonfinite == [0]


def test_the_zeros_and_bounds_are_those_of_the_official_codes():
    gradient = torch.tensor([NAN, INF, -INF, 3.0, -2e7])
    zero([gradient])
    assert gradient.tolist() == [0.0, 1e5, -1e5, 3.0, -2e7]


def test_after_zeroing_the_gradient_is_clipped():
    trainer = Trainer(Pair(), settings(nonfinite="zero", clip=1.0), seed=0)
    trainer.step((NAN, 30.0, 1.0))
    assert_close(trainer.method.student.weight.grad, torch.tensor([[0.0, 1.0]]), rtol=1e-5, atol=0)


def test_a_gradient_too_large_for_its_norm_makes_no_step():
    trainer = Trainer(Pair(), settings(nonfinite="zero", clip=1.0), seed=0)
    trainer.step((1e30, 1.0, 1.0))  # finite, its square is not
    assert torch.equal(trainer.method.student.weight, torch.ones(1, 2))
    assert trainer.progress.nonfinite == [0]


@pytest.mark.parametrize("clip", [None, 0.5, 100.0])
def test_the_norm_and_the_clipping_of_a_finite_gradient_are_torchs_to_the_bit(clip):
    from hkd.training.trainer import _clip, _norm

    generator = torch.Generator().manual_seed(0)
    weights = [nn.Parameter(torch.zeros(shape)) for shape in ((7, 5), (3,), (2, 3, 4, 4))]
    for weight in weights:
        weight.grad = torch.randn(weight.shape, generator=generator)
    ours = [weight.grad.clone() for weight in weights]
    norm = _norm(ours)
    _clip(ours, norm, clip)
    assert torch.equal(norm, torch.nn.utils.clip_grad_norm_(weights, clip or INF))
    assert all(torch.equal(one, weight.grad) for one, weight in zip(ours, weights, strict=True))


@pytest.mark.parametrize(("total", "allowed"), [(5, 1), (100, 1), (250, 2), (1000, 10), (800000, 10)])
def test_one_step_in_a_hundred_of_the_last_thousand_is_survived(total, allowed):
    progress = Progress()
    for k in range(allowed):
        note(progress, 3 * k, total, {})
    with pytest.raises(
        Diverged, match=rf"{allowed + 1} of the last {min(total, 1000):,} steps were not finite \(x nan\)"
    ):
        note(progress, min(total, 1000) - 1, total, {"x": NAN, "y": 1.0})
    assert progress.nonfinite_steps == allowed + 1


def test_steps_further_back_than_a_thousand_do_not_count():
    progress = Progress()
    for step in range(0, 100000, 100):  # one in a hundred, for ever: ten among any thousand
        note(progress, step, 800000, {})
    assert progress.nonfinite_steps == 1000 and len(progress.nonfinite) == 10


def test_too_many_stop_the_training_with_one_line_and_its_weights_are_finite(tmp_path):
    trainer = Trainer(Pair(), settings(steps=40), seed=0)
    bad = (NAN, 1.0, 1.0)
    with pytest.raises(
        Diverged, match=r"step 7: 2 of the last 40 .*loss/student nan.*lower training.optimizer.lr"
    ) as it:
        train(
            trainer, at({3: bad, 7: bad}), Checkpoints(tmp_path, "x"), title="", conduct=Conduct(checkpoint_seconds=0)
        )
    assert "\n" not in str(it.value) and it.value.step == 7
    tensors, progress = Checkpoints(tmp_path, "x").load()
    assert progress.step == 7 and all(bool(torch.isfinite(value).all()) for value in tensors.values())


def test_one_is_survived_and_said(tmp_path, capsys):
    trainer = Trainer(Pair(), settings(steps=40), seed=0)
    train(trainer, at({3: (NAN, 1.0, 1.0)}), Checkpoints(tmp_path, "x"), title="t")
    assert trainer.progress.step == 40 and trainer.progress.nonfinite_steps == 1
    said = "t: step 3 is not finite (loss/student nan, grad_norm/student nan): passed over"
    assert said in capsys.readouterr().err


def test_the_history_stays_json(tmp_path):
    trainer = Trainer(Pair(), settings(steps=20), seed=0)
    train(trainer, at({3: (NAN, 1.0, 1.0)}), Checkpoints(tmp_path, "x"), title="t")

    def refuse(name):
        pytest.fail(f"{name} is no JSON")

    text = (tmp_path / "history.jsonl").read_text()
    lines = [json.loads(line, parse_constant=refuse) for line in text.splitlines()]
    assert [line["loss/student"] is None for line in lines] == [step == 3 for step in range(20)]


@pytest.mark.parametrize("policy", ["skip", "zero"])
@pytest.mark.parametrize("stop", [4, 5, 6, 9])
def test_a_resumed_training_meets_the_same_bad_steps_and_ends_with_the_same_bits(tmp_path, policy, stop):
    bad = at({5: (NAN, 1.0, 1.0), 8: (1.0, INF, 1.0), 15: (1.0, 1.0, NAN)})

    def made(first: int, last: int, trainer: Trainer) -> Trainer:
        for step in range(first, last):
            trainer.step(bad(step))
        return trainer

    def fresh() -> Trainer:
        return Trainer(Pair(), settings(steps=200, nonfinite=policy), seed=0)

    through, stopped, resumed = made(0, 15, fresh()), made(0, stop, fresh()), fresh()
    Checkpoints(tmp_path, "x").save(stopped.state(), stopped.progress)
    resumed.load_state(*Checkpoints(tmp_path, "x").load())
    made(stop, 15, resumed)
    assert resumed.progress.nonfinite == through.progress.nonfinite == [5, 8]
    assert all(torch.equal(value, resumed.state()[key]) for key, value in through.state().items())
    for trainer in (through, resumed):
        with pytest.raises(Diverged, match="step 15: 3 of the last 200"):  # those before the stop count
            trainer.step(bad(15))


@pytest.mark.parametrize(
    ("method", "policy"),
    [("edm", "zero"), ("edm_ve", "zero"), ("ecm", "zero"), ("kdm", "zero"), ("rf2pp", "skip"), ("hkd", "skip")],
)
def test_every_method_does_as_its_source(root, method, policy):
    from hkd.plan.runs import Plan

    for scale in ("embedded", "cpu", "paper"):
        plan = Plan.load(str(root / "configs/benchmarks/embedded.yaml"), {"scale": scale}, root / "configs")
        assert plan.run("cifar10", f"methods/{method}").training.nonfinite == policy
