"""What defines the readings and their table, and what they read."""

from __future__ import annotations

import pytest

from hkd.plan.runs import Plan
from hkd.settings.origins import ConfigError
from hkd.studies.fingerprint.plan import MEASURED, TABLE, comparable, printed, readings, settings


def test_every_combination_is_a_reading(smoke_plan):
    found = readings(smoke_plan())
    assert len(found) == 12 == len({tuple(reading.values()) for reading in found})
    assert found[0] == {"decoder_sigma": "sigma_min", "output_wrapper": "scaled", "operator_init": 0.0}


def test_readings_start_from_the_base_or_from_a_file(smoke_plan):
    own = smoke_plan()
    assert MEASURED.work(own).input("weights").as_posix() == own.layout.run("shapes8", "methods/edm", 0).weights
    given = smoke_plan(studies={"fingerprint": {"weights": "weights/edm.safetensors"}})
    assert MEASURED.work(given).definition.inputs["weights"] == "weights/edm.safetensors"
    assert MEASURED.work(given).digest != MEASURED.work(own).digest


@pytest.mark.parametrize(
    "changes, again",
    [
        ({"images": 16}, {MEASURED}),
        ({"output_wrapper": ["raw"]}, {MEASURED}),
        ({"share_limit": 0.2}, {TABLE}),
        ({"epoch_steps": 100}, {TABLE}),
    ],
)
def test_what_is_made_again(smoke_plan, changes, again):
    before, after = smoke_plan(), smoke_plan(studies={"fingerprint": changes})
    assert {part for part in (MEASURED, TABLE) if part.work(before).digest != part.work(after).digest} == again


def test_only_the_papers_scale_data_and_network_are_comparable(smoke_plan, root):
    full = Plan.load(str(root / "configs/benchmarks/fingerprint.yaml"), {}, root / "configs")
    assert comparable(full) and not comparable(smoke_plan())
    assert printed(full) == (447.13, 11.82)
    work = MEASURED.work(full)
    assert work.settings["images"] == 50000 and work.settings["network"]["model_channels"] == 128
    assert work.definition.inputs["extractors"] == []


@pytest.mark.parametrize("key", ["decoder_sigma", "output_wrapper", "operator_init"])
def test_nothing_to_vary_is_refused(smoke_plan, key):
    with pytest.raises(ConfigError, match=f"{key}: state at least one"):
        settings(smoke_plan(studies={"fingerprint": {key: []}}))
