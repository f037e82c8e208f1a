"""The figure of the evidence shows every run, order and null, and the one of the spectrum what was stored."""

from __future__ import annotations

import numpy as np
import pytest

from hkd.figures.save import save
from hkd.studies.interpretability.figure import caption, interpretability_figure
from hkd.studies.interpretability.spectrum_figure import band_colours, levels, spectrum_figure
from tests.studies.interpretability.case import HKD, STUDY, TITLES, factors, measured


def texts(figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(lambda artist: hasattr(artist, "get_text"))]


def analysis(bands=3, groups=4):
    """A stored analysis of two levels and four images."""
    draw = np.random.default_rng(0)
    found = {
        "span": np.array(2.0),
        "sigmas": np.array([80.0, 1.0, 0.002]),
        "energy": draw.random((2, 3, bands)),
        "images": draw.integers(0, 255, (4, 3, 8, 8)).astype(np.uint8),
        "frequencies": np.arange(5) / 8,
        "power": draw.random(5) + 0.1,
        "groups/sigmas": np.array([80.0, 0.002]),
        "groups/images": draw.integers(0, 255, (2, groups + 1, 4, 3, 8, 8)).astype(np.uint8),
    }
    for level, shape in {"8x8_conv": (4, 8, 8), "4x4_down": (8, 4, 4)}.items():
        found[f"eigenvalues/{level}"] = draw.normal(size=shape) + 1j * draw.normal(size=shape)
        found[f"bands/{level}"] = draw.integers(0, bands, shape)
    for kind in ("zero", "mean"):
        found[f"{kind}/images"] = draw.integers(0, 255, (bands, 4, 3, 8, 8)).astype(np.uint8)
        found[f"{kind}/power"] = draw.random((bands, 5)) + 0.1
        found[f"{kind}/contribution"] = draw.random((3, bands))
        found[f"{kind}/leave_one_out"] = draw.random((3, bands))
    return found


@pytest.fixture
def arrays():
    return analysis()


def test_the_evidence_is_drawn_with_every_run_and_factor(tmp_path):
    figure = interpretability_figure(measured(), TITLES, shown=HKD, order="alpha")
    shown = " ".join(texts(figure))
    assert "closure loss" in shown and "stripe" in shown and "16 px" in shown
    text = caption(dataset="shapes", benchmark="p", seeds=3, shown="HKD", order="alpha", draws=100, n=8)
    assert "3 seeds" in text and "benchmark p" in text
    written = save(figure, tmp_path / "interpretability", text)
    assert all(path.stat().st_size > 0 for path in written)


def test_one_seed_draws_too_and_says_what_was_not_run():
    one = {run: seeds[:1] for run, seeds in measured()["closure"].items()}
    tests = {HKD: {order: [factors()] for order in STUDY.orders}}
    figure = interpretability_figure(
        measured(closure=one, agreement=[], factors=tests), TITLES, shown=HKD, order="abs_alpha"
    )
    assert "agreement of spectra: not run, needs two seeds" in texts(figure)


def test_eigenvalues_are_shown_over_the_whole_way(arrays, tmp_path):
    figure = spectrum_figure(arrays, images=2)
    first = next(axes for axes in figure.axes if axes.get_title() == "8x8 conv")
    drawn = np.concatenate([points.get_offsets() for points in first.collections])
    values = 2.0 * arrays["eigenvalues/8x8_conv"].ravel()
    assert np.sort(np.asarray(drawn[:, 0])) == pytest.approx(np.sort(values.real))
    assert all(path.exists() for path in save(figure, tmp_path / "spectrum", "text"))


def test_more_images_than_were_stored_are_refused(arrays):
    with pytest.raises(ValueError, match="the analysis holds 4; raise 'images'"):
        spectrum_figure(arrays, images=5)


def test_many_levels_are_thinned_out_between_the_first_and_the_last(arrays):
    for k in range(20):
        arrays[f"eigenvalues/{k}"] = arrays["eigenvalues/4x4_down"]
    chosen = levels(arrays)
    assert len(chosen) == 6 and chosen[0] == "8x8_conv" and chosen[-1] == "19"


@pytest.mark.parametrize("bands", [1, 6, 16])
def test_any_number_of_bands_is_drawn_each_in_a_colour_of_its_own(bands):
    assert len(set(band_colours(bands))) == bands
    figure = spectrum_figure(analysis(bands, groups=bands), images=2)
    labels = [entry.get_text() for entry in figure.legends[0].get_texts()]
    assert len(labels) == bands + 3 and labels[bands:] == ["whole image", "rest zero", "rest at its mean"]
    figure.draw_without_rendering()


def test_the_papers_groups_are_shown_over_time(arrays):
    shown = texts(spectrum_figure(arrays, images=2))
    assert r"$|\alpha|$ 1" in shown and r"$|\alpha|$ 4" in shown
    assert any(title.startswith("as in Figure 4: from") and "80 to 0.002" in title for title in shown)
