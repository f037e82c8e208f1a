"""Every file that a stage reads is the one that the plan means: damage, exchange and stale inputs are each one line.

The files are stand-ins, for the chain reads records and bytes and never what is in them; `tests/workflow/test_chain.py`
does the same with a finished run and the commands themselves.
"""

from __future__ import annotations

import itertools
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from hkd import job
from hkd.plan.chain import Chain, check
from hkd.plan.runs import Plan
from hkd.plan.stages import FEATURES, METRICS, SAMPLE, STAGES, TABLE, TRAIN, TRAJECTORY_ERROR
from hkd.plan.work import Work
from hkd.store import waiting
from hkd.store.atomic import write_text
from hkd.store.records import main_file, record_path
from hkd.store.refusals import ArtifactError
from hkd.studies.editing.plan import EDITED
from hkd.studies.stability.plan import MEASURED
from tests.recorded import recorded, resealed

HKD, ABLATION = "methods/hkd", "ablations/abl_no_traj"


class Tree:
    """A finished results folder of the smoke benchmark, and what its commands read."""

    def __init__(self, plan: Plan) -> None:
        self.plan, self.root = plan, Path(plan.layout.root)
        last = [
            TABLE.work(plan, table="table1"),
            TRAJECTORY_ERROR.work(plan, dataset="shapes8", method=HKD, seed=0),
            TRAJECTORY_ERROR.work(plan, dataset="shapes8", method=HKD, seed=1),
            MEASURED.work(plan, dataset="shapes8", method=HKD, seed=0),
            MEASURED.work(plan, dataset="shapes8", method=HKD, seed=1),
        ]
        self.readers: dict[str, list[Work]] = {}  # of every file, by path
        self.makers: dict[str, Work] = {}
        self.chain, waiting, seen = Chain(plan), last, set()
        while waiting:
            work = waiting.pop()
            if str(work.out()) in seen:
                continue
            seen.add(str(work.out()))
            for path in work.inputs():
                made = self.chain.maker(path)
                assert made is not None, f"no stage makes {path}"
                self.readers.setdefault(path, []).append(work)
                self.makers[path] = made
                waiting.append(made)

    def write(self) -> None:
        for path in self.makers:
            if path.endswith("milestones"):  # a folder, which its manifest stands for
                Path(path).mkdir(parents=True)
            write_text(main_file(path), f"content of {path}")
        recorded(self.plan, *self.makers)

    def check(self, work: Work) -> None:
        """Compare what a command reads as `check` does, without looking for the makers of files again."""
        chain = self.fresh()
        for path in work.inputs():
            chain.check(path)

    def fresh(self) -> Chain:
        """Return a chain that has read nothing yet, and knows the makers of all files."""
        chain = Chain(self.plan)
        chain._makers = self.chain._makers
        return chain

    def refusal(self, path: str, readers: int | None = None) -> str:
        """Return the one line with which every stage that reads a file refuses it, or as many of them as are named."""
        lines = []
        for work in self.readers[path][:readers]:
            with pytest.raises(ArtifactError) as error:
                self.check(work)
            assert "\n" not in str(error.value) and "run `hkd " in str(error.value)
            lines.append(str(error.value))
        return lines[0]

    def whole(self) -> None:
        for work in {id(work): work for works in self.readers.values() for work in works}.values():
            self.check(work)

    def files(self, path: str) -> tuple[Path, Path]:
        return main_file(path), record_path(main_file(path))


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory, smoke_plan: Callable[..., Plan]) -> Tree:
    root = tmp_path_factory.mktemp("chain")
    runs = {"run": ["methods/edm", "methods/ecm", HKD], "extra": [ABLATION]}
    plan = smoke_plan(
        results=str(root / "results"), seeds=2, tables={"table1": runs, "table3": {"run": [], "extra": []}}
    )
    made = Tree(plan)
    made.write()
    return made


@pytest.fixture(autouse=True)
def restored(tree: Tree) -> Iterator[None]:
    """Put every file back after a test."""
    before = {path: path.read_bytes() for path in tree.root.rglob("*") if path.is_file()}
    yield
    for path in tree.root.rglob("*"):
        if path.is_file() and path not in before:
            path.unlink()
    for path, content in before.items():
        if not path.exists() or path.read_bytes() != content:
            path.write_bytes(content)


def test_a_whole_tree_passes_at_every_stage(tree):
    tree.whole()
    stages = {work.stage for works in tree.readers.values() for work in works}
    assert stages >= set(STAGES) - {"prepare", "samples_figure", "ablations_figure", "error_table"}


@pytest.fixture(autouse=True)
def no_writer(monkeypatch):
    """Nobody writes these files, so that readers need not wait for a record that comes a moment later."""
    monkeypatch.setattr(waiting, "RECENT", -1.0)


@pytest.mark.parametrize("harm", ["flipped", "cut", "without record", "with half a record"])
def test_every_file_that_is_read_is_known_by_its_bytes(tree, harm):
    for path in tree.readers:
        file, record = tree.files(path)
        before, known = file.read_bytes(), record.read_bytes()
        if harm == "flipped":
            file.write_bytes(bytes([before[0] ^ 1]) + before[1:])
        elif harm == "without record":
            record.unlink()
        elif harm == "with half a record":
            record.write_bytes(known[: len(known) // 2])
        else:
            file.write_bytes(before[: len(before) // 2])
        assert str(file) in tree.refusal(path)
        file.write_bytes(before)
        record.write_bytes(known)


def test_no_two_files_pass_for_one_another_even_with_their_records(tree):
    """Each file is compared by itself: that its readers ask for it is what the tests above show."""
    for one, two in itertools.combinations(sorted(tree.readers), 2):
        (first, its), (second, others) = tree.files(one), tree.files(two)
        swap(first, second)
        swap(its, others)
        for path, file in ((one, first), (two, second)):
            with pytest.raises(ArtifactError) as error:
                tree.fresh().check(path)
            assert str(file) in str(error.value)
        swap(first, second)
        swap(its, others)
    tree.whole()


def swap(one: Path, two: Path) -> None:
    aside = one.with_name("aside")
    one.rename(aside)
    two.rename(one)
    aside.rename(two)


def rotated(inputs: dict[str, str]) -> dict[str, str]:
    """The same paths and the same digests, each beside its neighbour's."""
    digests = list(inputs.values())
    return dict(zip(inputs, digests[1:] + digests[:1], strict=True))


RESEALED: dict[str, Callable[[dict[str, Any]], Any]] = {
    "stage": lambda known: "sample",
    "of": lambda known: known["of"] | {"seed": "1"},
    "seed": lambda known: 1,
    "settings_digest": lambda known: "0" * 16,
    "inputs": lambda known: {},
}
SAID = {
    "stage": "its record says stage 'sample', the plan 'train'",
    "of": "its record says seed '1', the plan '0'",
    "seed": "its record says seed 1, the plan 0",
    "settings_digest": "its record says settings '0000000000000000', the plan ",
    "inputs": "was made from another",
}
INPUTS: dict[str, Callable[[dict[str, str]], dict[str, str]]] = {
    "none": lambda inputs: {},
    "rotated": rotated,
    "one too few": lambda inputs: dict(list(inputs.items())[1:]),
    "one too many": lambda inputs: {**inputs, "other/file": next(iter(inputs.values()))},
    "one twice": lambda inputs: {f"/{next(iter(inputs))}": "0" * 64, **inputs},
    "one elsewhere": lambda inputs: {**dict(list(inputs.items())[1:]), "other/file": next(iter(inputs.values()))},
    "one of other bytes": lambda inputs: {**inputs, next(iter(inputs)): "0" * 64},
}


@pytest.mark.parametrize("key", RESEALED)
def test_a_record_that_was_edited_and_sealed_again_is_compared_with_the_plan(tree, key):
    path = tree.plan.layout.run("shapes8", HKD, 0).weights
    known = json.loads(tree.files(path)[1].read_text())
    resealed(path, **{key: RESEALED[key](known)})
    refused = tree.refusal(path)
    assert f"weights.safetensors: {SAID[key]}" in refused


@pytest.mark.parametrize("harm", INPUTS)
def test_the_inputs_in_a_record_are_compared_path_by_path(tree, harm):
    tried = 0
    for path in {made.stage: path for path, made in tree.makers.items()}.values():
        inputs = json.loads(tree.files(path)[1].read_text())["inputs"]
        changed = INPUTS[harm](inputs) if inputs else inputs
        if changed != inputs:
            resealed(path, inputs=changed)
            with pytest.raises(ArtifactError, match="was made from another"):
                tree.fresh().check(path)
            resealed(path, inputs=inputs)
            tried += 1
    assert tried > 4


@pytest.mark.parametrize("harm", sorted(INPUTS.keys() - {"rotated"}))
def test_an_input_that_was_deleted_excuses_no_other(tree, harm):
    run = tree.plan.layout.run("shapes8", "methods/ecm", 0)
    inputs = json.loads(tree.files(run.weights)[1].read_text())["inputs"]
    deleted = list(inputs)[-1]
    record_path(main_file(deleted)).unlink()
    tree.fresh().check(run.weights)  # of the one that is gone, what was recorded counts
    resealed(run.weights, inputs=INPUTS[harm](inputs))
    with pytest.raises(ArtifactError, match="was made from another"):
        tree.fresh().check(run.weights)


def test_a_results_folder_may_be_moved(tree, smoke_plan, tmp_path, monkeypatch):
    shutil.copytree(tree.root, tmp_path / "moved")
    monkeypatch.chdir(tmp_path)
    plan = smoke_plan(results="moved", seeds=2)
    check(plan, [plan.layout.run("shapes8", HKD, 0).weights])


def test_a_command_by_hand_may_leave_out_what_its_part_can_do_without(tree, tmp_path):
    work = EDITED.work(tree.plan, dataset="shapes8", method=HKD, seed=0)
    out = work.out()
    write_text(out, "edited")
    recorded(tree.plan, out)
    known = json.loads(record_path(out).read_text())["inputs"]
    weights = work.definition.inputs["weights"]
    for inputs, passes in (({weights: known[weights]}, True), ({**known, weights: "0" * 64}, False), ({}, False)):
        resealed(out, inputs=inputs)
        with nullcontext() if passes else pytest.raises(ArtifactError, match="was made from another"):
            tree.fresh().check(str(out))
    with pytest.raises(AssertionError, match="sample"):
        job.record(SAMPLE.work(tree.plan, dataset="shapes8", method=HKD, seed=0, nfe=1), inputs=("weights",))


def test_a_fact_in_a_record_cannot_be_edited(tree):
    weights = tree.plan.layout.run("shapes8", HKD, 0).weights
    recorded(tree.plan, weights, route="train", diverged_at=None, budget={"params": 7})
    record = record_path(weights)
    before = json.loads(record.read_text())
    changes = {"route": "shipped", "diverged_at": 3, "budget": {"params": 8}, "seed": 5, "sha256": "0" * 64, "n": 3}
    for key, value in changes.items():
        record.write_text(json.dumps({**before, key: value}))
        assert "record.json: its digest of itself is another" in tree.refusal(weights)
    for key in before:
        record.write_text(json.dumps({name: value for name, value in before.items() if name != key}))
        assert "record.json: " in tree.refusal(weights)
    record.write_text(json.dumps({**before, "sha256": 3, "record_sha256": 3}))
    assert "its field 'sha256' is of type int, not str" in tree.refusal(weights)


def test_a_record_of_an_older_version_says_what_to_do(tree):
    weights = tree.plan.layout.run("shapes8", HKD, 0).weights
    record = record_path(weights)
    known = json.loads(record.read_text())
    record.write_text(json.dumps({key: known[key] for key in ("stage", "file", "sha256", "settings_digest", "inputs")}))
    assert "as an older version of hkd wrote it; delete weights.safetensors and run `hkd train`" in tree.refusal(
        weights
    )


def remade(tree: Tree, path: str, content: str = "made again") -> None:
    """Make a file again, with a record that is right, and leave what was made from it."""
    write_text(main_file(path), content)
    recorded(tree.plan, path)


def test_features_of_old_samples_beside_new_ones_are_refused(tree):
    run = tree.plan.layout.run("shapes8", HKD, 0)
    remade(tree, run.samples(1))
    metrics = METRICS.work(tree.plan, dataset="shapes8", method=HKD, seed=0, nfe=1)
    with pytest.raises(
        ArtifactError, match=r"features/nfe1.npz: was made from another .*samples/nfe1.npz .*hkd features"
    ):
        check(tree.plan, metrics.inputs())


@pytest.mark.parametrize(
    "path", ["data/train/manifest.json", "methods/edm/seed0/weights.safetensors", "trajectories/edm-heun/shard1.npy"]
)
def test_a_table_is_refused_when_anything_that_it_stands_on_was_made_again(tree, path):
    behind = str(tree.root / "shapes8" / path)
    assert behind in tree.readers
    remade(tree, behind)
    with pytest.raises(ArtifactError, match=f"was made from another {behind} than the one that is there"):
        check(tree.plan, TABLE.work(tree.plan, table="table1").inputs())


def test_the_same_bytes_made_again_change_nothing(tree):
    path = str(tree.root / "shapes8/methods/edm/seed0/weights.safetensors")
    remade(tree, path, Path(path).read_text())
    tree.whole()


def test_what_lies_further_back_may_be_deleted(tree):
    for path in tree.root.glob("shapes8/trajectories/*/shard*.npy*"):
        path.unlink()
    for path in tree.root.glob("shapes8/*/*/seed*/samples/*"):
        path.unlink()
    check(tree.plan, TABLE.work(tree.plan, table="table1").inputs())
    with pytest.raises(ArtifactError, match=r"samples/nfe1.npz: missing; run `hkd sample`"):
        check(tree.plan, FEATURES.work(tree.plan, dataset="shapes8", method=HKD, seed=0, nfe=1).inputs())


def test_weights_of_other_settings_than_the_plans_are_refused(tree, smoke_plan):
    other = smoke_plan(results=str(tree.root), set={"training": {"steps": 9}})
    work = SAMPLE.work(other, dataset="shapes8", method=HKD, seed=0, nfe=1)
    with pytest.raises(ArtifactError, match=r"its record says settings '\w+', the plan '\w+'; .*hkd train"):
        check(other, work.inputs())


def test_the_config_beside_the_weights_of_a_teacher_is_read_and_so_compared(tree):
    config = Path(tree.plan.layout.run("shapes8", "methods/edm", 0).config)
    config.write_text(config.read_text() + " ")
    work = TRAIN.work(tree.plan, dataset="shapes8", method="methods/ecm", seed=0)
    with pytest.raises(ArtifactError, match=r"edm/seed0/config.yaml: damaged"):
        check(tree.plan, work.inputs())
