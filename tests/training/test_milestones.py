"""Milestones are the weights that a training had at that step, averaged and raw, however often it was stopped."""

from __future__ import annotations

import pytest
import torch

from hkd import interrupt
from hkd.plan.stages import TRAIN
from hkd.store.artifacts import load_weights, read_json
from hkd.store.atomic import sha256, write_json
from hkd.store.records import Record
from hkd.store.refusals import ArtifactError
from hkd.training.checkpoint import Checkpoints
from hkd.training.loop import train
from hkd.training.milestones import Milestones, kept_milestones, milestone_steps, raw_name, weights_name
from hkd.training.trainer import Trainer
from tests.fuzzed import COMPARED, COUNTS, refused

METHOD, STEPS = "methods/hkd", 6
SHARES = (0.0, 0.01, 0.5, 1.0)


@pytest.fixture(autouse=True)
def nobody_asked():
    interrupt.reset()
    yield
    interrupt.reset()


@pytest.fixture
def trainer(tiny_run, build, feed):
    run = tiny_run(METHOD, training={"steps": STEPS, "milestones": SHARES})
    return lambda: (Trainer(build(run), run.training, seed=0), feed(run))


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def copied(weights):
    return {name: value.clone() for name, value in weights.items()}


def kept(milestones, folder):
    milestones.hand_over(folder, Record("train"), STEPS)
    return {step: load_weights(folder / weights_name(step)) for step in milestones.steps}


def test_shares_become_steps(tiny_run):
    run = tiny_run(METHOD, training={"steps": STEPS, "milestones": (1.0, *SHARES)})
    assert milestone_steps(run.training) == (0, 1, 3, 6)


def test_milestones_are_the_averages_at_their_steps(trainer, tmp_path):
    by_hand, batches = trainer()
    expected, raw = {0: copied(by_hand.averaged())}, {0: copied(by_hand.method.artefact())}
    by_hand.method.train()
    for step in range(STEPS):
        by_hand.step(batches(step))
        expected[step + 1], raw[step + 1] = copied(by_hand.averaged()), copied(by_hand.method.artefact())

    made, batches = trainer()
    milestones = Milestones(tmp_path / "kept", "x", milestone_steps(made.settings))
    train(made, batches, Checkpoints(tmp_path / "states", "x"), title="", milestones=milestones)
    found = kept(milestones, tmp_path / "out")
    assert list(found) == [0, 1, 3, 6]
    assert [step for step in found if not same(found[step], expected[step])] == []
    assert same(found[STEPS], made.averaged()) and not same(found[0], found[STEPS])
    beside = dict(zip((0, 1, 3, 6), kept_milestones(tmp_path / "out", raw=True).raw, strict=True))
    assert [step for step in beside if not same(load_weights(beside[step]), raw[step])] == []
    assert same(raw[0], found[0]) and not same(raw[STEPS], found[STEPS])


def test_the_first_milestone_is_the_teacher(trainer, teacher, tmp_path):
    made, batches = trainer()
    milestones = Milestones(tmp_path / "kept", "x", (0,))
    train(made, batches, Checkpoints(tmp_path / "states", "x"), title="", milestones=milestones)
    start, base = kept(milestones, tmp_path / "out")[0], load_weights(teacher)
    network = {k.removeprefix("student.net."): v for k, v in start.items() if k.startswith("student.net.")}
    assert same(network, {k.removeprefix("student."): v for k, v in base.items()})
    assert not any(v.any() for k, v in start.items() if ".koopman." in k)


@pytest.mark.parametrize("stop", [1, *(pytest.param(k, marks=pytest.mark.slow) for k in (2, 4)), 3])
def test_a_stopped_training_keeps_the_same_milestones(trainer, tmp_path, stop):
    whole, batches = trainer()
    milestones = Milestones(tmp_path / "whole", "x", milestone_steps(whole.settings))
    train(whole, batches, Checkpoints(tmp_path / "a", "x"), title="", milestones=milestones)
    expected = kept(milestones, tmp_path / "expected")

    milestones = Milestones(tmp_path / "cut", "x", milestones.steps)

    def stopping(step):
        if step == stop - 1:
            interrupt.ask()
        return batches(step)

    first, batches = trainer()
    with pytest.raises(interrupt.Interrupted):
        train(first, stopping, Checkpoints(tmp_path / "b", "x"), title="", milestones=milestones)
    interrupt.reset()
    second, batches = trainer()
    asked = []
    train(second, lambda k: asked.append(k) or batches(k), Checkpoints(tmp_path / "b", "x"), title="",
          milestones=milestones)  # fmt: skip
    assert asked == list(range(stop, STEPS))
    found = kept(milestones, tmp_path / "found")
    assert all(same(found[step], expected[step]) for step in expected)


@pytest.mark.parametrize(
    "harm, name",
    [("lost", weights_name), ("lost", raw_name), ("damaged", weights_name), ("of other settings", weights_name)],
)
def test_a_missing_milestone_is_made_again(trainer, tmp_path, flip_byte, capsys, harm, name):
    first, batches = trainer()
    steps = milestone_steps(first.settings)
    train(first, batches, Checkpoints(tmp_path / "states", "x"), title="",
          milestones=Milestones(tmp_path / "kept", "y" if harm == "of other settings" else "x", steps))  # fmt: skip
    path = tmp_path / "kept" / name(3)
    if harm == "lost":
        path.unlink()
    elif harm == "damaged":
        flip_byte(path)
    again, batches = trainer()
    milestones = Milestones(tmp_path / "kept", "x", steps)
    train(again, batches, Checkpoints(tmp_path / "states", "x"), title="", milestones=milestones)
    assert "checkpoint passed over: the weights of step" in capsys.readouterr().err
    assert milestones.missing(STEPS) == []
    assert same(kept(milestones, tmp_path / "out")[STEPS], first.averaged())


def test_milestones_handed_over_are_listed_and_have_records(trainer, tmp_path, flip_byte):
    made, batches = trainer()
    milestones = Milestones(tmp_path / "kept", "x", (0, STEPS))
    train(made, batches, Checkpoints(tmp_path / "states", "x"), title="", milestones=milestones)
    for _ in range(2):  # a second time changes nothing
        milestones.hand_over(tmp_path / "out", Record("train"), STEPS)
    digests = [sha256(tmp_path / "out" / weights_name(step)) for step in (0, STEPS)]
    listed = read_json(tmp_path / "out/manifest.json", "train")
    raw = [sha256(tmp_path / "out" / raw_name(step)) for step in (0, STEPS)]
    assert listed == {"steps": STEPS, "milestones": [0, STEPS], "sha256": digests, "raw_sha256": raw}
    assert not list((tmp_path / "out").glob(".*"))
    flip_byte(tmp_path / "out" / weights_name(0))
    with pytest.raises(ArtifactError, match="damaged"):
        load_weights(tmp_path / "out" / weights_name(0))


def test_no_milestones_leave_an_empty_list(tmp_path):
    Milestones(tmp_path / "kept", "x", ()).hand_over(tmp_path / "out", Record("train"), STEPS)
    assert read_json(tmp_path / "out/manifest.json", "train")["milestones"] == []


def test_milestones_change_only_the_digest_of_runs_that_have_them(smoke_plan):
    without, keeping = (smoke_plan(methods={"hkd": {"training": {"milestones": m}}}) for m in ([], [0.0, 1.0]))
    digests = [
        [TRAIN.work(p, dataset="shapes8", method=m, seed=0).digest for m in ("methods/hkd", "methods/ecm")]
        for p in (without, keeping)
    ]
    assert digests[0][0] != digests[1][0] and digests[0][1] == digests[1][1]


@pytest.fixture
def handed_over(trainer, tmp_path):
    """The folder that a finished training leaves, and the record of its manifest."""
    made, _ = trainer()
    milestones = Milestones(tmp_path / "kept", "x", (0, STEPS))
    for step in milestones.steps:
        milestones.reach(step, made.averaged, made.method.artefact)
    milestones.hand_over(tmp_path / "out", Record("train"), STEPS)
    return tmp_path / "out"


def test_a_step_in_the_manifest_is_found_by_its_record(handed_over):
    assert kept_milestones(handed_over).steps == [0, STEPS]
    path = handed_over / "manifest.json"
    path.write_text(path.read_text().replace(str(STEPS), str(STEPS + 1)))
    with pytest.raises(ArtifactError, match=r"manifest.json: damaged, its digest is not the recorded"):
        kept_milestones(handed_over)


def test_a_training_that_kept_averaged_weights_alone_has_those(handed_over):
    listed = read_json(handed_over / "manifest.json", "train")
    del listed["raw_sha256"]
    write_json(handed_over / "manifest.json", listed)
    Record("train").write(handed_over / "manifest.json")
    assert len(kept_milestones(handed_over).weights) == 2
    with pytest.raises(ArtifactError, match=r"lists averaged weights alone.*; run `hkd train` again"):
        kept_milestones(handed_over, raw=True)


def test_weights_of_another_step_are_not_taken_even_with_their_record(handed_over):
    first, last = (handed_over / weights_name(step) for step in (0, STEPS))
    last.write_bytes(first.read_bytes() + b" ")
    Record("train").write(last)
    with pytest.raises(ArtifactError, match=r"step000000006.safetensors: not the weights that manifest.json lists"):
        kept_milestones(handed_over)


@pytest.mark.parametrize("raw", [False, True])
def test_milestones_that_are_not_finite_are_not_handed_over(tmp_path, raw):
    milestones = Milestones(tmp_path / "kept", "x", (1, 2))
    for step, last in ((1, 2.0), (2, float("nan"))):
        broken, whole = ({"student.w": torch.tensor([1.0, end])} for end in (last, 1.0))
        weights = (lambda found=broken: found, lambda found=whole: found)
        milestones.reach(step, *(reversed(weights) if raw else weights))
    with pytest.raises(
        ArtifactError, match=r"its weights 'student.w' hold NaN or infinity, so their training diverged"
    ):
        milestones.hand_over(tmp_path / "out", Record("train"), 2)
    assert not (tmp_path / "out").exists()  # nor is any of those before them, nor a record


@pytest.mark.parametrize("count", COUNTS)
def test_a_damaged_manifest_is_refused_in_one_line(handed_over, count):
    (handed_over / "manifest.json.record.json").unlink()  # else the digest alone would find all of them
    assert (
        refused(handed_over / "manifest.json", lambda: kept_milestones(handed_over), count, ArtifactError) > count // 4
    )


@pytest.mark.parametrize("count", COMPARED)
def test_a_damaged_list_of_milestones_on_the_way_stops_no_training(tmp_path, count):
    milestones = Milestones(tmp_path, "x", (1,))
    milestones.reach(1, *2 * [lambda: {"w": torch.ones(2)}])
    same = lambda found: found in ([], [1])  # noqa: E731
    assert refused(tmp_path / "manifest.json", lambda: milestones.missing(1), count, (), same) == 0
