"""The calibration figure shows what each mistake adds, in the colours of the classes, with numbers to look up."""

from __future__ import annotations

import pytest

from hkd.figures.style import CLASSES
from hkd.studies.calibration.figure import calibration, caption, excesses, members, noise


def row(mistake: str, name: str, kind: str, split: int, distance: float, excess: float) -> dict[str, object]:
    about = {"metric": "FD-tiny", "corruption": mistake, "implementation": name, "preprocessing": kind, "split": split}
    return about | {"n": 100, "distance": distance, "excess": excess}


ROWS = [
    row(mistake, name, kind, split, 1.0 + 0.2 * split + added * (2.0 if kind == "C" else 1.0), added * (1 + split))
    for mistake, added in (("none", 0.0), ("weak", 0.4), ("strong", 8.0), ("nothing", -0.001))
    for name, kind in (("hkd", "A"), ("edm", "A"), ("clean-fid", "C"))
    for split in (0, 1)
]


def test_an_excess_is_the_mean_over_splits_and_the_worst_mistake_comes_first():
    shown = excesses(ROWS)
    assert [item.mistake for item in shown] == ["strong"] * 2 + ["weak"] * 2 + ["nothing"] * 2
    weak = shown[2]
    assert (weak.preprocessing, weak.mean, weak.text) == ("A", pytest.approx(0.6), "0.60 ± 0.28")
    assert shown[4].text == "−0.002 ± 0.001"
    assert noise(ROWS) == pytest.approx(0.2 / 2**0.5)
    assert members(ROWS) == {"A": ["hkd", "edm"], "C": ["clean-fid"]}


def test_the_figure_names_every_mistake_and_class_and_gives_the_numbers():
    (axes,) = calibration(ROWS).axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["strong", "weak", "nothing"]
    assert axes.get_legend_handles_labels()[1] == ["A: hkd, edm", "C: clean-fid"]
    assert {"0.60 ± 0.28", "class A"} <= {text.get_text() for text in axes.texts}
    assert {CLASSES["A"], CLASSES["C"]} <= {line.get_color() for line in axes.lines}
    low = axes.get_xlim()[0]
    on_the_edge = [line for line in axes.lines if set(line.get_xdata()) == {low}]
    assert len(on_the_edge) == 2, "what adds nothing stays visible, once per class"


def test_the_caption_says_what_was_compared_and_how_large_the_noise_is():
    text = caption(ROWS, dataset="tiny images")
    assert "tiny images" in text and "FD-tiny" in text and "100 each, 2 splits" in text and "1.1 ± 0.14" in text


def test_a_table_of_clean_images_alone_is_refused():
    with pytest.raises(ValueError, match="at least one mistake"):
        calibration(ROWS[:2])
