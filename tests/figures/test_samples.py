from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hkd.figures.samples import GAP, LABEL, MARGIN, ROW_GAP, SampleRow, caption, page_layout, sample_grid
from hkd.figures.save import save


def images(resolution: int, n: int = 4, channels: int = 3, seed: int = 0) -> np.ndarray:
    shape = (n, channels, resolution, resolution)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def rows(resolution: int = 16) -> list[SampleRow]:
    return [
        SampleRow("EDM", images(resolution, seed=1), 35, 6.9, 16, "methods/edm/seed0", "Multi-Step Diffusion Models"),
        SampleRow("HKD", images(resolution, seed=2), 1, None, None, "methods/hkd/seed0", "Consistency Model"),
        SampleRow("Real images", images(resolution, seed=3)),
    ]


def test_a_score_of_few_images_is_marked_as_an_estimate():
    labels = " ".join(text.get_text() for axes in sample_grid(rows(), columns=3).axes for text in axes.texts)
    assert "FDn ≈6.9" in labels
    assert "FDn of 16 images" in caption(rows(), columns=3, dataset="shapes", seed=0)


def test_weights_that_were_not_trained_in_this_run_are_told_from_those_that_were():
    given, own = (SampleRow("HKD", images(16), 1, 11.2, route=route) for route in ("shipped", "train"))
    assert [axes.texts[0].get_text() for axes in sample_grid([given, own], columns=3).axes] == ["HKD (shipped)", "HKD"]


def test_a_title_that_fits_one_line_of_small_letters_is_not_broken():
    titles = ("HKD", "HKD, trained in this run", "Regression (control), trained in this run")
    axes = sample_grid([SampleRow(title, images(16), 1) for title in titles], columns=3).axes
    assert [panel.texts[0].get_text().count("\n") for panel in axes] == [0, 0, 1]


def test_one_panel_per_row():
    assert len(sample_grid(rows(), columns=3).axes) == 3


@pytest.mark.parametrize("resolution", [16, 32, 64])
def test_every_pixel_is_a_square_of_whole_device_pixels(tmp_path, resolution):
    row = SampleRow("HKD", images(resolution))
    _, png, _ = save(sample_grid([row], columns=4), tmp_path / "samples", "caption")
    drawn = np.asarray(Image.open(png).convert("RGB"))
    _, width = drawn.shape[:2]
    tile = (width - LABEL - 12 - 3 * GAP) // 4
    assert tile % resolution == 0
    for k in range(4):
        left = LABEL + k * (tile + GAP)
        expected = row.images[k].transpose(1, 2, 0).repeat(tile // resolution, 0).repeat(tile // resolution, 1)
        np.testing.assert_array_equal(drawn[12 : 12 + tile, left : left + tile], expected)


def test_rows_read_down_the_left_block_then_down_the_right_one_and_show_the_same_columns(tmp_path):
    shown = [SampleRow(f"row {k}", images(16, seed=k), 1) for k in range(5)]
    _, png, _ = save(sample_grid(shown, columns=2, blocks=2), tmp_path / "samples", "caption")
    drawn = np.asarray(Image.open(png).convert("RGB"))
    block = drawn.shape[1] // 2
    tile = (block - LABEL - MARGIN - GAP) // 2
    for k, (across, down) in enumerate([(0, 0), (0, 1), (0, 2), (1, 0), (1, 1)]):
        top = MARGIN + down * (tile + ROW_GAP)
        for column in range(2):
            left = across * block + LABEL + column * (tile + GAP)
            expected = shown[k].images[column].transpose(1, 2, 0).repeat(tile // 16, 0).repeat(tile // 16, 1)
            np.testing.assert_array_equal(drawn[top : top + tile, left : left + tile], expected)
    assert drawn.shape[0] == 2 * MARGIN + 3 * tile + 2 * ROW_GAP
    assert (drawn[top + tile + ROW_GAP :, block + LABEL :] == 255).all()


def test_a_block_begins_with_the_heading_of_its_first_row():
    shown = [SampleRow(f"row {k}", images(16), 1, group="few" if k < 3 else "one") for k in range(6)]
    below = [SampleRow(f"row {k}", images(16), 1, group="few") for k in range(4)]
    for blocks, rows, expected in ((2, shown, [0, 3]), (1, shown, [0, 3]), (2, below, [0, 2])):
        axes = sample_grid(rows, columns=2, blocks=blocks).axes
        headed = [k for k, panel in enumerate(axes) if any(text.get_style() == "italic" for text in panel.texts)]
        assert headed == expected


@pytest.mark.parametrize(("rows", "columns", "expected"), [(8, 12, (12, 1)), (24, 12, (6, 2)), (24, 5, (3, 2))])
def test_many_rows_on_a_page_take_two_blocks_of_half_the_columns(rows, columns, expected):
    assert page_layout(rows, columns=columns) == expected


@pytest.mark.parametrize("n", [1, 8, 10, 11, 24])
def test_on_a_page_850_pixels_wide_the_figure_leaves_room_for_the_table_and_its_labels_can_be_read(n):
    columns, blocks = page_layout(n, columns=12)
    shown = [SampleRow("HKD", images(16, n=12), 1, 10.8, route="shipped") for _ in range(n)]
    figure = sample_grid(shown, columns=columns, blocks=blocks)
    width, height = figure.get_size_inches() * 72  # points
    assert height / width * 850 <= 620
    assert min(text.get_size() for panel in figure.axes for text in panel.texts) / width * 850 >= 11


def test_grey_images_are_drawn_grey(tmp_path):
    figure = sample_grid([SampleRow("grey", images(16, channels=1))], columns=2)
    (panel,) = figure.axes
    drawn = np.asarray(panel.images[0].get_array())
    assert (drawn[..., 0] == drawn[..., 1]).all() and (drawn[..., 0] == drawn[..., 2]).all()


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (SampleRow("HKD", images(16, n=2)), "HKD: 2 images, the figure shows 3"),
        (SampleRow("HKD", images(32)), "HKD: images are"),
        (SampleRow("HKD", images(16).astype(np.float32)), "HKD: images are float32"),
        (SampleRow("HKD", images(16, channels=2)), "HKD: images are uint8"),
    ],
)
def test_a_row_that_does_not_fit_is_named(row, message):
    with pytest.raises(ValueError, match=message):
        sample_grid([rows()[0], row], columns=3)


def test_no_rows_are_refused():
    with pytest.raises(ValueError, match="needs rows"):
        sample_grid([], columns=3)


def test_the_caption_states_data_set_seed_and_checkpoints(tmp_path):
    text = caption(rows(), columns=3, dataset="shapes at 16 px", seed=0)
    for word in ("shapes at 16 px", "seed 0", "EDM, 35 NFE: methods/edm/seed0", "Real images: images of the data set"):
        assert word in text
    pdf, png, beside = save(sample_grid(rows(), columns=3), tmp_path / "samples", text)
    assert beside.read_text() == text
    assert "shapes at 16 px" in Image.open(png).text["Description"]
    assert pdf.stat().st_size > 0


DRAW = """
import sys
sys.path.insert(0, {here!r})
from test_samples import rows
from hkd.figures.samples import sample_grid
from hkd.figures.save import save
save(sample_grid(rows(), columns=3), {stem!r}, "caption")
"""


def test_the_same_samples_give_the_same_bytes_in_another_process(tmp_path):
    written = []
    for hash_seed in ("1", "2"):
        stem = str(tmp_path / hash_seed)
        program = DRAW.format(here=str(Path(__file__).parent), stem=stem)
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        subprocess.run([sys.executable, "-c", program], check=True, env=environment, cwd=Path(__file__).parents[2])
        written.append([Path(f"{stem}.{kind}").read_bytes() for kind in ("pdf", "png", "md")])
    assert written[0] == written[1]
    assert b"CreationDate" not in written[0][0]
