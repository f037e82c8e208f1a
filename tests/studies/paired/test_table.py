"""Paired differences: verdicts by Student's test, and nothing where a seed is missing."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from hkd.report.page import rendered
from hkd.report.results import results
from hkd.studies.paired.table import COLUMNS, as_results, lines, said, score, text

TITLES = {"methods/a": "A", "ablations/b": "B"}
PAIR = [("methods/a", "ablations/b")]


def line(low, high, **changes):
    scores = {"methods/a": low, "ablations/b": high}
    (found,) = lines(PAIR, scores, TITLES, **{"confidence": 0.95, "power": 0.8, **changes})
    assert tuple(found) == COLUMNS
    return found


@pytest.mark.parametrize("shift", [0.0, 0.1, 0.5, 1.0, -0.6])
def test_a_verdict_is_that_of_the_paired_t_test(shift):
    draw = np.random.default_rng(3)
    low = 15 + draw.normal(size=10)
    high = low + shift + 0.3 * draw.normal(size=10)
    test = stats.ttest_rel(high, low)
    found, interval = line(list(low), list(high)), test.confidence_interval(0.95)
    assert [float(found[key]) for key in ("low", "high")] == pytest.approx([interval.low, interval.high], rel=1e-3)
    resolved = "resolved" if test.statistic > 0 else "resolved in reverse"
    assert found["verdict"] == (resolved if test.pvalue < 0.05 else "not resolved")
    assert float(found["detectable"]) > 0 and len(found["differences"].split()) == found["seeds"] == 10


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        ([10.0, 10.1, None], [90.0, 90.1, 90.2], "not run: no FDn of seed 2"),
        ([None, 10.1, 10.0], [90.0, None, 90.2], "not run: no FDn of seed 0, 1"),
        ([10.0], [90.0], "not run: needs 2 seeds"),
    ],
)
def test_missing_seeds_decide_nothing_however_large_the_difference(low, high, verdict):
    found = line(low, high)
    assert found["verdict"] == verdict and found["difference"] == found["detectable"] == ""
    assert said(found) == f"A below B: {verdict}"


def test_more_power_or_confidence_needs_a_larger_difference():
    low, high = [10.0, 11.0, 12.0], [10.5, 11.8, 12.4]
    plain = float(line(low, high)["detectable"])
    assert (
        float(line(low, high, power=0.9)["detectable"]) > plain < float(line(low, high, confidence=0.99)["detectable"])
    )


def test_a_training_that_diverged_and_one_that_is_not_there_have_no_score():
    assert score(None) is None and score({"diverged_at": 7, "metrics": None}) is None
    assert score({"diverged_at": None, "metrics": {"fdn": 14}}) == 14.0


def test_the_scores_are_a_result_file_of_findings():
    about = {"command": "make ablations", "commit": "abc", "source": "kept"}
    scores = {"methods/a": [10.0, 11.0, 12.0], "ablations/b": [12.0, 13.1, 13.9], "ablations/c": [9.0, None, 9.0]}
    content = results(as_results(scores, {**TITLES, "ablations/c": "C"}, about), "paired.json")
    told = rendered("{{order rows.fdn: a < b}}. {{order rows.fdn: c < a}}.", content, "x.md")
    assert told.startswith("A has a lower FDn than B, by 2.00") and "order of C and A in FDn (not run)" in told


def test_the_text_has_a_sentence_for_every_pair():
    found = [line([10.0, 11.0, 12.0], [12.0, 13.1, 13.9]), line([1.0, None], [2.0, 3.0])]
    words = text(found, "Seven arms")
    assert "A below B: resolved (11 and 13; difference 2, interval 1.752 to 2.248; 3 seeds detect" in words
    assert "A below B: not run: no FDn of seed 1." in words
