"""Single pictures that are arrays of bytes or floats."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from PIL import Image

from hkd.data import pictures
from hkd.data.pictures import DataError, read_picture
from tests.data.test_pictures import COLOURS, GREY, SIDE, read, refusal
from tests.fuzzed import COUNTS
from tests.mutations import mutations


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("channels_first", [True, False])
def test_an_array_of_bytes_is_taken_with_its_channels_first_or_last(tmp_path, order, channels_first):
    array = COLOURS.transpose(2, 0, 1) if channels_first else COLOURS
    np.save(tmp_path / "a.NPY.npy", np.asarray(array, order=order))
    (tmp_path / "a.NPY.npy").rename(tmp_path / "a.NPY")
    assert_array_equal(read(tmp_path / "a.NPY"), COLOURS)


@pytest.mark.parametrize("dtype", ["<f4", ">f4", "<f8", "<f2"])
def test_floats_from_minus_one_to_one_are_taken(tmp_path, dtype):
    np.save(tmp_path / "a.npy", (COLOURS / 127.5 - 1).astype(dtype))
    assert np.abs(read(tmp_path / "a.npy") - COLOURS).max() <= (dtype == "<f2")


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (COLOURS / 255, "values from 0.0 to 1.0, none below -0.1"),
        (np.zeros((SIDE, SIDE, 3)), "values from 0.0 to 0.0, none below -0.1"),
        (COLOURS.astype(float), "values from 0.0 to 255.0, expected floats in [-1, 1]"),
        (
            np.where(GREY[..., None] > 99, np.nan, -COLOURS / 255),
            "NaN in 117 of its 192 values, expected floats in [-1, 1]",
        ),
        (np.full((SIDE, SIDE, 3), -np.inf), "infinity in 192 of its 192 values, expected"),
        (COLOURS.astype(np.int16), "int16, expected one array of uint8"),
        (COLOURS > 9, "bool, expected one array of uint8"),
        (COLOURS.astype(complex), "complex128, expected one array of uint8"),
        (np.array([[None]]), "its header is cut short, or describes Python objects"),
        (COLOURS[None], "expected (C, H, W) or (H, W, C) and as many"),
        (COLOURS[..., :2], "shape (8, 8, 2), expected (3, H, W)"),
        (COLOURS[:4, :4], "4x4 pixels, the run's images have 8x8"),
        (np.zeros((3, 0, 0), np.uint8), "for the shape (3, 0, 0)"),
    ],
)
def test_an_array_that_is_no_picture_is_refused(tmp_path, array, message):
    np.save(tmp_path / "a.npy", array, allow_pickle=True)
    assert message in refusal(read_picture, tmp_path / "a.npy", channels=3)


RINGING = np.where(GREY[..., None] == 8, -0.03, COLOURS / 255)
OF_UNIT = ["np.clip(2 * x - 1, -1, 1)", "np.uint8(np.rint(255 * np.clip(x, 0, 1)))"]


@pytest.mark.parametrize(
    ("x", "right", "remedies"),
    [
        (COLOURS / 255, COLOURS, OF_UNIT),
        (np.where(COLOURS == 0, -1e-7, COLOURS / 255), COLOURS, OF_UNIT),
        (RINGING, np.where(RINGING < 0, 0, COLOURS), OF_UNIT),
        (COLOURS / 999 - 0.1, np.rint((COLOURS / 999 + 0.9) * 127.5), ["np.uint8(np.rint(127.5 * x + 127.5))"]),
    ],
)
def test_floats_that_may_be_meant_for_0_to_1_are_refused_and_their_remedies_work(tmp_path, x, right, remedies):
    path = tmp_path / "a.npy"
    np.save(path, x)
    message = refusal(read_picture, path, channels=3)
    assert "none below -0.1, which may be meant for [0, 1]; for x in [0, 1] save" in message
    for remedy in remedies:
        assert remedy in message
        np.save(path, eval(remedy, {"np": np, "x": x}))
        assert_array_equal(read(path), right)


@pytest.mark.parametrize(
    ("x", "range_", "y"),
    [
        (COLOURS / 127.5 - 1 + 1e-7, "1.0000001 ", lambda x: x),
        (np.float32(COLOURS / 127.5 - 1 + 1e-7), "from -0.9999999 to 1.0000001, ", lambda x: x),
        (np.where(COLOURS == 255, 1.03, COLOURS / 255), "to 1.03, ", lambda x: 2 * x - 1),
        (COLOURS.astype(np.float32), "from 0.0 to 255.0, ", lambda x: x / 127.5 - 1),
    ],
)
def test_floats_beyond_the_range_are_shown_in_full_and_scaled_as_advised(tmp_path, x, range_, y):
    path = tmp_path / "a.npy"
    np.save(path, x)
    message = refusal(read_picture, path, channels=3)
    assert range_.strip() in message and "save np.clip(y, -1, 1), where y is x for x in [-1, 1], 2 * x - 1" in message
    np.save(path, np.clip(y(x), -1, 1))
    assert_array_equal(read(path), COLOURS)


def test_values_that_are_no_numbers_are_named(tmp_path):
    x = COLOURS / 127.5 - 1
    x[0, 0], x[1, 0, :2] = np.nan, np.inf
    np.save(tmp_path / "a.npy", x)
    assert ": NaN in 3 of its 192 values, expected floats" in refusal(read_picture, tmp_path / "a.npy", channels=3)


@pytest.mark.filterwarnings("error")
def test_no_library_warns_of_an_array_that_is_laid_out_as_it_is_read(tmp_path):
    np.save(tmp_path / "a.npy", COLOURS.transpose(2, 0, 1).copy())
    assert_array_equal(read(tmp_path / "a.npy"), COLOURS)


def test_what_is_no_array_is_said_in_plain_words(tmp_path):
    path = tmp_path / "a.npy"
    Image.fromarray(COLOURS).save(tmp_path / "a.png")
    np.savez(tmp_path / "a.npz", COLOURS)
    for name in ("a.png", "a.npz"):
        (tmp_path / name).rename(path)
        assert ": not a numpy array; save it with numpy.save, or name it as" in refusal(read_picture, path, channels=3)
    path.write_bytes(npy("{'descr': '|u1', 'fortran_order': False, 'shape': (open('x'),)}"))
    assert "its header is cut short" in refusal(read_picture, path, channels=3)
    path.write_bytes(npy("", b"")[:6] + b"\4\0" + bytes(99))
    assert ": a numpy array of an unknown version 4" in refusal(read_picture, path, channels=3)
    with open(path, "wb") as file:
        np.lib.format.write_array(file, COLOURS, version=(3, 0))
    assert_array_equal(read(path), COLOURS)


def test_a_second_array_behind_the_first_is_not_passed_over(tmp_path):
    with open(tmp_path / "a.npy", "wb") as file:
        np.save(file, COLOURS)
        np.save(file, 255 - COLOURS)
    assert "512 bytes of numbers for the shape (8, 8, 3)" in refusal(read_picture, tmp_path / "a.npy", channels=3)


def npy(header: str, numbers: bytes = b"") -> bytes:
    text = header.encode().ljust(118) + b"\n"
    return b"\x93NUMPY\1\0" + len(text).to_bytes(2, "little") + text + numbers


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x93NUMPY",
        b"\x93NUMPY\x09\0" + bytes(99),
        b"PK\3\4" + bytes(99),
        b"\x80\4." + bytes(99),
        npy("{'descr': '|u1', 'fortran_order': False, 'shape': (3, 1000000, 1000000)}"),
        npy("{'descr': '<f8', 'fortran_order': False, 'shape': (3, 8, -8)}", bytes(1536)),
        npy("{'descr': '|u1', 'fortran_order': False, 'shape': (0, 99999999999999999999999, 8)}"),
        npy("{'descr': '|O', 'fortran_order': False, 'shape': (3, 8, 8)}", b"cos\nsystem\n(S'x'\ntR."),
        npy("{'descr': ('<f4', (99999999,)), 'fortran_order': False, 'shape': (3, 8, 8)}"),
        npy("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (192,)}", bytes(768)),
        npy("__import__('os').system('x')"),
        npy("(" * 5000),
        npy("-" * 9000 + "1"),
        npy("{" * 60_000),
    ],
)
def test_a_header_that_claims_what_is_not_there_is_refused(tmp_path, content):
    (tmp_path / "a.npy").write_bytes(content)
    refusal(read_picture, tmp_path / "a.npy", channels=3)


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("array", [COLOURS, np.float32(COLOURS / 127.5 - 1)], ids=["bytes", "floats"])
def test_a_damaged_array_is_a_picture_or_one_line(monkeypatch, array, count):
    buffer = io.BytesIO()
    np.save(buffer, array)
    for content in mutations(buffer.getvalue(), count):
        monkeypatch.setattr(pictures, "_content", lambda path, content=content: content)
        try:
            picture = read_picture(Path("a.npy"), resolution=SIDE, channels=3)
            assert picture.shape == (3, SIDE, SIDE) and picture.isfinite().all() and picture.abs().max() <= 1
        except DataError as error:
            assert str(error).isprintable() and str(error)[1:].startswith((".npy: ", ".bmp: "))
