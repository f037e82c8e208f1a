from __future__ import annotations

import pytest
from matplotlib.colors import to_hex

from hkd.figures.save import save
from hkd.studies.ambiguity.figure import BETTER, UNSEEN, WORSE, caption, tornado

KEYS = ("choice", "value", "paper", "against", "change_percent", "ratios", "p", "p_holm", "verdict")
LINES = [
    dict(zip(KEYS, cells, strict=True))
    for cells in (
        ("pairing", "adjacent", "no", "x", "1.2", "1.03 0.99", "0.7", "1", "not detected"),
        ("time_map", "sigma", "yes", "centre", "300", "3.5 4.6", "0.00001", "0.0001", "matters"),
        ("lambda2", "1", "yes", "centre", "-20", "0.79 0.81", "0.008", "0.2", "suggestive"),
        ("teacher", "VE", "no", "centre", "", "", "", "", "not run: there is none"),
    )
]
FACTS = {"steps": 80, "seeds": 2, "images": 2000, "detectable_percent": 12.3, "degrees_of_freedom": 29}


@pytest.fixture
def axes():
    return tornado(LINES, detectable_percent=12.3, level=0.01).axes[0]


def test_bars_run_from_one_to_their_ratio_with_the_largest_first(axes):
    bars = [patch for patch in axes.patches if patch.get_height() == pytest.approx(0.72)]
    assert [bar.get_x() for bar in bars] == [1, 1, 1]
    assert [bar.get_width() for bar in bars] == pytest.approx([3.0, -0.2, 0.012])
    assert [to_hex(bar.get_facecolor()) for bar in bars] == [WORSE, BETTER, UNSEEN]
    assert [label.get_text() for label in axes.get_yticklabels()] == [
        "time_map: sigma ¶", "lambda2: 1 ¶", "pairing: adjacent ‡"
    ]  # fmt: skip


def test_the_band_spans_undetectable_changes_in_both_directions(axes):
    band = axes.patches[0]
    assert (band.get_x(), band.get_x() + band.get_width()) == pytest.approx((1 / 1.123, 1.123))


def test_a_star_marks_changes_that_are_significant_after_the_correction(axes):
    assert {text.get_text() for text in axes.texts} == {"+300 %*", "−20 %", "+1 %"}


def test_the_level_decides_what_is_coloured_and_marked():
    axes = tornado(LINES, detectable_percent=12.3, level=0.001).axes[0]
    assert [to_hex(patch.get_facecolor()) for patch in axes.patches[1:]] == [WORSE, UNSEEN, UNSEEN]
    assert "+300 %*" in {text.get_text() for text in axes.texts}


def test_the_caption_says_how_it_was_measured_and_what_was_not(axes):
    about = {"dataset": "shapes 16×16", "centre": "HKD", "scale": "cpu", "level": 0.01, "power": 0.9}
    text = caption(LINES, FACTS, **about)
    for part in ("shapes 16×16", "80 steps", "seeds 0 to 1", "12.3 %", "2 of 3", "1 stay below it", "29 degrees"):
        assert part in text
    assert "below 90%" in text and "level 0.01" in text and "p below 0.01" in text and "the cpu scale" in text
    assert "(pairing on x)" in text
    assert "- teacher = VE: not run: there is none" in text and "pairing =" not in text


def test_nothing_measured_is_refused():
    with pytest.raises(ValueError, match="at least one"):
        tornado(LINES[3:], detectable_percent=10.0, level=0.01)


def test_the_same_lines_give_the_same_bytes(tmp_path):
    first, second = (
        save(tornado(LINES, detectable_percent=10.0, level=0.01), tmp_path / name, "caption") for name in "ab"
    )
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]
