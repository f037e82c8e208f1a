"""The sections of the studies refuse values that contradict each other, naming the key."""

from __future__ import annotations

import pytest

from hkd.settings.merge import CONFIGS
from hkd.settings.origins import ConfigError
from hkd.settings.studies import SECTIONS, Ambiguity, Editing, Inpainting, Interpretability, Spectrum, StatesOverTime


@pytest.mark.parametrize(
    "name, kind, changed, expected",
    [
        ("spectrum", Spectrum, {"edges": [0.6, 0.3]}, "edges = [0.6, 0.3] is not usable"),
        ("spectrum", Spectrum, {"edges": [0.5, 0.5]}, "must increase within (0, 1)"),
        ("editing", Editing, {"edges": [0.0, 0.5]}, "must increase within (0, 1)"),
        ("editing", Editing, {"edges": [0.5, 1.0]}, "must increase within (0, 1)"),
        ("spectrum", Spectrum, {"images": 3, "shown": 4}, "shown = 4 is not usable: value error, there are only 3"),
        ("editing", Editing, {"images": 3, "shown": 4}, "there are only 3 images"),
        ("inpainting", Inpainting, {"images": 3, "shown": 4}, "there are only 3 images"),
        ("trajectories", StatesOverTime, {"images": 3, "shown": 4}, "there are only 3 images"),
        ("ambiguity", Ambiguity, {"level": 0.2, "power": 0.2}, "power = 0.2 is not usable"),
        ("interpretability", Interpretability, {"rules": {"middle": [20.0, 0.5]}}, "rules.middle = [20.0, 0.5]"),
    ],
)
def test_a_contradiction_is_one_line(smoke_plan, name, kind, changed, expected):
    with pytest.raises(ConfigError) as refused:
        smoke_plan(studies={name: changed}).study(name, kind)
    assert expected in str(refused.value) and "\n" not in str(refused.value)


def test_one_band_needs_no_edge(smoke_plan):
    assert smoke_plan(studies={"spectrum": {"edges": []}}).study("spectrum", Spectrum).edges == ()


def test_every_file_of_studies_has_a_section_that_checks_it():
    assert {path.stem for path in (CONFIGS / "studies").glob("*.yaml")} == SECTIONS.keys()
