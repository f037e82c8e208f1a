"""Which rows are timed, by which runs, and in which benchmarks `all` does so."""

from __future__ import annotations

from pathlib import Path

import pytest

from hkd.plan.runs import Plan
from hkd.plan.targets import tables
from hkd.settings.origins import ConfigError
from hkd.studies.latency.plan import TABLE, TIMING, rows, timings

CONFIGS = Path(__file__).resolve().parents[3] / "configs"


def plan_of(name: str, **changes) -> Plan:
    return Plan.load(str(CONFIGS / f"benchmarks/{name}.yaml"), changes, CONFIGS)


@pytest.mark.parametrize(("name", "count"), [("cifar10", 19), ("cifar10_cheap", 12), ("paper", 19)])
def test_every_printed_row_that_a_paper_benchmark_runs_is_timed_within_all(name, count):
    plan = plan_of(name)
    assert f"{plan.layout.root}/table6.csv" in [str(work.out()) for work in tables(plan)]
    answered = [row for row in rows(plan) if row.answer]
    assert len(answered) == count and {len(timings(plan, row)) for row in answered} == {1}
    assert len(rows(plan)) == 19


@pytest.mark.parametrize("name", ["embedded", "smoke", "ffhq64", "ffhq256"])
def test_no_other_benchmark_times_anything_unasked(name):
    assert not [work for work in tables(plan_of(name)) if work.stage == "latency_table"]


def test_a_row_with_shipped_weights_is_timed_of_those():
    plan = plan_of("embedded", seeds=2)
    (row,) = [row for row in rows(plan) if row.run == "methods/hkd"]
    assert (row.answer, row.seconds) == ("shipped/hkd", 0.03)
    assert timings(plan, row)[1] == "results/shapes16/shipped/hkd/seed1/latency/nfe1.json"
    assert set(timings(plan, row)) <= set(TABLE.work(plan).inputs())


def test_a_benchmark_without_the_rows_says_which_has_them():
    with pytest.raises(ConfigError, match=r"studies\.latency: no table of benchmark 'ffhq64' has the rows of table1"):
        TABLE.work(plan_of("ffhq64"))


def test_how_it_is_timed_makes_it_again_and_whether_it_is_part_of_all_does_not():
    values = {"dataset": "shapes16", "method": "methods/hkd", "seed": 0, "nfe": 1}
    known = TIMING.work(plan_of("embedded"), **values).digest
    assert TIMING.work(plan_of("embedded", studies={"latency": {"within_all": True}}), **values).digest == known
    for change in ({"batch": 2}, {"repeats": 5}, {"warm_up": 1}):
        assert TIMING.work(plan_of("embedded", studies={"latency": change}), **values).digest != known
