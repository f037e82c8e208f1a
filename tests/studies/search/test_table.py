"""The table of the search: the choice is judged on the seed that it was not made on."""

from __future__ import annotations

import numpy as np
import pytest

from hkd.studies.search.table import COLUMNS, Tried, lines, summary

FACTS = {
    "rate": 1.0,
    "steps": 1.0,
    "batch": 1.0,
    "lr": 0.001,
    "train_steps": 100,
    "train_batch": 32,
    "network_evals": 9,
}


def table(own, *others):
    tried = [
        Tried(FACTS, True, tuple(own)),
        *(Tried({**FACTS, "rate": 2.0}, False, tuple(scores)) for scores in others),
    ]
    found = lines("HKD", tried, confidence=0.95, power=0.8)
    assert all(tuple(line) == COLUMNS for line in found)
    return found


def test_a_trial_that_is_better_on_every_seed_is_chosen_and_its_gain_resolved():
    own, other = table((20.0, 21.0, 22.0), (18.0, 19.1, 19.9))
    assert (own["chosen"], other["chosen"], other["gain"]) == ("no", "yes", "")
    assert (own["verdict"], float(own["gain"])) == ("resolved", 2.0)
    assert float(own["low"]) > 0 and float(own["detectable"]) > 0


def test_the_luck_of_a_seed_gains_nothing_at_the_others():
    """Trials of one mean: the best of eight on a seed is far better there, and no better where it was not chosen."""
    draw, gains, naive = np.random.default_rng(0), [], []
    for _ in range(300):
        scores = 20 + draw.normal(size=(9, 3))
        own = table(*scores.tolist())[0]
        gains.append(float(own["gain"]))
        naive.append(scores[0].mean() - scores.mean(1).min())
    assert abs(np.mean(gains)) < 4 * np.std(gains) / 300**0.5 and np.mean(naive) > 0.7


def test_a_diverged_trial_is_never_chosen_and_a_diverged_row_decides_nothing():
    own, other = table((20.0, 21.0, 22.0), (1.0, None, 1.0))
    assert (other["chosen"], other["fdn"], other["values"]) == ("no", "", "1 diverged 1")
    assert own["chosen"] == "yes" and (own["verdict"], float(own["gain"])) == ("not resolved", 0.0)
    own, other = table((20.0, None, 22.0), (1.0, 1.0, 1.0))
    assert own["verdict"].startswith("not run: its own settings") and other["chosen"] == "yes"


def test_every_row_is_told_in_a_line():
    (said,) = summary(table((20.0, 21.0, 22.0), (18.0, 19.1, 19.9)))
    assert said.startswith("HKD: best of 2 trials 2.0 x rate, 1.0 x steps; gain 2 (") and said.endswith("resolved")
    (said,) = summary(table((20.0, None, 22.0), (None, None, 1.0)))
    assert said == "HKD: best of 2 trials none; not run: its own settings have no score of every seed"


@pytest.mark.parametrize("seeds", [2, 5])
def test_own_settings_that_are_best_gain_nothing(seeds):
    own = table([10.0 + k for k in range(seeds)], [20.0 + k for k in range(seeds)])[0]
    assert float(own["gain"]) == 0 and own["verdict"] == "not resolved"
