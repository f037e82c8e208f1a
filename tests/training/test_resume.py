"""A training that was stopped and resumed makes the same steps as one that ran through, to the bit."""

from __future__ import annotations

import pkgutil
from dataclasses import replace
from time import process_time

import pytest
import torch

from hkd import interrupt
from hkd.interrupt import Interrupted
from hkd.plan.lengths import bound
from hkd.store.refusals import ArtifactError, Refused
from hkd.training.checkpoint import Checkpoints
from hkd.training.loop import Conduct, train
from hkd.training.trainer import NoRoom, Trainer

ADAM = {"lr": 1e-3, "betas": [0.9, 0.999], "eps": 1e-8}
CASES = {
    "edm adam": ("methods/edm", {"optimizer": {"name": "adam", **ADAM}, "flip": True}, 2, 4),
    "hkd adamw": ("methods/hkd", {"optimizer": {"name": "adamw", **ADAM, "weight_decay": 0.1}}, 2, 4),
    "regression halflife": (
        "methods/regression",
        {"optimizer": {"name": "adam", **ADAM}, "ema": {"kind": "halflife", "halflife_images": 20, "ramp": 0.5}},
        2,
        4,
    ),
    # RAdam switches to its rectified step at the sixth
    "ecm radam": ("methods/ecm", {"optimizer": {"name": "radam", **ADAM}}, 4, 8),
}


@pytest.fixture(autouse=True)
def nobody_asked():
    interrupt.reset()
    yield
    interrupt.reset()


@pytest.fixture
def trainer(tiny_run, build, feed):
    """Return a fresh trainer of a case and its batches."""

    def made(name: str):
        method, training, _, steps = CASES[name]
        run = tiny_run(method, training={"steps": steps, **training}, network={"dropout": 0.3})
        return Trainer(build(run), run.training, seed=0), feed(run)

    return made


def stopping(batches, at: int):
    """The same batches; somebody asks for a stop while step number `at` is being made."""

    def batch(step: int):
        if step == at - 1:
            interrupt.ask()
        return batches(step)

    return batch


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> list[str]:
    assert a.keys() == b.keys()
    return [name for name in a if not torch.equal(a[name], b[name])]


@pytest.mark.parametrize("name", CASES)
def test_stopped_and_resumed_equals_uninterrupted(trainer, tmp_path, name):
    whole, batches = trainer(name)
    train(whole, batches, Checkpoints(tmp_path / "whole", "x"), title=name)

    stop = CASES[name][2]
    first, batches = trainer(name)
    with pytest.raises(Interrupted):
        train(first, stopping(batches, stop), Checkpoints(tmp_path / "cut", "x"), title=name)
    assert first.progress.step == stop
    interrupt.reset()
    torch.manual_seed(1234)  # another process has another global stream

    second, batches = trainer(name)
    train(second, batches, Checkpoints(tmp_path / "cut", "x"), title=name)
    assert second.progress.step == whole.progress.step == CASES[name][3]
    assert second.progress.network_evals == whole.progress.network_evals > 0
    assert not same(whole.state(), second.state())
    assert not same(whole.averaged(), second.averaged())
    assert not same(whole.method.artefact(), second.method.artefact())
    kinds = {key.split("/")[0] for key in whole.state()}
    assert kinds == {"method", "ema", "optim"}


def test_the_kill_of_a_process_loses_only_what_came_after_the_last_checkpoint(trainer, tmp_path):
    whole, batches = trainer("edm adam")
    train(whole, batches, Checkpoints(tmp_path / "whole", "x"), title="whole")

    class Killed(BaseException):
        pass

    def killing(step: int):
        if step == 3:
            raise Killed
        return batches(step)

    first, batches = trainer("edm adam")
    with pytest.raises(Killed):
        train(first, killing, Checkpoints(tmp_path / "cut", "x"), title="cut", conduct=Conduct(checkpoint_seconds=0))
    second, batches = trainer("edm adam")
    asked = []
    train(second, lambda step: asked.append(step) or batches(step), Checkpoints(tmp_path / "cut", "x"), title="cut")
    assert asked == [3]
    assert not same(whole.state(), second.state())


def test_processor_time_is_of_all_attempts_as_the_clock_is(trainer, tmp_path):
    kept = Checkpoints(tmp_path, "x")
    first, batches = trainer("edm adam")
    with pytest.raises(Interrupted):
        train(first, stopping(batches, 2), kept, title="t")
    interrupt.reset()
    before, (second, batches) = process_time(), trainer("edm adam")
    train(second, batches, kept, title="t")
    of_first, of_both = (made.progress.cpu_seconds for made in (first, second))
    assert 0 < of_first < of_both <= of_first + process_time() - before
    assert first.progress.seconds < second.progress.seconds


def test_processor_time_stays_unknown_where_an_attempt_did_not_count_it(trainer, tmp_path):
    first, batches = trainer("edm adam")
    with pytest.raises(Interrupted):
        train(first, stopping(batches, 2), Checkpoints(tmp_path, "x"), title="t")
    interrupt.reset()
    kept = Checkpoints(tmp_path, "x")
    tensors, progress = kept.load()
    kept.save(tensors, replace(progress, cpu_seconds=None))
    second, batches = trainer("edm adam")
    train(second, batches, kept, title="t")
    assert second.progress.cpu_seconds is None and second.progress.seconds > first.progress.seconds


PLACES = {  # of a step, behind its passes
    "norm": ("hkd.training.trainer._norm", "methods/edm"),
    "clip": ("hkd.training.trainer._clip", "methods/edm"),
    "moments": ("hkd.training.optim._fresh", "methods/edm"),
    "optimiser": ("hkd.training.optim.Adaptive._move", "methods/kdm"),
    "average": ("hkd.training.ema.Average.update", "methods/edm"),
    "target": ("hkd.methods.consistency.ct.CT.after_step", "methods/ct"),
}


@pytest.mark.parametrize("place", PLACES)
def test_memory_that_runs_out_behind_the_passes_ends_in_a_line_and_the_next_attempt_in_the_same_bytes(
    tiny_run, build, feed, tmp_path, monkeypatch, place
):
    """At the second call, so that of two networks one has moved already and the other has not."""
    what, method = PLACES[place]
    run = tiny_run(method, training={"steps": 3})
    real, calls = pkgutil.resolve_name(what), []

    def full(*given):
        calls.append(given)
        if len(calls) == 2:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nMore of it")
        return real(*given)

    def trained(folder):
        made = Trainer(build(run), run.training, seed=0)
        train(made, feed(run), Checkpoints(folder, "x"), title="t", conduct=Conduct(checkpoint_seconds=0))
        return made

    with monkeypatch.context() as scarce:
        scarce.setattr(what, full)
        with pytest.raises(NoRoom) as found:
            trained(tmp_path / "cut")
    assert "has no room for optimiser and averages" in str(found.value) and "\n" not in str(found.value)
    assert isinstance(found.value, Refused)  # that may not be so another time
    assert not same(trained(tmp_path / "cut").state(), trained(tmp_path / "whole").state())


QUICK = ("methods/edm", "methods/hkd")
OF_VE = {"methods/cd": "ddpmpp", "methods/rf2pp": "ddpmpp"}  # the stored teacher is none of EDM's VE networks
UNBOUND = [*QUICK, *OF_VE, "methods/dmd", "methods/ecm", "methods/kdm", "methods/score_sde", "ablations/abl_no_traj"]


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name in QUICK else pytest.mark.slow) for name in UNBOUND]
)
def test_a_longer_training_goes_on_from_a_shorter_one_to_the_bytes_of_one_that_was_long_from_the_start(
    tiny_run, build, feed, tmp_path, name
):
    """With a step that is not finite, of which a shorter training lets fewer pass."""
    network = {"dropout": 0.3, **({"preset": OF_VE[name]} if name in OF_VE else {})}
    first, last = (6, 10) if name in OF_VE else (3, 5)  # RAdam, which CD has, makes another step from the sixth on
    optimizer = {"name": "radam" if name == "methods/cd" else "adam", **ADAM}
    lengths = {"optimizer": optimizer, "schedule": "constant", "milestones": []}
    lengths["ema"] = {"kind": "halflife", "halflife_images": 20, "ramp": 0.5}
    law = {"lambda1_law": "constant"} if name in ("methods/hkd", "ablations/abl_no_traj") else {}

    def trained(steps: int, folder, start: int = 0) -> Trainer:
        run = tiny_run(name, training={"steps": steps, **lengths}, network=network, params=law)
        assert bound(run) is None
        made, asked = Trainer(build(run), run.training, seed=0), []
        batches = feed(run)
        losses = made.method.losses

        def once(batch, *, step, draws):
            found = losses(batch, step=step, draws=draws)
            return {key: value * float("nan") for key, value in found.items()} if step == 1 else found

        made.method.losses = once
        train(made, lambda k: asked.append(k) or batches(k), Checkpoints(folder, "x"), title="t")
        assert asked == list(range(start, steps)) and made.progress.nonfinite == [1]
        return made

    trained(first, tmp_path / "raised")
    longer, whole = trained(last, tmp_path / "raised", start=first), trained(last, tmp_path / "whole")
    assert not same(whole.state(), longer.state()) and not same(whole.averaged(), longer.averaged())
    assert whole.progress.network_evals == longer.progress.network_evals


def test_a_state_beyond_the_last_step_is_not_taken_for_the_result_of_a_shorter_training(trainer, tmp_path, capsys):
    long, batches = trainer("edm adam")
    train(long, batches, Checkpoints(tmp_path, "x"), title="long")
    short, batches = trainer("edm adam")
    short.settings = short.settings.model_copy(update={"steps": 2})
    train(short, batches, Checkpoints(tmp_path, "x"), title="short")
    assert short.progress.step == 2 and "of a longer training than one of 2 steps" in capsys.readouterr().err


def test_a_finished_training_is_not_made_again(trainer, tmp_path):
    first, batches = trainer("edm adam")
    train(first, batches, Checkpoints(tmp_path, "x"), title="first")
    again, _ = trainer("edm adam")
    train(again, lambda step: pytest.fail("a step was made"), Checkpoints(tmp_path, "x"), title="again")
    assert not same(first.state(), again.state())


def test_other_settings_start_a_new_training(trainer, tmp_path, capsys):
    first, batches = trainer("edm adam")
    train(first, batches, Checkpoints(tmp_path, "old settings"), title="first")
    other, batches = trainer("edm adam")
    asked = []
    train(other, lambda step: asked.append(step) or batches(step), Checkpoints(tmp_path, "new"), title="other")
    assert asked == [0, 1, 2, 3]
    assert "of other settings (old settings)" in capsys.readouterr().err


def test_a_state_of_networks_of_another_size_is_refused_in_one_line_and_kept(trainer, tiny_run, build, feed, tmp_path):
    """As other code makes them of the same settings, where settings alone name a state."""
    first, batches = trainer("edm adam")
    train(first, batches, Checkpoints(tmp_path, "x"), title="first")
    kept = {path.name: path.read_bytes() for path in tmp_path.glob("step*")}
    run = tiny_run("methods/edm", network={"channel_mult": [1, 1]})
    with pytest.raises(ArtifactError, match=r"its state of step 4 is of networks of another size \(student/") as error:
        train(Trainer(build(run), run.training, seed=0), feed(run), Checkpoints(tmp_path, "x"), title="edm")
    assert "\n" not in str(error.value) and "--config rerun=code" in str(error.value)
    assert {path.name: path.read_bytes() for path in tmp_path.glob("step*")} == kept != {}


def test_another_seed_is_another_training(tiny_run, build, feed, tmp_path):
    run = tiny_run("methods/edm")
    states = []
    for seed in (0, 1):
        made = Trainer(build(run, seed), run.training, seed=seed)
        train(made, feed(run, seed), Checkpoints(tmp_path / str(seed), "x"), title="")
        states.append(made.state())
    assert len(same(*states)) > len(states[0]) // 2
