"""The search: every live row has the same trials at equal evaluations, on seeds that no table uses."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest

from hkd.plan import rows
from hkd.plan.runs import Plan
from hkd.settings.origins import ConfigError
from hkd.studies.search import plan as search

CONFIGS = Path(__file__).resolve().parents[3] / "configs"
EMBEDDED = str(CONFIGS / "benchmarks/embedded.yaml")


@cache
def plan() -> Plan:
    return Plan.load(EMBEDDED, configs=CONFIGS)


def changed(**study) -> Plan:
    return Plan.load(EMBEDDED, {"studies": {"search": study}}, CONFIGS)


def test_every_row_that_the_default_trains_in_the_run_is_searched_but_the_papers_readings():
    runs = {Path(path).parents[2] for path in rows.metrics(plan(), "table1")}
    assert "abl_paper_readings" in {run.name for run in runs}, "whose settings are the paper's and nobody's choice"
    live = {
        name
        for name in {run.name for run in runs if run.parent.name == "methods"}
        if plan().run("shapes16", f"methods/{name}").training.steps
        and not plan().shipped("shapes16", f"methods/{name}")
    }
    assert set(search.settings(plan()).methods) == live == {"hkd", "regression", "rf3"}


@pytest.mark.parametrize("method", search.settings(plan()).methods)
def test_a_row_has_as_many_trials_as_any_at_its_own_number_of_images(method):
    study, row = search.settings(plan()), plan().run("shapes16", f"methods/{method}").training
    found = search.trials(study, method)
    assert len(found) == 9 and sum(trial.own for trial in found) == 1
    for trial in found:
        run = plan().run("shapes16", f"search/{trial.name}").training
        assert run.optimizer.lr == pytest.approx(row.optimizer.lr * trial.rate)
        assert run.steps * run.batch == pytest.approx(row.steps * row.batch, rel=0.05)
        assert run.warmup_steps == pytest.approx(row.warmup_steps * trial.steps, abs=1) and run.milestones == ()


def test_stages_follow_the_steps_and_own_settings_stay_as_they_are():
    asked = changed(methods=["ecm"])
    trials = {(t.rate, t.steps): t for t in search.trials(search.settings(asked), "ecm")}
    own, longer = (asked.run("shapes16", f"search/{trials[1.0, k].name}") for k in (1.0, 2.0))
    row = asked.run("shapes16", "methods/ecm")
    assert own.params == row.params and longer.params["stage_steps"] == 2 * row.params["stage_steps"]


@pytest.mark.parametrize(
    ("study", "expected"),
    [
        ({"rates": [0.5, 2.0]}, "must name 1.0"),
        ({"shapes": [[2.0, 0.5]]}, "must name \\[1.0, 1.0\\]"),
        ({"shapes": [[1.0, 1.0], [2.0, 1.0]]}, "makes 2 times the evaluations"),
        ({"seeds": [100]}, "seeds"),
    ],
)
def test_a_search_that_is_not_equal_is_refused(study, expected):
    with pytest.raises(ConfigError, match=expected):
        search.settings(changed(**study))


def test_seeds_of_tables_are_refused():
    with pytest.raises(ConfigError, match="seeds: 0 are seeds of the benchmark's tables; name others"):
        search.TABLE.work(changed(seeds=[0, 100]))


def test_a_trial_that_is_none_is_refused_with_the_nearest():
    with pytest.raises(ConfigError, match=r"search/hkd_9: .* no such trial. Did you mean 'hkd_"):
        plan().run("shapes16", "search/hkd_9")
