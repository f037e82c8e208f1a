"""What a graph's jobs take the place of is counted in hours, and at paper scale asked for."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from hkd.plan.superseding import Job, check_replacing, others, superseded_by
from hkd.settings.origins import ConfigError
from hkd.store.atomic import write_json
from hkd.store.records import Record, identity
from hkd.store.superseded import keep
from hkd.training.checkpoint import Checkpoints, Progress


@pytest.fixture
def finished(tmp_path):
    """A training of digest `d1` that read one file."""
    images, weights = tmp_path / "images.json", tmp_path / "run/weights.safetensors"
    write_json(images, {})
    weights.parent.mkdir()
    weights.write_bytes(b"weights")
    Record("train", device="cuda:0").write(weights, budget={"steps": 9, "train_seconds": 5400.0})
    keep(weights.parent, [weights], identity("d1", [images]))
    return str(images), str(weights)


def test_another_digest_or_other_inputs_supersede_and_the_same_training_does_not(finished):
    images, weights = finished
    assert superseded_by([Job([images], [weights], "d1")]).line() == ""
    said = superseded_by([Job([images], [weights], "d2")]).line()
    assert said.startswith("this run supersedes 1 finished training (1.50 GPU-hours as recorded); they are kept")
    write_json(images, {"other": 1})
    assert len(superseded_by([Job([images], [weights], "d1")]).certain) == 1


def test_a_training_that_goes_on_to_more_steps_supersedes_nothing(finished):
    images, weights = finished
    states = identity("free", [images])
    Checkpoints(Path(weights).parent / "checkpoints", states).save({"a": torch.ones(1)}, Progress(9))
    keep(Path(weights).parent, [Path(weights)], identity("d1", [images]), states)
    job = Job([images], [weights], "d2", "free", 12)
    assert superseded_by([job]) == ([], [])
    assert others(Path(weights).parent, "d2-x", states, 12) == []
    for other in (job._replace(steps=8), job._replace(states="bound"), job._replace(states="")):
        assert len(superseded_by([other]).certain) == 1
    assert len(others(Path(weights).parent, "d2-x", states, 8)) == len(others(Path(weights).parent, "d2-x")) == 1
    assert len(superseded_by([job, Job([], [images], "i")]).possible) == 1
    write_json(images, {"other": 1})
    assert len(superseded_by([job]).certain) == 1


def test_an_input_that_is_made_again_may_come_out_the_same(finished):
    images, weights = finished
    found = superseded_by([Job([images], [weights], "d1"), Job([], [images], "i")])
    assert found.certain == [] and len(found.possible) == 1
    assert "1 finished training (1.50 GPU-hours) if what it reads comes out different" in found.line()


def test_at_paper_scale_finished_trainings_are_replaced_on_request_only(finished, smoke_plan):
    images, weights = finished
    (found,) = superseded_by([Job([images], [weights], "d2")]).certain
    assert others(found.folder, "d2-x") == [found] and others(found.folder, found.identity) == []
    with pytest.raises(ConfigError, match=r"1 finished training .*1.50 GPU-hours.*--config replace=true"):
        check_replacing(smoke_plan(scale="paper"), [found])
    check_replacing(smoke_plan(scale="paper", replace=True), [found])
    check_replacing(smoke_plan(), [found])
    check_replacing(smoke_plan(scale="paper"), [])
