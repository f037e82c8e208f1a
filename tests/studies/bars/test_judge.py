"""A bar is met or not, upwards or downwards, against a number or against another value."""

from __future__ import annotations

import pytest

from hkd.studies.bars.judge import COLUMNS, judge, summary
from hkd.studies.bars.plan import Bar

VALUES = {"quality/class": 0.9, "fdn/methods/hkd/1": 20.0, "fdn/methods/edm/35": 10.0}


@pytest.mark.parametrize(
    ("limits", "met"),
    [
        ({"at_most": 20.0}, "yes"),
        ({"at_most": 19.9}, "no"),
        ({"at_least": 20.0}, "yes"),
        ({"at_least": 20.1}, "no"),
        ({"at_most": "fdn/methods/edm/35"}, "no"),
        ({"at_most": "fdn/methods/edm/35", "times": 2.0}, "yes"),
        ({"at_most": 0.0}, "no"),
    ],
)
def test_a_value_is_held_against_its_limit(limits, met):
    (line,) = judge({"hkd": Bar(title="HKD", value="fdn/methods/hkd/1", **limits)}, VALUES)
    assert tuple(line) == COLUMNS and (line["bar"], line["met"], line["value"]) == ("hkd", met, "20")


def test_the_lines_for_a_terminal_say_what_was_asked():
    lines = judge({"class": Bar(title="Class accuracy", value="quality/class", at_least=0.97)}, VALUES)
    assert summary(lines) == ["no   Class accuracy: 0.9 (at least 0.97)"]
