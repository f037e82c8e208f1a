"""The sections of the studies refuse values that contradict each other, naming the key."""

from __future__ import annotations

import pytest

from hkd.plan.study import find
from hkd.settings.merge import CONFIGS
from hkd.settings.origins import ConfigError

SECTIONS = {file: section for study in find().values() for file, section in study.sections.items()}


@pytest.mark.parametrize(
    "name, changed, expected",
    [
        ("spectrum", {"edges": [0.6, 0.3]}, "edges = [0.6, 0.3] is not usable"),
        ("spectrum", {"edges": [0.5, 0.5]}, "must increase within (0, 1)"),
        ("editing", {"edges": [0.0, 0.5]}, "must increase within (0, 1)"),
        ("editing", {"edges": [0.5, 1.0]}, "must increase within (0, 1)"),
        ("spectrum", {"images": 3, "shown": 4}, "shown = 4 is not usable: there are only 3"),
        ("editing", {"images": 3, "shown": 4}, "there are only 3 images"),
        ("inpainting", {"images": 3, "shown": 4}, "there are only 3 images"),
        ("trajectories", {"images": 3, "shown": 4}, "there are only 3 images"),
        ("ambiguity", {"level": 0.2, "power": 0.2}, "power = 0.2 is not usable"),
        ("interpretability", {"rules": {"middle": [20.0, 0.5]}}, "rules.middle = [20.0, 0.5]"),
    ],
)
def test_a_contradiction_is_one_line(smoke_plan, name, changed, expected):
    with pytest.raises(ConfigError) as refused:
        smoke_plan(studies={name: changed}).study(name, SECTIONS[name])
    assert expected in str(refused.value) and "\n" not in str(refused.value)


def test_one_band_needs_no_edge(smoke_plan):
    assert smoke_plan(studies={"spectrum": {"edges": []}}).study("spectrum", SECTIONS["spectrum"]).edges == ()


def test_every_file_of_studies_has_a_section_that_checks_it():
    assert {path.stem for path in (CONFIGS / "studies").glob("*.yaml")} == SECTIONS.keys()
