"""Images of other programs come from folders, zips and array files, or are refused in one line."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

from hkd.data import DataError, foreign
from hkd.data.decoding import encode_png
from hkd.data.foreign import load_images
from hkd.store import bounded_arrays
from tests.data.pictures_made import GREEN, RED, colour, folder, mean_colours, packed
from tests.fuzzed import COMPARED, COUNTS, refused
from tests.mutations import mutations

GOOD = np.arange(4 * 3 * 8 * 8, dtype=np.uint8).reshape(4, 3, 8, 8)
LAST = np.ascontiguousarray(GOOD.transpose(0, 2, 3, 1))


def refusal(path: Path, **options: object) -> str:
    with pytest.raises(DataError) as caught:
        load_images(path, **options)  # type: ignore[arg-type]
    said = str(caught.value)
    assert str(path) in said and ";" in said, said
    return said


def test_images_come_from_arrays_with_channels_first_or_last(tmp_path):
    np.savez(tmp_path / "ours.npz", images=GOOD)
    np.savez_compressed(tmp_path / "adm.NPZ.npz", arr_0=LAST)
    np.save(tmp_path / "plain.npy", GOOD)
    np.save(tmp_path / "last.npy", LAST)
    np.savez(tmp_path / "fortran.npz", images=np.asfortranarray(GOOD))
    for name in ("ours.npz", "adm.NPZ.npz", "plain.npy", "last.npy", "fortran.npz"):
        assert (load_images(tmp_path / name, claimed=4).pixels == GOOD).all()


def test_images_come_from_folders_and_zips_in_the_order_of_their_names(tmp_path):
    files = {f"{'deep/' if k > 1 else ''}z{k}.PNG": encode_png(image) for k, image in enumerate(GOOD)}
    files["dataset.json"] = b"{}"
    for path in (folder(tmp_path / "set", files), packed(tmp_path / "set.zip", files)):
        found = load_images(path, claimed=4, side=8)
        assert (found.pixels == GOOD[[2, 3, 0, 1]]).all() and found.remarks == ()


def test_missing_files_and_other_kinds_are_refused(tmp_path):
    assert "no such file or folder" in refusal(tmp_path / "absent")
    (tmp_path / "one.png").write_bytes(RED)
    assert "a single picture; put single pictures into a folder" in refusal(tmp_path / "one.png")
    (tmp_path / "notes.txt").write_text("hello")
    assert "neither a folder nor a .zip, .npz or .npy" in refusal(tmp_path / "notes.txt")
    for name in ("set.tar.gz", "set.tgz", "set.tar"):
        (tmp_path / name).write_bytes(b"")
        assert "unpack it and give the folder, or zip that" in refusal(tmp_path / name)


def test_a_wrong_claim_is_refused_before_pictures_are_decoded(tmp_path):
    path = folder(tmp_path / "set", {"0.png": RED[:50], "1.png": RED})
    assert "50000 images claimed, 2 found" in refusal(path, claimed=50_000)
    assert "2 images claimed, 1 found" in refusal(path, claimed=2, skip_unreadable=True)
    np.save(tmp_path / "set.npy", GOOD)
    assert "5 images claimed, 4 found" in refusal(tmp_path / "set.npy", claimed=5)


def test_pictures_of_another_size_are_refused_at_the_first(tmp_path):
    path = folder(tmp_path / "set", {"0.png": RED, "1.png": colour(0, 0, 0, side=16)})
    assert "1.png: 16x16 pixels where 0.png has 8x8" in refusal(path)
    (path / "2.png").write_bytes(b"never decoded")
    assert "0.png: 8x8 pixels, expected 32x32" in refusal(path, side=32)


def test_array_files_that_are_none_are_refused(tmp_path):
    np.savez(tmp_path / "cut.npz", images=GOOD)
    whole = (tmp_path / "cut.npz").read_bytes()
    for name, content in {"cut.npz": whole[: len(whole) // 2], "empty.npz": b"", "text.npy": b"hello there"}.items():
        (tmp_path / name).write_bytes(content)
        assert "write it again" in refusal(tmp_path / name)
    np.savez(tmp_path / "other.npz", mu=np.zeros(3))
    message = refusal(tmp_path / "other.npz")
    assert "holds mu, no array named images or arr_0; save it by numpy.savez(file, images=array)" in message
    np.save(tmp_path / "objects.npy", np.array([{}], dtype=object))
    np.savez(tmp_path / "objects.npz", images=np.array([{}], dtype=object))
    for name in ("objects.npy", "objects.npz"):
        assert "write it again" in refusal(tmp_path / name)
    np.save(tmp_path / "number.npy", np.float64(1))
    assert "a single number" in refusal(tmp_path / "number.npy")


def header(shape: str, order: str = "False") -> bytes:
    """An array file whose header claims a shape, and that has no content."""
    text = f"{{'descr': '|u1', 'fortran_order': {order}, 'shape': {shape}, }}"
    text += " " * (-(len(text) + 11) % 64) + "\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode()


HEADERS = [
    header("(1000000000000, 3, 64, 64)"),
    header("(99999999999999999999, 3, 8, 8)"),
    header("(-4, 3, 8, 8)"),
    header("(4, 3, __import__('os').getpid(), 8)"),
    header("(" * 3000 + ")" * 3000),
    header("(4, 3, 8, 8)", "maybe"),
    b"\x93NUMPY\x09\x00" + bytes(20),
    b"\x93NUMPY\x02\x00\xff\xff\xff\xff",
]


@pytest.mark.parametrize("content", HEADERS)
def test_headers_that_lie_set_no_memory_aside_and_run_nothing(tmp_path, content):
    (tmp_path / "set.npy").write_bytes(content)
    refusal(tmp_path / "set.npy")
    with zipfile.ZipFile(tmp_path / "set.npz", "w") as archive:
        archive.writestr("images.npy", content)
    refusal(tmp_path / "set.npz")


def test_an_array_that_is_written_while_it_is_looked_at_is_refused(tmp_path):
    """Large arrays are mapped from their file: some images would be of the one set and some of the other."""
    for name in ("set.npy", "set.npz"):
        save = np.save if name == "set.npy" else np.savez
        save(tmp_path / name, GOOD)
        given = load_images(tmp_path / name)
        given.check_unchanged()
        save(tmp_path / name, GOOD[::-1])
        with pytest.raises(DataError, match="changed while it was read; give a file that nothing writes"):
            given.check_unchanged()


def test_an_array_that_shrinks_too_far_is_not_unpacked(tmp_path, monkeypatch):
    np.savez_compressed(tmp_path / "set.npz", images=np.zeros((400, 3, 64, 64), np.uint8))
    monkeypatch.setattr(foreign, "FREE_BYTES", 1 << 20)
    assert "its arrays state more than 1,048,576 bytes" in refusal(tmp_path / "set.npz")


def saved(*arrays: np.ndarray) -> bytes:
    """What numpy.save leaves in a file that it is given for one array after the other."""
    buffer = io.BytesIO()
    for array in arrays:
        np.save(buffer, array)
    return buffer.getvalue()


def test_one_array_of_several_is_not_chosen(tmp_path):
    path = packed(tmp_path / "twice.npz", [("images.npy", saved(GOOD)), ("images.npy", saved(GOOD))])
    assert "the array 'images.npy' occurs twice" in refusal(path)
    for other in ("images", "arr_0.npy"):
        path = packed(tmp_path / "set.npz", {"images.npy": saved(GOOD), other: saved(255 - GOOD)})
        assert "several arrays named images or arr_0 that differ; leave the one to be read" in refusal(path)
    np.savez(tmp_path / "same.npz", images=GOOD, arr_0=GOOD)
    assert (load_images(tmp_path / "same.npz").pixels == GOOD).all()


def test_bytes_behind_an_array_are_not_passed_over(tmp_path):
    (tmp_path / "set.npy").write_bytes(saved(GOOD, 255 - GOOD))
    assert "1,664 bytes of values where uint8 (4, 3, 8, 8) has 768; write it again" in refusal(tmp_path / "set.npy")
    path = packed(tmp_path / "set.npz", {"images.npy": saved(GOOD) + b"zz"})
    assert "'images' has 770 bytes of values where uint8 (4, 3, 8, 8) has 768" in refusal(path)


def test_an_array_file_is_told_by_its_content(tmp_path):
    np.savez(tmp_path / "a.npz", images=GOOD)
    (tmp_path / "a.npz").rename(tmp_path / "a.npy")
    (tmp_path / "b.npz").write_bytes(saved(GOOD))
    for name in ("a.npy", "b.npz"):
        assert (load_images(tmp_path / name).pixels == GOOD).all()
    for name in ("c.npy", "c.npz"):
        (tmp_path / name).write_bytes(RED)
        assert refusal(tmp_path / name).endswith(
            ": not a numpy array; write it again as bytes, with numpy.save or numpy.savez"
        )


@pytest.mark.parametrize("count", COMPARED)
def test_a_damaged_npz_is_read_as_it_was_or_refused(tmp_path, count):
    path = tmp_path / "set.npz"
    np.savez_compressed(path, images=GOOD[:2])
    good = load_images(path).pixels
    read = lambda: load_images(path).pixels  # noqa: E731
    assert refused(path, read, count, DataError, lambda found: np.array_equal(found, good)) > count // 2


@pytest.mark.parametrize("count", COUNTS)
def test_a_damaged_npy_is_read_or_refused(tmp_path, count):
    buffer = io.BytesIO()
    np.save(buffer, GOOD[:2])
    good, path = 0, tmp_path / "set.npy"
    for mutated in mutations(buffer.getvalue(), count):
        path.write_bytes(mutated)
        try:
            found = load_images(path).pixels
        except DataError as error:
            assert str(error).isprintable()
        else:
            good += 1
            assert found.nbytes <= 4 * len(mutated)
    assert good < count


def test_a_second_folder_does_not_hide_the_first(tmp_path):
    path = folder(tmp_path / "set", {"b/0.png": RED, "a/0.png": GREEN})
    assert mean_colours(load_images(path).pixels) == [(0, 255, 0), (255, 0, 0)]


@pytest.mark.parametrize("form", ["npy", "npz", "packed", "adm", "packed adm", "folder", "zip"])
def test_images_in_a_folder_for_what_is_unpacked_are_the_same(tmp_path, monkeypatch, form):
    monkeypatch.setattr(bounded_arrays, "LEAST_MAPPED", 0)  # or such small ones would be read
    array = GOOD.transpose(0, 2, 3, 1) if "adm" in form else GOOD
    path, scratch = tmp_path / f"set.{form[:3]}", tmp_path / "scratch"
    if form == "npy":
        np.save(path, array)
    elif form == "folder":
        path = folder(tmp_path / "set", {"a.png": RED, "b.png": GREEN})
    elif form == "zip":
        packed(path, {"a.png": RED, "b.png": GREEN})
    else:
        path = tmp_path / "set.npz"
        (np.savez_compressed if "packed" in form else np.savez)(path, images=array)
    found, held = load_images(path, scratch=scratch).pixels, load_images(path).pixels
    assert np.array_equal(found, held) and found.dtype == held.dtype and not found.flags.owndata
    assert form in ("folder", "zip") or np.array_equal(found, GOOD)
    assert not scratch.exists() or not list(scratch.iterdir())
