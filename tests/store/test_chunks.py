"""Long work in parts: a restart makes only what is missing, damaged or of other settings."""

from __future__ import annotations

import numpy as np
import pytest

from hkd.store.chunks import _kinds, clear, in_parts
from hkd.store.refusals import ArtifactError
from hkd.store.temporary import unused_name
from tests.fuzzed import COMPARED, refused


class Stopped(Exception):
    pass


class Maker:
    """Items that are their own numbers; remembers which it was asked for."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, int]] = []

    def __call__(self, first: int, count: int) -> dict[str, np.ndarray]:
        self.asked.append((first, count))
        return {"x": np.arange(first, first + count), "y": np.ones((count, 2), np.float16)}


def nothing() -> None:
    pass


@pytest.mark.parametrize("count, chunk", [(10, 4), (8, 4), (3, 4), (1, 1)])
def test_the_joined_parts_are_all_items_in_order(tmp_path, count, chunk):
    made = in_parts(tmp_path, "a", count, chunk, Maker(), nothing)
    assert made["x"].tolist() == list(range(count))
    assert made["y"].shape == (count, 2) and made["y"].dtype == np.float16


def test_stopped_work_continues_where_it_stopped(tmp_path):
    calls = []

    def stop_at_third() -> None:
        calls.append(1)
        if len(calls) == 3:
            raise Stopped

    first, second = Maker(), Maker()
    with pytest.raises(Stopped):
        in_parts(tmp_path, "a", 10, 3, first, stop_at_third)
    made = in_parts(tmp_path, "a", 10, 3, second, nothing)
    assert first.asked == [(0, 3), (3, 3)]
    assert second.asked == [(6, 3), (9, 1)]
    assert made["x"].tolist() == list(range(10))


def test_finished_parts_are_not_made_again(tmp_path):
    in_parts(tmp_path, "a", 6, 3, Maker(), nothing)
    again = Maker()
    in_parts(tmp_path, "a", 6, 3, again, nothing)
    assert again.asked == []


def test_parts_of_other_settings_are_not_reused(tmp_path):
    in_parts(tmp_path, "a", 6, 3, Maker(), nothing)
    other = Maker()
    in_parts(tmp_path, "b", 6, 3, other, nothing)
    assert len(other.asked) == 2


@pytest.mark.parametrize("how", ["flip", "truncate", "no record", "broken record"])
def test_a_damaged_part_is_made_again(tmp_path, flip_byte, how):
    in_parts(tmp_path, "a", 6, 3, Maker(), nothing)
    part = sorted(tmp_path.glob("*.npz"))[1]
    record = part.with_name(part.name + ".record.json")
    if how == "flip":
        flip_byte(part)
    elif how == "truncate":
        part.write_bytes(part.read_bytes()[:-7])
    elif how == "no record":
        record.unlink()
    else:
        record.write_bytes(record.read_bytes()[:9])
    again = Maker()
    made = in_parts(tmp_path, "a", 6, 3, again, nothing)
    assert again.asked == [(3, 3)]
    assert made["x"].tolist() == list(range(6))


def test_damage_between_making_and_joining_is_named(tmp_path, flip_byte):
    def vandal(first: int, count: int) -> dict[str, np.ndarray]:
        for part in tmp_path.glob("*.npz"):
            flip_byte(part)
        return Maker()(first, count)

    with pytest.raises(ArtifactError, match="run the same command again"):
        in_parts(tmp_path, "a", 6, 3, vandal, nothing)


def test_clearing_leaves_no_parts(tmp_path):
    in_parts(tmp_path, "a", 6, 3, Maker(), nothing)
    clear(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "content", [b"[]", b"3", b"null", b'"sha256"', b'{"sha256": 3}', b"[" * 99_999, b"\xff", b"{}"]
)
def test_a_record_of_anything_else_makes_its_part_again(tmp_path, content):
    in_parts(tmp_path, "a", 6, 3, Maker(), nothing)
    sorted(tmp_path.glob("*.record.json"))[0].write_bytes(content)
    again = Maker()
    assert in_parts(tmp_path, "a", 6, 3, again, nothing)["x"].tolist() == list(range(6))
    assert again.asked == [(0, 3)]


def test_parts_of_another_length_are_made_again(tmp_path):
    """Else the part at 0, of four items, would be joined with the one at 2."""
    in_parts(tmp_path, "a", 8, 4, Maker(), nothing)
    assert in_parts(tmp_path, "a", 8, 2, Maker(), nothing)["x"].tolist() == list(range(8))


def test_what_a_killed_writer_left_of_any_part_goes(tmp_path):
    left = unused_name(tmp_path / "of-other-settings-00000000.npz")
    left.write_bytes(b"half")
    in_parts(tmp_path, "a", 3, 3, Maker(), nothing)
    assert not left.exists()


def test_parts_that_do_not_fit_together_are_said(tmp_path):
    def mixed(first: int, count: int) -> dict[str, np.ndarray]:
        return {"x": np.zeros((count, 1 + first))}

    with pytest.raises(ArtifactError, match="run the same command again"):
        in_parts(tmp_path, "a", 6, 3, mixed, nothing)


@pytest.mark.parametrize("count", COMPARED)
@pytest.mark.parametrize("name", ["a-00000000.npz", "a-00000000.npz.record.json"])
def test_damaged_parts_and_their_records_are_made_again(tmp_path, name, count):
    in_parts(tmp_path, "a", 2, 2, Maker(), nothing)
    part = tmp_path / "a-00000000.npz"

    good = _kinds(part, 2)
    assert good is not None and good["x"] == (np.dtype(np.int64), (2,))
    assert refused(tmp_path / name, lambda: _kinds(part, 2), count, (), lambda found: found in (None, good)) == 0
    assert _kinds(part, 2) == good


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_part_that_is_not_finite_is_not_written(tmp_path, value):
    with pytest.raises(ArtifactError, match=r"a-00000000.npz: not written, 'x' holds 2 values of 2 that are NaN"):
        in_parts(tmp_path, "a", 2, 2, lambda first, n: {"x": np.full(n, value)}, nothing)
    assert not list(tmp_path.iterdir())
