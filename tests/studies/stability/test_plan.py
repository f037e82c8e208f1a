"""What the measurements, the table and the figure of stability are defined by."""

from __future__ import annotations

from pathlib import Path

import pytest

from hkd.plan.runs import Plan
from hkd.studies.stability.plan import FIGURE, MEASURED, TABLE, printed

CONFIGS = Path(__file__).resolve().parents[3] / "configs"
RUN = {"dataset": "shapes16", "method": "methods/hkd", "seed": 0}


def plan_of(benchmark: str = "embedded", **changes) -> Plan:
    return Plan.load(str(CONFIGS / f"benchmarks/{benchmark}.yaml"), changes, CONFIGS)


@pytest.mark.parametrize(
    ("changes", "again"),
    [
        ({"set": {"sampling": {"n_samples": 500}}}, {MEASURED}),
        ({"set": {"sampling": {"batch": 16}}}, set()),
        ({"set": {"sampling": {"nfe": [2]}}}, {MEASURED}),
        ({"studies": {"stability": {"epochs": 60}}}, {TABLE, FIGURE}),
        ({"seeds": 2}, set()),  # the further file is a further input
    ],
)
def test_what_is_made_again(changes, again):
    before, after = plan_of(), plan_of(**changes)
    works = {MEASURED: RUN, TABLE: {}, FIGURE: {}}
    assert {
        part for part, of in works.items() if part.work(before, **of).digest != part.work(after, **of).digest
    } == again


def test_there_is_a_file_for_every_seed_of_the_run_on_the_studys_data_set():
    files = [f"results/shapes16/methods/hkd/seed{seed}/metrics/stability.json" for seed in (0, 1)]
    assert TABLE.work(plan_of(seeds=2)).inputs() == files
    elsewhere = plan_of(studies={"stability": {"dataset": "shapes8"}})
    assert TABLE.work(elsewhere).inputs() == ["results/shapes8/methods/hkd/seed0/metrics/stability.json"]


def test_the_printed_numbers_are_those_of_table_5_where_the_data_set_stands_for_the_papers():
    rows = printed(plan_of())
    assert (rows[0].epoch, rows[0].mean, rows[-1].epoch) == (None, 447.13, 53)
    assert printed(plan_of("table2")) == [], "Table 2 is of another data set"
