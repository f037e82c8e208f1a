"""JSON, npy, npz and safetensors that lie, are damaged or hostile: refused in one line, quickly, in little memory."""

from __future__ import annotations

import io
import json
import os
import struct
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save

from hkd.store import bounded, bounded_arrays
from hkd.store.bounded import Damaged, parse_json, read_bytes, read_tensors, tensors_about
from hkd.store.bounded_arrays import map_npy, map_npz, npz_kinds, read_npz
from tests.fuzzed import COMPARED, COUNTS, refused
from tests.memory import allocated

ARRAYS = {
    "features": np.linspace(0, 1, 24, dtype=np.float32).reshape(6, 4),
    "n": np.array(6),
    "eyes": np.array('{"own": 3}'),
    "columns": np.asfortranarray(np.arange(6, dtype=np.int64).reshape(2, 3)),
    "none": np.empty((0, 3, 8, 8), np.uint8),
    "yes": np.array([True, False]),
}


def same(found: dict[str, np.ndarray]) -> bool:
    return found.keys() == ARRAYS.keys() and all(
        found[name].dtype == array.dtype and np.array_equal(found[name], array) for name, array in ARRAYS.items()
    )


# -- JSON ------------------------------------------------------------------------------------------------------------

HOSTILE = {
    "nested lists": (b"[" * 200_000 + b"]" * 200_000, "nested more than 64 levels"),
    "nested mappings": (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "nested more than 64 levels"),
    "open brackets": (b"[" * 5_000_000, "nested more than 64 levels"),
    "a long integer": (b"[" + b"9" * 5000 + b"]", "a whole number of 5,000 digits"),
    "a long negative integer": (b"-" + b"9" * 5000, "a whole number of 5,001 digits"),
    "a number beyond floats": (b'{"a": 1e400}', "too large"),
    "NaN": (b'{"a": NaN}', "NaN where a number should be"),
    "infinity": (b"[-Infinity]", "-Infinity where a number should be"),
    "one key twice": (b'{"a": {"sha256": "x", "sha256": "y"}}', "the key 'sha256' occurs twice"),
    "one key of very many twice": (
        json.dumps(dict.fromkeys(range(50_000), 0))[:-1].encode() + b', "49999": 0}',
        "the key '49999' occurs twice",
    ),
    "other text": ("ä".encode("latin1"), "not UTF-8"),
    "UTF-16": ("{}".encode("utf-16"), "not UTF-8"),
    "nothing": (b"", "not valid JSON"),
    "half a text": (b'{"a": "b', "not valid JSON"),
    "two values": (b"{} {}", "not valid JSON"),
    "python": (b"{'a': __import__('os')}", "not valid JSON"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_json_that_is_none_or_hostile_is_refused_in_one_line(name):
    content, expected = HOSTILE[name]
    begun = time.process_time()
    with pytest.raises(Damaged, match=expected) as error:
        parse_json(content)
    assert len(str(error.value).splitlines()) == 1 and len(str(error.value)) < 300
    assert time.process_time() - begun < 2


def test_good_json_comes_back_as_it_is():
    value = {"a": [1, -2.5, 1e-300, None, True, '[[[[{{{ " \\ é'], "deep": [[[[[{}]]]]], "big": 10**30}
    assert parse_json(json.dumps(value).encode()) == value
    assert np.isnan(parse_json(b'{"a": NaN}', undefined=True)["a"])
    with pytest.raises(Damaged):
        parse_json(b'{"a": Infinity}', undefined=True)


def test_a_file_that_is_too_long_a_folder_or_a_pipe_is_no_content(tmp_path):
    (tmp_path / "long").write_bytes(b"x" * 101)
    os.mkfifo(tmp_path / "pipe")
    assert read_bytes(tmp_path / "long", 101) == b"x" * 101
    with pytest.raises(Damaged, match="more than 100 bytes"):
        read_bytes(tmp_path / "long", 100)
    for path in (tmp_path, tmp_path / "pipe"):
        for read in (lambda p: read_bytes(p, 10), map_npy, read_npz, read_tensors):
            with pytest.raises(Damaged, match="a folder or a device where a file should be"):
                read(path)
    for read in (lambda p: read_bytes(p, 10), map_npy, read_npz, read_tensors):
        with pytest.raises(FileNotFoundError):
            read(tmp_path / "absent")


def test_no_more_memory_is_taken_than_a_file_has(tmp_path):
    small, long = tmp_path / "small", tmp_path / "long"
    small.write_bytes(b"x" * 1000)
    long.write_bytes(b"y" * (3 << 20))
    assert allocated(lambda: read_bytes(small, 1 << 40)) < 1 << 20
    assert allocated(lambda: read_bytes(long, 1 << 40)) < 5 << 20
    assert read_bytes(small, 1 << 40) == b"x" * 1000 and len(read_bytes(long, 1 << 40)) == 3 << 20
    with pytest.raises(Damaged, match="more than 1,000 bytes"):
        read_bytes(long, 1000)


def test_a_file_that_says_that_it_is_empty_is_read_to_its_end():
    said = Path("/proc/self/environ")  # of which the kernel states no size
    assert said.stat().st_size == 0 and read_bytes(said, 1 << 20) == said.read_bytes() != b""
    held = len(said.read_bytes())
    assert len(read_bytes(said, held)) == held
    with pytest.raises(Damaged, match=f"more than {held - 1:,} bytes"):
        read_bytes(said, held - 1)


@pytest.mark.parametrize("count", COUNTS)
def test_damaged_json_is_refused_in_one_line(tmp_path, count):
    path = tmp_path / "a.json"
    content = {"stage": "train", "seed": 3, "values": [1.5, None, True, {"x": "y" * 20}], "sha256": "0" * 64}
    path.write_text(json.dumps(content, indent=2))
    read = lambda: parse_json(read_bytes(path, 1 << 20))  # noqa: E731
    assert refused(path, read, count, Damaged) > count // 4


# -- arrays ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("write", [np.savez, np.savez_compressed])
def test_arrays_come_back_as_numpy_wrote_them(tmp_path, write):
    write(tmp_path / "a.npz", **ARRAYS)
    assert same(read_npz(tmp_path / "a.npz"))
    for name, array in ARRAYS.items():
        np.save(tmp_path / f"{name}.npy", array)
        found = map_npy(tmp_path / f"{name}.npy")
        assert found.dtype == array.dtype and np.array_equal(found, array) and found.shape == array.shape
    for read in (read_npz, map_npz):
        assert list(read(tmp_path / "a.npz", wanted=lambda name: name == "n")) == ["n"]
    assert npz_kinds(tmp_path / "a.npz") == {name: (array.dtype, array.shape) for name, array in ARRAYS.items()}


def test_large_arrays_are_mapped_from_within_their_archive(tmp_path, monkeypatch):
    """Of a few bytes here: numpy's own reader says what is right, and that a compressed one is none to map."""
    monkeypatch.setattr(bounded_arrays, "LEAST_MAPPED", 0)
    np.savez(tmp_path / "a.npz", **ARRAYS)
    np.savez_compressed(tmp_path / "b.npz", **ARRAYS)
    found = map_npz(tmp_path / "a.npz")
    assert same(found) and not found["features"].flags.owndata and not found["features"].flags.writeable
    with np.load(tmp_path / "a.npz") as loaded:
        assert all(np.array_equal(found[name], loaded[name]) for name in loaded.files)
    (tmp_path / "c.npz").write_bytes(b"what stands before the archive" + (tmp_path / "a.npz").read_bytes())
    assert same(map_npz(tmp_path / "c.npz"))
    with pytest.raises(
        Damaged, match=r"'features' is compressed, so that it cannot be mapped; write it with numpy.savez"
    ):
        map_npz(tmp_path / "b.npz")
    assert same(map_npz(tmp_path / "b.npz", room=np.empty))
    for name in ("a", "b"):
        with pytest.raises(Damaged, match="its arrays state more than 500 bytes"):
            map_npz(tmp_path / f"{name}.npz", most=500, room=np.empty)


def npy(header: bytes, values: bytes = b"", version: int = 1) -> bytes:
    return (
        b"\x93NUMPY" + bytes([version, 0]) + struct.pack("<H" if version == 1 else "<I", len(header)) + header + values
    )


HEADERS = {
    "objects": (b"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }\n", "Python objects or records"),
    "records": (b"{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,), }\n", "Python objects or records"),
    "code": (b"{'descr': '<f4', 'fortran_order': False, 'shape': (__import__('os').getpid(),), }\n", "Python objects"),
    "deep": (b"(" * 9000 + b"1" + b")" * 900, "Python objects"),
    "a huge shape": (b"{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999,), }\n", "states the shape"),
    "more than there is": (b"{'descr': '<f4', 'fortran_order': False, 'shape': (1000000,), }\n", "0 bytes of values"),
    "many sides": (
        b"{'descr': '<f4', 'fortran_order': False, 'shape': (" + b"1," * 40 + b"), }\n",
        "states the shape",
    ),
    "an odd type": (b"{'descr': '<f3', 'fortran_order': False, 'shape': (1,), }\n", "unknown type"),
    "nothing": (b"", "cut short"),
}


@pytest.mark.parametrize("name", HEADERS)
def test_a_header_that_lies_or_holds_code_is_refused(tmp_path, name):
    header, expected = HEADERS[name]
    (tmp_path / "a.npy").write_bytes(npy(header))
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("a.npy", npy(header))
    in_archive = [(read, tmp_path / "a.npz") for read in (read_npz, map_npz, npz_kinds)]
    readers = ((map_npy, tmp_path / "a.npy"), *in_archive)

    def refused_by_all() -> None:
        for read, path in readers:
            with pytest.raises(Damaged, match=expected) as error:
                read(path)
            assert len(str(error.value)) < 300

    assert allocated(refused_by_all) < 1e6


def test_a_long_header_an_unknown_version_and_huge_sides_of_nothing_are_refused(tmp_path):
    path = tmp_path / "a.npy"
    nothing_of_huge_sides = b"{'descr': '|u1', 'fortran_order': False, 'shape': (0, 4000000000, 4000000000, 3), }\n"
    for content, expected in (
        (npy(b" " * 20_000), "a header of 20,000 bytes"),
        (npy(b" ", version=9), "version 9"),
        (npy(nothing_of_huge_sides), "states the shape"),
    ):
        path.write_bytes(content)
        with pytest.raises(Damaged, match=expected):
            map_npy(path)


def archive(path: Path, members: list[tuple[str, bytes]], compression: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as file:
        for name, content in members:
            file.writestr(name, content)
    return path


def saved(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_an_archive_that_is_no_npz_is_refused(tmp_path):
    one = saved(np.arange(3))
    cases = {
        "occurs twice": archive(tmp_path / "twice.npz", [("a.npy", one), ("a.npy", one)]),
        "not a numpy array": archive(tmp_path / "text.npz", [("a.txt", b"text of other programs")]),
        "compressed in a way": archive(tmp_path / "lzma.npz", [("a.npy", one)], zipfile.ZIP_LZMA),
        "5,000 arrays": archive(tmp_path / "many.npz", [(f"{k}.npy", b"") for k in range(5000)]),
        "0 bytes of values": archive(tmp_path / "short.npz", [("a.npy", one[:-24])]),
    }
    for expected, path in cases.items():
        for read in (read_npz, map_npz, npz_kinds):
            with pytest.raises(Damaged, match=expected):
                read(path)


def test_a_bomb_and_a_size_that_lies_take_no_memory(tmp_path):
    shape = (64 << 20,)
    path = archive(tmp_path / "bomb.npz", [("a.npy", saved(np.zeros(shape, np.uint8)))], zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 1 << 20

    def bomb() -> None:
        with pytest.raises(Damaged, match="its arrays state more than 1,000,000 bytes"):
            read_npz(path, most=1_000_000)

    assert allocated(bomb) < 4e6
    content = bytearray(archive(tmp_path / "lie.npz", [("a.npy", saved(np.arange(3)))]).read_bytes())
    at = content.index(b"PK\x01\x02") + 24  # the size before compression, in the directory
    content[at : at + 4] = (1 << 30).to_bytes(4, "little")
    (tmp_path / "lie.npz").write_bytes(content)
    with pytest.raises(Damaged, match="more than the file can hold"):
        read_npz(tmp_path / "lie.npz")


def test_a_flipped_value_in_an_archive_is_found_by_its_checksum(tmp_path, monkeypatch):
    np.savez(tmp_path / "a.npz", a=np.arange(1000))
    content = bytearray((tmp_path / "a.npz").read_bytes())
    content[4000] ^= 1
    (tmp_path / "a.npz").write_bytes(content)
    monkeypatch.setattr(bounded_arrays, "LEAST_MAPPED", 0)
    for read in (read_npz, map_npz):
        with pytest.raises(Damaged, match=r"unreadable .*CRC"):
            read(tmp_path / "a.npz")


@pytest.mark.parametrize("count", COMPARED)
@pytest.mark.parametrize("write", [np.savez, np.savez_compressed])
def test_damaged_archives_are_refused_in_one_line(tmp_path, write, count):
    write(tmp_path / "a.npz", **ARRAYS)
    assert refused(tmp_path / "a.npz", lambda: read_npz(tmp_path / "a.npz"), count, Damaged, same) > count // 2


@pytest.mark.parametrize("count", COMPARED)
def test_damaged_archives_are_mapped_as_they_were_or_refused(tmp_path, monkeypatch, count):
    monkeypatch.setattr(bounded_arrays, "LEAST_MAPPED", 0)
    np.savez(tmp_path / "a.npz", **ARRAYS)
    assert refused(tmp_path / "a.npz", lambda: map_npz(tmp_path / "a.npz"), count, Damaged, same) > count // 2


@pytest.mark.parametrize("count", COUNTS)
def test_damaged_arrays_are_refused_in_one_line(tmp_path, count):
    np.save(tmp_path / "a.npy", ARRAYS["features"])
    read = lambda: np.asarray(map_npy(tmp_path / "a.npy")).sum()  # noqa: E731
    with np.errstate(all="ignore"):
        assert refused(tmp_path / "a.npy", read, count, Damaged) > count // 4


# -- weights ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def weights(tmp_path) -> Path:
    state = {"a": torch.arange(12.0).reshape(3, 4), "half": torch.ones(5).half(), "n": torch.tensor(3)}
    (tmp_path / "w.safetensors").write_bytes(save(state, {"about": json.dumps({"name": "tiny", "width": 3})}))
    return tmp_path / "w.safetensors"


def test_weights_come_back_with_the_facts_about_them(weights):
    tensors, about = read_tensors(weights)
    assert tensors["a"].tolist() == torch.arange(12.0).reshape(3, 4).tolist() and about == {"name": "tiny", "width": 3}
    weights.write_bytes(save({"a": torch.ones(2)}))
    assert tensors_about(weights) == {}
    weights.write_bytes(save({"a": torch.ones(2).bfloat16()}))
    with pytest.raises(Damaged, match=r"not a readable safetensors file .*bfloat16"):
        read_tensors(weights, arrays=True)


NO_HEADERS = [b'{"__metadata__": 3}', b'{"__metadata__": {"about": "["}}', b"[1]", b"{" * 99, b"\xff\xff"]


@pytest.mark.parametrize("header", NO_HEADERS)
def test_a_header_of_weights_that_is_none_is_refused(weights, header):
    weights.write_bytes(len(header).to_bytes(8, "little") + header)
    for read in (tensors_about, read_tensors):
        with pytest.raises(Damaged):
            read(weights)


@pytest.mark.parametrize("length", [0, 1, 1 << 40, (1 << 64) - 1])
def test_a_header_that_is_longer_than_the_file_is_refused(weights, length):
    weights.write_bytes(length.to_bytes(8, "little") + weights.read_bytes()[8:])
    with pytest.raises(Damaged, match="its header states"):
        read_tensors(weights)


@pytest.mark.parametrize("count", COUNTS)
def test_damaged_weights_are_refused_in_one_line(weights, count):
    assert refused(weights, lambda: read_tensors(weights), count, Damaged) > count // 4


# -- fields ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ([], "its content: list where dict is due"),
        ({}, "its field 'n' is missing"),
        ({"n": True}, "its field 'n' is of type bool, not int"),
        ({"n": "3"}, "its field 'n' is of type str, not int"),
        ({"n": 3, "x": []}, "its field 'x' is of type list, not int or float"),
    ],
)
def test_a_field_of_another_type_is_named(content, expected):
    with pytest.raises(Damaged, match=expected):
        bounded.check_fields(content, {"n": int, "x": (int, float)}, optional=("x",))
