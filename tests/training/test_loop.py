"""The loop: its steps, its log, and when it stops."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from hkd.methods.base import Method
from hkd.settings.origins import ConfigError
from hkd.settings.sections import Ema, Optimizer, Training
from hkd.training.checkpoint import Checkpoints
from hkd.training.journal import _no_share
from hkd.training.loop import Conduct, train
from hkd.training.trainer import Trainer


class Two(Method):
    """Two networks, one loss each: the second's loss sees the first after its step."""

    trains = ("student", "fake")

    def __init__(self) -> None:
        super().__init__()
        self.student, self.fake = nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False)
        self.after: list[int] = []
        for net in (self.student, self.fake):
            nn.init.ones_(net.weight)

    def losses(self, batch, *, step, draws):
        self.drawn = draws.normal((2,))
        self.dropped = torch.rand(2)  # what dropout would draw
        return {"student": batch * self.student(torch.ones(1, 1)).sum(), "fake": self.fake(torch.ones(1, 1)).sum()}

    def after_step(self, step: int) -> None:
        self.after.append(step)


def settings(**changes) -> Training:
    values = {
        "steps": 40,
        "batch": 4,
        "optimizer": Optimizer(name="adam", lr=0.1, betas=(0.9, 0.99), eps=1e-8, weight_decay=0.0),
        "warmup_steps": 0,
        "schedule": "constant",
        "final_lr": 1.0,
        "clip": None,
        "ema": Ema(kind="constant", decay=0.5),
        "flip": False,
    }
    return Training(**{**values, **changes})


def test_every_trained_network_is_stepped_and_averaged():
    trainer = Trainer(Two(), settings(), seed=0)
    facts = trainer.step(2.0)
    assert_close(trainer.method.student.weight.item(), 0.9, rtol=1e-5, atol=0)
    assert_close(trainer.method.fake.weight.item(), 0.9, rtol=1e-5, atol=0)
    assert_close(trainer.averages["fake"].values["weight"].item(), 0.95, rtol=1e-5, atol=0)
    assert facts == pytest.approx(
        {"loss/student": 2.0, "grad_norm/student": 2.0, "loss/fake": 1.0, "grad_norm/fake": 1.0, "lr": 0.1}
    )
    assert trainer.method.after == [1]


def test_the_artefact_is_averaged_where_the_method_samples_with_it():
    trainer = Trainer(Two(), settings(), seed=0)
    trainer.step(2.0)
    assert trainer.averaged().keys() == {"student.weight"}
    assert_close(trainer.averaged()["student.weight"].item(), 0.95, rtol=1e-5, atol=0)


def test_a_step_draws_from_its_own_number_alone():
    a, b = (Trainer(Two(), settings(), seed=3) for _ in range(2))
    a.step(1.0)
    a.step(1.0)
    b.progress.step = 1
    torch.randn(7)
    b.step(1.0)
    assert torch.equal(a.method.drawn, b.method.drawn) and torch.equal(a.method.dropped, b.method.dropped)


def test_a_gradient_beyond_the_limit_is_cut_to_it():
    trainer = Trainer(Two(), settings(clip=0.5), seed=0)
    assert trainer.step(2.0)["grad_norm/student"] == pytest.approx(2.0)  # logged as it was
    assert trainer.method.student.weight.grad.abs().item() == pytest.approx(0.5, rel=1e-4)


def test_twenty_lines_of_history_are_kept_whatever_the_length(tmp_path):
    train(Trainer(Two(), settings(), seed=0), lambda step: 1.0, Checkpoints(tmp_path, "x"), title="")
    lines = [json.loads(line) for line in (tmp_path / "history.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == list(range(2, 41, 2))
    assert {"loss/student", "loss/fake", "lr"} <= lines[0].keys()


def test_history_after_the_resumed_step_is_dropped_with_a_line_cut_short(tmp_path):
    train(Trainer(Two(), settings(steps=20), seed=0), lambda step: 1.0, Checkpoints(tmp_path, "x"), title="")
    path = tmp_path / "history.jsonl"
    damaged = b"\n\xff\xfe\n" + b"[" * 99_999 + b'\n{"step": 3'
    path.write_bytes(path.read_bytes() + json.dumps({"step": 25}).encode() + damaged)
    train(Trainer(Two(), settings(), seed=0), lambda step: 1.0, Checkpoints(tmp_path, "x"), title="")
    steps = [json.loads(line)["step"] for line in path.read_text().splitlines()]
    assert steps == sorted(set(steps)) and steps[-1] == 40


def test_a_method_that_trains_nothing_needs_no_batch(tmp_path):
    class Frozen(Two):
        trains = ()

    trainer = Trainer(Frozen(), settings(steps=0), seed=0)
    train(trainer, lambda step: pytest.fail("a batch was asked for"), Checkpoints(tmp_path, "x"), title="")
    assert torch.equal(trainer.averaged()["student.weight"], torch.ones(1, 1))
    assert not trainer.method.training


def test_network_evaluations_are_counted_image_by_image(tmp_path, tiny_run, build, feed):
    for method, per_image in (("methods/edm", 1), ("methods/ecm", 2), ("methods/hkd", 2)):
        run = tiny_run(method)
        trainer = Trainer(build(run), run.training, seed=0)
        train(trainer, feed(run), Checkpoints(tmp_path / method, "x"), title=method)
        assert trainer.progress.network_evals == per_image * run.training.steps * run.training.batch


def with_events(folder: Path, steps: int = 40) -> None:
    conduct = Conduct(events=folder / "events", log_every=10)
    trainer = Trainer(Two(), settings(steps=steps), seed=0)
    train(trainer, lambda step: 1.0, Checkpoints(folder, "x"), title="", conduct=conduct)


def test_events_without_their_package_are_refused_in_one_line_before_the_first_step(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(ConfigError, match=r"^--tensorboard: its package is missing; pip install tensorboard"):
        with_events(tmp_path)
    assert not list(tmp_path.glob("step*"))


def test_events_are_the_numbers_of_the_lines_and_those_beyond_a_state_are_purged(tmp_path, monkeypatch):
    made = []

    class Writer:
        def __init__(self, folder: str, purge_step: int | None) -> None:
            self.folder, self.purged, self.scalars = folder, purge_step, {}
            made.append(self)

        def add_scalar(self, key: str, value: float, step: int) -> None:
            self.scalars[step, key] = value

        def flush(self) -> None:
            pass

    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", SimpleNamespace(SummaryWriter=Writer))
    with_events(tmp_path, 20)
    with_events(tmp_path, 40)
    first, second = made
    assert first.folder == str(tmp_path / "events") and (first.purged, second.purged) == (None, 21)
    lines = [json.loads(line) for line in (tmp_path / "history.jsonl").read_text().splitlines()]
    written = {**first.scalars, **second.scalars}
    assert written == {(line["step"], key): value for line in lines for key, value in line.items() if key != "step"}


def test_tensorboard_reads_what_was_written(tmp_path):
    pytest.importorskip("tensorboard", reason="needs the package tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    with_events(tmp_path)
    found = EventAccumulator(str(tmp_path / "events")).Reload()
    assert [event.step for event in found.Scalars("loss/student")] == [10, 20, 30, 40]


def lines_of(folder: Path, *, flops: float | None, peak: float | None) -> list[dict]:
    trainer = Trainer(Two(), settings(), seed=0)
    trainer.flops, trainer.peak = flops, peak
    train(trainer, lambda step: 1.0, Checkpoints(folder, "x"), title="t", conduct=Conduct(log_every=10))
    return [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]


def test_a_share_of_the_peak_is_given_where_operations_and_peak_are_known(tmp_path, capsys):
    for line in lines_of(tmp_path, flops=3e9, peak=6e12):
        assert line["tflops_per_second"] == pytest.approx(3e-3 * line["images_per_second"])
        assert line["mfu"] == pytest.approx(line["tflops_per_second"] / 6)
    assert "no MFU" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flops", "peak", "why"),
    [(3e9, None, "nobody has written down what a CPU can do"), (None, 6e12, "operations of its step were not counted")],
)
def test_where_one_of_them_is_not_known_no_share_is_made_up_and_this_is_said(tmp_path, capsys, flops, peak, why):
    for line in lines_of(tmp_path, flops=flops, peak=peak):
        assert "mfu" not in line and ("tflops_per_second" in line) is (flops is not None)
    (said,) = [line for line in capsys.readouterr().err.splitlines() if "MFU" in line]
    assert said.startswith("t: no MFU is given, because") and why in said


def test_a_card_that_nobody_has_written_down_is_named(monkeypatch):
    trainer = Trainer(Two(), settings(), seed=0)
    trainer.device = torch.device("cuda", 0)
    monkeypatch.setattr("torch.cuda.get_device_name", lambda device: "Card 9000")
    assert "what Card 9000 can do at most (hkd/accelerators.py)" in _no_share(trainer)


def test_a_line_has_speed_memory_time_left_and_the_mean_loss_since_the_line_before(tmp_path):
    conduct = Conduct(log_every=10)
    train(
        Trainer(Two(), settings(), seed=0),
        lambda step: float(step % 10),
        Checkpoints(tmp_path, "x"),
        title="",
        conduct=conduct,
    )
    lines = [json.loads(line) for line in (tmp_path / "history.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [10, 20, 30, 40]
    assert all(line["images_per_second"] > 0 and line["memory_gib"] > 0 for line in lines)
    assert lines[-1]["seconds_left"] == 0 < lines[0]["seconds_left"]
    assert lines[0]["mean/loss/student"] < lines[0]["loss/student"]  # the batches grow from line to line
