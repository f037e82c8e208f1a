"""Which bars a benchmark must meet, and what their values are read from."""

from __future__ import annotations

from pathlib import Path

import pytest

from hkd.plan.runs import Plan
from hkd.settings.origins import ConfigError
from hkd.studies.bars import plan as study

CONFIGS = Path(__file__).resolve().parents[3] / "configs"


def plan_of(benchmark: str = "embedded", **changes) -> Plan:
    return Plan.load(str(CONFIGS / f"benchmarks/{benchmark}.yaml"), changes, CONFIGS)


def test_every_bar_of_the_file_asks_for_values_that_can_be_read():
    every = plan_of(bars=list(study.settings(plan_of()).bars), seeds=2)
    found = study.values(every)
    assert found["fdn/methods/edm/35"].inputs == {
        "metrics": [f"results/shapes16/methods/edm/seed{seed}/metrics/nfe35.json" for seed in (0, 1)]
    }
    error = found["error/ablations/abl_no_traj/8"]
    assert error.part == "8" and len(error.inputs["errors"]) == 2
    assert found["quality/worst_r2"].inputs == {"extractor": [every.layout.extractor("shapes16", "metric")]}
    assert found["real_vs_real"].inputs.keys() == {"reference", "extractor"}
    assert study.TABLE.work(every).inputs()


def test_no_bar_is_set_for_what_the_project_measures_itself():
    assert not any("fdn/methods/hkd/" in str(bar) for bar in study.settings(plan_of()).bars.values())


def test_a_limit_that_is_another_value_is_read_too():
    assert "fdn/methods/regression/1" in study.values(plan_of(bars=["perceptual"]))


def test_a_benchmark_without_bars_reads_nothing():
    assert study.TABLE.work(plan_of()).inputs() == []


def test_a_bar_that_does_not_exist_is_refused_at_the_start():
    with pytest.raises(ConfigError, match=r"bars: .*studies/bars.yaml has no bar 'teach'. Did you mean 'teacher'"):
        study.STUDY.check(plan_of(bars=["teach"]))


@pytest.mark.parametrize(
    ("bar", "expected"),
    [
        ({"title": "x", "value": "fdn/hkd/1", "at_most": 1.0}, "expected fdn/"),
        ({"title": "x", "value": "quality/class", "at_least": "quality"}, "expected fdn/"),
        ({"title": "x", "value": "quality/class"}, "state either `at_most` or `at_least`"),
        ({"title": "x", "value": "quality/class", "at_most": 1, "at_least": 0}, "state either `at_most` or `at_least`"),
    ],
)
def test_a_bar_that_compares_nothing_is_refused(bar, expected):
    with pytest.raises(ConfigError, match=expected):
        study.settings(plan_of(studies={"bars": {"bars": {"mine": bar}}}))


def test_limits_titles_and_the_data_define_the_table():
    before = study.TABLE.work(plan_of(bars=["real_vs_real"]))
    for changes in (
        {"studies": {"bars": {"bars": {"real_vs_real": {"at_most": 0.5}}}}},
        {"studies": {"bars": {"real_images": 100}}},
        {"data": {"shapes16": {"seed": 5}}},
    ):
        assert study.TABLE.work(plan_of(bars=["real_vs_real"], **changes)).digest != before.digest
    assert "hkd.data.kinds.shapes" in before.definition.code
