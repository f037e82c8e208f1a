"""The study's own runs: teachers by seed, students of each, and what they read."""

from __future__ import annotations

import pytest

from hkd.plan.runs import named_base
from hkd.plan.stages import SHARD, TRAIN
from hkd.settings.origins import ConfigError
from hkd.studies.determined.plan import COURSES, KNOWN, TABLE, comparisons, settings, trained


def test_a_base_may_name_its_seed():
    assert named_base("methods/edm") == ("methods/edm", 0)
    assert named_base("determined/teacher@2") == ("determined/teacher", 2)
    for wrong in ("methods/edm@", "methods/edm@x", "methods/edm@-1", "methods/edm@1@2"):
        with pytest.raises(ConfigError, match="expected a seed behind the @, as in methods/edm@1"):
            named_base(wrong)


def test_every_student_stands_on_a_teacher_of_its_own_and_on_its_trajectories(smoke_plan):
    plan = smoke_plan()
    for number, name in enumerate(("first", "second", "third"), start=1):
        inputs = TRAIN.work(plan, dataset="shapes8", method=f"determined/{name}", seed=0).definition.inputs
        assert inputs["init"] == plan.layout.run("shapes8", "determined/teacher", number).weights
        assert inputs["trajectories"] == plan.layout.trajectories("shapes8", f"edm-teacher-{number}").manifest
        shard = SHARD.work(plan, dataset="shapes8", trajectories=f"edm-teacher-{number}", shard=0)
        assert shard.definition.inputs["teacher"] == inputs["init"]
        assert "hkd.methods.multistep.edm" in shard.definition.code
    starts = [plan.run("shapes8", f"determined/{name}").params["operator_init"] for name in ("first", "plus", "minus")]
    assert starts == [0.0, 0.3, -0.3]


def test_a_teacher_is_trained_even_where_that_of_the_benchmark_is_shipped(smoke_plan):
    plan = smoke_plan(teacher="shipped", dataset="shapes16")
    assert (
        plan.route("shapes16", "determined/teacher") == "train" and plan.route("shapes16", "methods/edm") == "shipped"
    )


def test_compared_trainings_have_different_seeds(smoke_plan):
    plan = smoke_plan(seeds=2)
    found = comparisons(plan)
    assert all(a[1] != b[1] for _, a, b in found)
    assert ("seeds", ("first", 0), ("first", 1)) in found and ("teachers", ("first", 1), ("second", 0)) in found
    assert len(trained(plan)) == 10 == len(COURSES.work(plan).definition.inputs["milestones"])
    assert comparisons(smoke_plan(seeds=1)) == []


def test_the_control_needs_no_run_and_the_table_follows_both(smoke_plan):
    assert KNOWN.work(smoke_plan()).inputs() == []
    before, after = smoke_plan(), smoke_plan(studies={"determined": {"gaussian": {"batch": 8}}})
    assert KNOWN.work(before).digest != KNOWN.work(after).digest
    assert COURSES.work(before).digest == COURSES.work(after).digest
    assert len(TABLE.work(before).inputs()) == 2


@pytest.mark.parametrize(
    "wrong, expected",
    [
        ({"compare": {"seeds": [["first", "fist"]]}}, "'fist' is no student. Did you mean 'first'"),
        ({"students": {"teacher": {}}}, "no student may be named 'teacher'"),
        ({"set": {"training": {"milestones": []}}}, "name training.milestones"),
        ({"orders": []}, "orders: name at least one"),
        ({"gaussian": {"kept": [20, 5]}}, "kept: name steps in ascending order"),
        ({"gaussian": {"variance": [2.0, 1.0]}}, "the first must be below the second"),
        ({"gaussian": {"channels": 3}}, "channels"),
    ],
)
def test_what_cannot_be_is_refused(smoke_plan, wrong, expected):
    with pytest.raises(ConfigError, match=expected):
        settings(smoke_plan(studies={"determined": wrong}))


def test_a_run_that_the_study_does_not_train_is_refused(smoke_plan):
    with pytest.raises(ConfigError, match=r"determined/fourth: the study 'determined' trains no such run"):
        smoke_plan().run("shapes8", "determined/fourth")
