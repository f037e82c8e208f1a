"""Arrays that need not fit in memory: parts joined on disk are the bytes of numpy, and memory does not follow them."""

from __future__ import annotations

import errno
import hashlib
import os
import signal
import subprocess
import sys
from functools import partial

import numpy as np
import pytest

from hkd.store.artifacts import save_arrays
from hkd.store.bounded_arrays import map_npz
from hkd.store.chunks import in_parts, joined_parts
from hkd.store.large_arrays import SLAB_BYTES, Joined, nameless_array, slabs, stacked
from hkd.store.refusals import ArtifactError
from tests.memory import MIB, peaks_of


def part(first: int, count: int) -> dict[str, np.ndarray]:
    values = np.arange(first * 48, (first + count) * 48)
    return {
        "images": values.reshape(count, 3, 4, 4).astype(np.uint8),
        "states": (values / 7).reshape(count, 48).astype(np.float16),
        "nfe": np.full(count, 2.5),
        "labels": np.arange(first, first + count),
    }


@pytest.mark.parametrize("count, chunk", [(10, 4), (8, 4), (3, 4), (1, 1), (65, 1)])
def test_joined_parts_are_the_bytes_that_numpy_writes_of_them_together(tmp_path, count, chunk):
    joined = joined_parts(tmp_path / "parts", "a", count, chunk, part, lambda: None)
    save_arrays(tmp_path / "joined.npz", joined)
    spans = [part(first, min(chunk, count - first)) for first in range(0, count, chunk)]
    whole = {name: np.concatenate([span[name] for span in spans]) for name in spans[0]}
    np.savez(tmp_path / "numpy.npz", **whole)
    save_arrays(tmp_path / "held.npz", whole)
    digests = {hashlib.sha256(path.read_bytes()).hexdigest() for path in tmp_path.glob("*.npz")}
    assert len(digests) == 1
    for name, array in in_parts(tmp_path / "parts", "a", count, chunk, part, lambda: None).items():
        assert array.dtype == whole[name].dtype and np.array_equal(array, whole[name])
        on_disk = joined[name].on_disk(tmp_path)
        assert on_disk.dtype == array.dtype and np.array_equal(on_disk, array)
    assert not list(tmp_path.glob(".*"))


def test_a_piece_that_is_not_finite_or_was_damaged_leaves_no_file(tmp_path, flip_byte):
    bad = Joined((2,), np.dtype(float), lambda: iter([np.zeros(1), np.full(1, np.nan)]))
    with pytest.raises(ArtifactError, match=r"a.npz: not written, 'x' holds 1 values of 1 that are NaN"):
        save_arrays(tmp_path / "a.npz", {"x": bad})
    joined = joined_parts(tmp_path / "parts", "a", 6, 3, part, lambda: None)
    flip_byte(sorted((tmp_path / "parts").glob("*.npz"))[1])
    with pytest.raises(ArtifactError, match="a part was damaged while the parts were joined; run the same command"):
        save_arrays(tmp_path / "a.npz", joined)
    assert [path.name for path in tmp_path.iterdir()] == ["parts"]


@pytest.mark.parametrize("shape", [(), (0, 3), (5,), (2, 5 << 20), (9, 1 << 20)])
def test_slabs_are_all_rows_in_order_and_few_at_a_time(shape):
    array = np.arange(np.prod(shape, dtype=int), dtype=np.uint8).reshape(shape)
    found = list(slabs(array))
    assert np.array_equal(np.concatenate(found) if found else array, array if shape else array[None])
    assert all(slab.nbytes <= SLAB_BYTES or len(slab) == 1 for slab in found)


def test_a_nameless_array_is_in_no_folder_and_takes_its_room_at_once(tmp_path):
    array = nameless_array(tmp_path / "new", (3, 5), np.float32)
    array[1] = 2
    assert array.tolist() == [[0] * 5, [2] * 5, [0] * 5] and list((tmp_path / "new").iterdir()) == []
    rows = stacked((np.full((2, 2), value, np.uint8) for value in range(4)), tmp_path)
    assert rows is not None and rows[:, 0, 0].tolist() == [0, 1, 2, 3] and rows.shape == (4, 2, 2)
    assert stacked(iter(()), tmp_path) is None
    assert [path.name for path in tmp_path.iterdir()] == ["new"]


def test_a_disk_without_room_is_one_line(tmp_path, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(ArtifactError, match=r"rows: the disk is full; free some space"):
        nameless_array(tmp_path, (5,), np.uint8)
    np.savez_compressed(tmp_path / "a.npz", images=np.zeros(2 << 20, np.uint8))
    with pytest.raises(ArtifactError, match=r"rows: the disk is full; free some space"):  # and not that it is damaged
        map_npz(tmp_path / "a.npz", room=partial(nameless_array, tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["a.npz"]


ROWS = """
import os, resource, signal, sys
from pathlib import Path
import numpy as np
from hkd.store.large_arrays import stacked

def rows(killed):
    yield from np.zeros((50, 1000), np.uint8)
    if killed:
        os.kill(os.getpid(), signal.SIGKILL)

if sys.argv[2] == "killed":
    stacked(rows(True), Path(sys.argv[1]))
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (40_500, 40_500))
stacked(rows(False), Path(sys.argv[1]))
"""


@pytest.mark.parametrize("how, last", [("killed", ""), ("limited", "raise the limit (ulimit -f)")])
def test_rows_that_are_cut_short_leave_no_file_behind(tmp_path, how, last):
    done = subprocess.run([sys.executable, "-c", ROWS, str(tmp_path), how], capture_output=True, text=True)
    assert done.returncode == (-signal.SIGKILL if how == "killed" else 1)
    assert last in (done.stderr.splitlines() or [""])[-1]
    assert not list(tmp_path.iterdir())


JOIN = """
import json, sys
from pathlib import Path
import numpy as np
from hkd.store.artifacts import map_arrays, save_arrays
from hkd.store.chunks import joined_parts
from memory import peak

folder, each = Path(sys.argv[1]), int(sys.argv[2])
drawn = np.random.default_rng(0)
make = lambda first, count: {"images": drawn.integers(0, 256, (count, 3, 256, 256), np.uint8)}

def join(parts):
    out = folder / f"{parts}.npz"
    save_arrays(out, joined_parts(folder / str(parts), "a", parts * each, each, make, lambda: None))
    assert map_arrays(out, "sample")["images"].shape == (parts * each, 3, 256, 256)

join(4)
print(json.dumps({str(parts): peak(lambda: join(parts)) for parts in (4, 64)}))
"""


def test_joining_sixteen_times_as_many_images_takes_no_more_memory(tmp_path):
    """80 MB more of images, which were once held twice, in less than 3 MB: two parts of 1.4 MB."""
    found = peaks_of(JOIN, tmp_path, 7)
    more = 60 * 7 * 3 * 256**2
    assert more > 78 * MIB and found["64"] - found["4"] < 0.04 * more, found
