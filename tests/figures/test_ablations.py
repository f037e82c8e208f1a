from __future__ import annotations

import pytest

from hkd.figures.ablations import Bar, ablation_bars, caption
from hkd.figures.save import save
from hkd.figures.style import COLOURS, MUTED, colour

BARS = [
    Bar("ablations/abl_no_koopman", "without Koopman and trajectory loss", (15.0, 16.0, 14.0), 5.72),
    Bar("ablations/abl_mse_only", "MSE only", ()),
    Bar("methods/hkd", "HKD", (17.5,), 3.30),
]


def test_printed_numbers_have_a_panel_of_their_own():
    assert len(ablation_bars(BARS, quantity="FDn").axes) == 2
    unprinted = [Bar("methods/hkd", "HKD", (17.5,))]
    assert len(ablation_bars(unprinted, quantity="FDn").axes) == 1


def test_a_bar_is_as_long_as_the_mean_and_one_that_was_not_run_has_none():
    measured, printed = ablation_bars(BARS, quantity="FDn").axes
    assert [patch.get_width() for patch in measured.patches] == [15.0, 17.5]
    assert [patch.get_width() for patch in printed.patches] == [5.72, 3.30]
    assert "not run" in [text.get_text() for text in measured.texts]
    assert "not in the paper" in [text.get_text() for text in printed.texts]


def test_the_spread_needs_two_seeds():
    assert BARS[0].sd == pytest.approx(1.0)
    assert BARS[2].sd is None and BARS[1].mean is None


def test_the_caption_gives_the_numbers():
    text = caption(BARS, quantity="FDn", dataset="shapes16", checkpoints="500 steps")
    assert "- without Koopman and trajectory loss: 15.00 ± 1.00 (3 seeds); paper 5.72" in text
    assert "- MSE only: not run" in text
    assert "shapes16, 500 steps" in text


def test_no_bars_are_refused():
    with pytest.raises(ValueError, match="at least one bar"):
        ablation_bars([], quantity="FDn")


def test_the_same_bars_give_the_same_bytes(tmp_path):
    first, second = (save(ablation_bars(BARS, quantity="FDn"), tmp_path / name, "caption") for name in "ab")
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


def test_each_method_has_one_colour():
    assert len(set(COLOURS.values())) == len(COLOURS)
    assert colour("methods/hkd") == colour("hkd") == COLOURS["hkd"]
    assert colour("methods/my_method") == MUTED
