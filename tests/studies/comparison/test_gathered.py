"""What lies in a results folder may be damaged in any way: it is read, or refused in one line, and stops nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hkd.store.records import Record, record_path
from hkd.store.refusals import ArtifactError
from hkd.studies.comparison.gathered import RunFile, numbers, of_cell, of_run
from hkd.studies.comparison.said import Cell
from tests.fuzzed import COUNTS
from tests.mutations import mutations


@pytest.fixture
def metrics(tree) -> Path:
    """A metrics file without a record, so that nothing but its reader stands before its content."""
    (path,) = tree("embedded").plant("methods/kd", 1, [54.0])
    record_path(path).unlink()
    return path


def gather(path: Path):
    return of_run([RunFile(0, path, path.with_name("weights.safetensors"))], "shapes16", "methods/kd", 1)


@pytest.mark.parametrize("count", COUNTS)
def test_a_damaged_metrics_file_is_read_or_refused_in_one_line(metrics, count):
    content, read = metrics.read_bytes(), 0
    for changed in mutations(content, count, seed=3):
        metrics.write_bytes(changed)
        found = gather(metrics)
        assert len(found.lines) + len(found.refused) == 1
        assert not found.refused or ("\n" not in found.refused[0] and str(metrics) in found.refused[0])
        read += len(found.lines)
    assert 0 < read < count


@pytest.mark.parametrize("count", COUNTS)
def test_a_damaged_table_of_a_study_is_read_or_refused_in_one_line(tree, count):
    cell = Cell(file="table5.csv", where={"epoch": "0"}, column="values")
    path = tree("embedded").study("table5.csv", [{"epoch": k, "values": f"{k}.5 2"} for k in range(4)])
    record_path(path).unlink()
    content, seen = path.read_bytes(), set()
    for changed in mutations(content, count, seed=4):
        path.write_bytes(changed)
        found = of_cell(path, cell)
        seen.add((len(found.lines), len(found.refused), len(found.missing)))
        for line in found.lines:
            try:
                assert numbers(line["cell"], "x")
            except ArtifactError as error:
                assert "\n" not in str(error)
    assert seen == {(1, 0, 0), (0, 1, 0), (0, 0, 1)}


@pytest.mark.parametrize(
    "key, value",
    [
        ("method", 3),
        ("metrics", [1.0]),
        ("metrics", None),
        ("protocols", [1]),
        ("protocols", {"fid_own": 1, "fdn": 1}),
        ("budget", "much"),
        ("codes", 3),
        ("codes", [3]),
        ("versions", None),
        ("n_generated", "many"),
        ("n_generated", -1),
        ("n_reference", 1.5),
        ("seed", [0]),
        ("extractor_digest", {}),
        ("scale", 3),
        ("route", None),
    ],
)
def test_a_value_of_another_kind_is_refused_with_its_key(metrics, key, value):
    content = json.loads(metrics.read_text())
    metrics.write_text(json.dumps(content | {key: value}))
    (text,) = gather(metrics).refused
    assert key in text and "\n" not in text


@pytest.mark.parametrize("number", ["1e999", "NaN", "1" + "0" * 400, "true", '"3"', "null"])
def test_a_score_that_is_no_finite_number_is_refused(metrics, number):
    metrics.write_text(metrics.read_text().replace('"fid_own": 54.0', f'"fid_own": {number}'))
    (text,) = gather(metrics).refused
    assert ("metrics.fid_own" in text or str(metrics) in text) and "\n" not in text and len(text) < 500


@pytest.mark.parametrize("content", ["[]", "3", "{", '{"settings": []}', '{"sha256": 3}'])
def test_a_record_that_is_none_is_refused(tree, content):
    made = tree("embedded")
    (path,) = made.plant("methods/kd", 1, [54.0])
    weights = path.with_name("weights.safetensors")
    record_path(weights).write_text(content)
    found = of_run([RunFile(0, path, weights)], "shapes16", "methods/kd", 1)
    assert len(found.lines) + len(found.refused) == 1 and all("\n" not in text for text in found.refused)


@pytest.mark.parametrize("key", ["sha256", "selected", "checkpoint"])
def test_a_record_of_weights_that_was_edited_is_named_and_not_used(tree, key):
    """Without what it said of a choice by the score, a claim would lose its mark; without a digest, all would stop."""
    made = tree("embedded")
    (path,) = made.plant("methods/kd", 1, [54.0])
    made.trained("methods/kd", 0, selected="best of ten")
    weights = Path(made.plan.layout.run("shapes16", "methods/kd", 0).weights)
    Record("metrics", inputs=[weights]).write(path)
    about = record_path(weights)
    assert of_run([RunFile(0, path, weights)], "shapes16", "methods/kd", 1).selected
    content = json.loads(about.read_text())
    del content[key]
    about.write_text(json.dumps(content))
    (refused,) = of_run([RunFile(0, path, weights)], "shapes16", "methods/kd", 1).refused
    assert refused.startswith(f"{about}: ") and "\n" not in refused


def test_the_record_of_other_weights_tells_nothing_of_a_score(tree):
    """Copied from another run, it would judge a number by another training."""
    made = tree("embedded")
    (path,) = made.plant("methods/kd", 1, [54.0])
    made.trained("methods/kd", 0)
    weights = Path(made.plan.layout.run("shapes16", "methods/kd", 0).weights)
    Record("metrics", inputs=[weights]).write(path)
    file = RunFile(0, path, weights)
    assert of_run([file], "shapes16", "methods/kd", 1).lines
    weights.write_text("another")
    Record("train", {}).write(weights, checkpoint="last")
    (refused,) = of_run([file], "shapes16", "methods/kd", 1).refused
    assert refused.startswith(f"{weights}: its record is of other weights than {path}")
    given = RunFile(0, path, weights, given=True)
    assert of_run([given], "shapes16", "methods/kd", 1).lines


@pytest.mark.parametrize("target", ["nowhere", "itself"])
def test_a_link_to_nowhere_is_named_and_not_taken_for_a_run_that_is_missing(metrics, target):
    metrics.unlink()
    metrics.symlink_to(metrics if target == "itself" else metrics.with_name("gone.json"))
    found = gather(metrics)
    assert not found.missing and not found.lines
    assert len(found.refused) == 1 and str(metrics) in found.refused[0] and "\n" not in found.refused[0]


def test_weights_from_elsewhere_beside_a_record_that_is_not_theirs_are_refused_with_what_to_do(tree):
    made = tree("embedded")
    (path,) = made.plant("methods/kd", 1, [54.0])
    made.trained("methods/kd", 0)
    weights = Path(made.plan.layout.run("shapes16", "methods/kd", 0).weights)
    about = record_path(weights)
    about.write_text(about.read_text().replace('"last"', '"best"'))
    (refused,) = of_run([RunFile(0, path, weights, given=True)], "shapes16", "methods/kd", 1).refused
    assert refused == f"{about}: not the record of these weights, or edited; without it they need none"
    about.unlink()
    assert of_run([RunFile(0, path, weights, given=True)], "shapes16", "methods/kd", 1).lines
