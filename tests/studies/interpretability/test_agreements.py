"""Agreement of spectra: a line per pair and order, whose permutations depend on the pair's place alone."""

from __future__ import annotations

import pytest

from hkd.studies.interpretability.agreements import agreements
from hkd.studies.interpretability.plan import Pair, pairs


@pytest.fixture
def compared(results, study_plan):
    return pairs(study_plan, "shapes8")


def test_every_pair_and_order_has_a_line_that_names_it(compared):
    lines = agreements(compared, ("alpha", "abs_eig"), 10)
    assert [(line["first"], line["order_by"]) for line in lines] == [
        (pair.first, order) for pair in compared for order in ("alpha", "abs_eig")
    ]
    keys = ["run", "kind", "first", "second", "order_by", "levels", "mean", "null", "p_value"]
    assert list(lines[0]) == keys and len(lines[0]["null"]) == 10


def test_a_spectrum_agrees_with_itself(compared):
    same = Pair("methods/hkd", "seeds", compared[0].first, compared[0].first)
    line = agreements([same], ("alpha",), 10)[0]
    assert line["mean"] == pytest.approx(1.0) and line["p_value"] == pytest.approx(1 / 11)


def test_orders_share_the_permutations_of_their_pair(compared):
    both = agreements(compared[:1], ("abs_alpha", "alpha"), 10)
    assert both[1] == agreements(compared[:1], ("alpha",), 10)[0]


def test_pairs_pass_whoever_watches(compared):
    seen = []

    def watch(items):
        for item in items:
            seen.append(item)
            yield item

    agreements(compared, ("alpha",), 2, watch)
    assert seen == compared
