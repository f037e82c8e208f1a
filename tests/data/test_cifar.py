from __future__ import annotations

import gzip
import io
import json
import pickle
import struct
import tarfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from hkd.data import DataError, cifar, cifar_files
from hkd.data.kinds import images as kind
from hkd.data.sources import open_source
from hkd.settings.sections import Data
from tests.fuzzed import COMPARED, COUNTS, refused
from tests.memory import allocated
from tests.mutations import mutations

PER_BATCH = 4


def batch(number: int, count: int = PER_BATCH) -> dict[bytes, object]:
    pixels = np.random.default_rng(number).integers(0, 256, (count, 3072), dtype=np.uint8)
    return {
        b"batch_label": b"training batch",
        b"labels": [(number + k) % 10 for k in range(count)],
        b"data": pixels,
    }


def python2_pickle(content: dict[bytes, object]) -> bytes:
    """Write a batch as Python 2's cPickle did: byte strings as strings, the array by numpy.core."""

    def text(value: bytes) -> bytes:
        return b"U" + bytes([len(value)]) + value

    pixels, labels = content[b"data"], content[b"labels"]
    assert isinstance(pixels, np.ndarray) and isinstance(labels, list)
    raw = pixels.tobytes()
    rows, columns = (b"M" + struct.pack("<H", n) for n in pixels.shape)
    kind = b"cnumpy\ndtype\n" + text(b"u1") + b"K\x00K\x01\x87R(K\x03" + text(b"|")
    kind += b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    array = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85" + text(b"b") + b"\x87R"
    array += b"(K\x01" + rows + columns + b"\x86" + kind + b"\x89T" + struct.pack("<i", len(raw)) + raw + b"tb"
    numbers = b"](" + b"".join(b"K" + bytes([label]) for label in labels) + b"e"
    return b"\x80\x02}(" + text(b"data") + array + text(b"labels") + numbers + b"u."


def archive(path: Path, members: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as file:
        for name, content in members.items():
            info = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
            info.size = len(content)
            file.addfile(info, io.BytesIO(content))
    return path


def members(**changes: bytes) -> dict[str, bytes]:
    usual = {name: pickle.dumps(batch(k), protocol=2) for k, name in enumerate(cifar_files.BATCHES, start=1)}
    extra = {"batches.meta": pickle.dumps({b"label_names": []}), "test_batch": pickle.dumps(batch(9), protocol=2)}
    return extra | dict(reversed(usual.items())) | changes


def pixels(found: cifar.CifarTraining) -> np.ndarray:
    return np.stack([found.image(k) for k in range(len(found))])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "cifar-10-python.tar.gz"


@pytest.mark.parametrize("write", [python2_pickle, lambda content: pickle.dumps(content, protocol=2)])
def test_batches_one_to_five_are_read_in_order_without_the_test_batch(path, write):
    names = {name: write(batch(k)) for k, name in enumerate(cifar_files.BATCHES, start=1)}
    source = open_source(archive(path, members(**names)))
    expected = np.concatenate([np.asarray(batch(k)[b"data"]) for k in range(1, 6)]).reshape(-1, 3, 32, 32)
    assert (len(source), source.kind, source.resolution, source.channels) == (20, "cifar10", 32, 3)
    assert_array_equal(np.stack([image for image, _ in source.items()]), expected)
    assert [label for _, label in source.items()] == [(b + k) % 10 for b in range(1, 6) for k in range(4)]
    assert source.label_dim == 10 and source.class_names[6] == "frog"


def test_an_archive_can_be_read_at_another_resolution(path):
    source = open_source(archive(path, members()), resolution=16)
    assert source.image(0).shape == (3, 16, 16) and source.resolution == 16


class Payload:
    """A pickle that would create a file when loaded."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return Path.touch, (self.target,)


@pytest.mark.parametrize("wrap", [lambda p: p, lambda p: {**batch(1), b"more": p}, lambda p: {b"data": [p]}])
def test_a_pickle_that_calls_something_is_refused_before_it_does(path, tmp_path, wrap):
    harmful = pickle.dumps(wrap(Payload(tmp_path / "touched")), protocol=2)
    with pytest.raises(DataError, match="data_batch_1: refused, it uses"):
        open_source(archive(path, members(data_batch_1=harmful)))
    assert not (tmp_path / "touched").exists()


@pytest.mark.parametrize(
    "content",
    [
        b"cbuiltins\neval\n(S'1'\ntR.",
        b"cposix\nsystem\n(S'true'\ntR.",
        b"\x80\x04\x8c\x08builtins\x8c\x07getattr\x93.",
        b"cnumpy\nload\n.",
        b"\x80\x02N" + b"r" + struct.pack("<I", 2**31) + b".",  # a memo of 2^31 entries
        b"\x80\x05\x96" + struct.pack("<Q", 2) + b"ab.",  # a bytearray
        b"I1\n" * 5 + b".",
        b"cnumpy.core.multiarray\nfromfile\n.",
    ],
)
def test_only_what_byte_arrays_need_is_allowed(path, content):
    with pytest.raises(DataError, match="refused, it uses"):
        open_source(archive(path, members(data_batch_3=content)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({b"data": np.zeros((4, 3072), np.float32)}, "damaged .*expected bytes"),
        ({b"data": np.array([{}], dtype=object)}, "damaged .*expected bytes"),
        ({b"data": np.zeros((4, 3000), np.uint8)}, r"'data' is not a uint8 array of shape \(N, 3072\)"),
        ({b"data": b"pixels"}, "'data' is not a uint8 array"),
        ({b"labels": [0, 1, 2]}, "3 labels for 4 images"),
        ({b"labels": None}, "no labels for 4 images"),
        ({b"labels": [0, 1, 2, 10]}, "labels that are not whole numbers from 0 to 9"),
        ({b"labels": [0, 1, 2, True]}, "labels that are not whole numbers from 0 to 9"),
    ],
)
def test_batches_of_other_content_are_refused(path, change, message):
    with pytest.raises(DataError, match=f"data_batch_2: {message}") as caught:
        open_source(archive(path, members(data_batch_2=pickle.dumps(batch(2) | change, protocol=2))))
    assert "\n" not in str(caught.value) and "cifar-10-python.tar.gz" in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"\x80", b"not a pickle", pickle.dumps(batch(4), protocol=2)[:900]])
def test_a_damaged_batch_is_named(path, content):
    with pytest.raises(DataError, match="data_batch_4: damaged"):
        open_source(archive(path, members(data_batch_4=content)))


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_no_change_to_a_batch_gets_past_the_reader(data):
    content = bytearray(data.draw(st.sampled_from([python2_pickle(batch(1)), pickle.dumps(batch(1), protocol=2)])))
    header = st.one_of(st.integers(0, 150), st.integers(len(content) - 80, len(content) - 1))
    for position in data.draw(st.lists(header, min_size=1, max_size=4)):
        content[position] = data.draw(st.integers(0, 255))
    try:
        pixels, labels = cifar._read_batch(bytes(content), "batch")
    except DataError as error:
        assert str(error).isprintable()
    else:
        assert pixels.shape == (len(labels), 3, 32, 32)


def test_a_batch_that_is_no_dictionary_is_refused(path):
    with pytest.raises(DataError, match="holds list, expected a dictionary"):
        open_source(archive(path, members(data_batch_5=pickle.dumps([1], protocol=2))))


def test_an_incomplete_archive_says_what_is_missing(path):
    parts = members()
    del parts["data_batch_3"]
    with pytest.raises(DataError, match="no member data_batch_3; expected data_batch_1 to data_batch_5"):
        open_source(archive(path, parts))


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_a_truncated_archive_is_refused(path, share):
    content = archive(path, members()).read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(DataError, match="truncated or not a tar archive"):
        open_source(path)


def test_a_member_that_claims_too_much_is_refused_unread(path, monkeypatch):
    monkeypatch.setattr(cifar_files, "MAX_MEMBER_BYTES", 1000)
    with pytest.raises(DataError, match="more than any CIFAR-10 batch has"):
        open_source(archive(path, members()))


# -- the archive as a whole ------------------------------------------------------------------------------------------


def tar(members: dict[str, bytes], **changes: object) -> bytes:
    """An archive that is not compressed; `changes` are of the header of every member."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as file:
        for name, content in members.items():
            info = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
            info.size = len(content)
            for field, value in changes.items():
                setattr(info, field, value)
            file.addfile(info, io.BytesIO(content))
    return out.getvalue()


def test_every_flipped_bit_is_refused_or_changes_no_pixel(path):
    content = archive(path, members()).read_bytes()
    good = cifar.read_cifar10(path)
    expected, labels = pixels(good), good.labels
    refused = 0
    for number in range(75):
        place, bit = divmod(number * (8 * len(content) - 1) // 74, 8)
        changed = bytearray(content)
        changed[place] ^= 1 << bit
        path.write_bytes(changed)
        try:
            found = cifar.read_cifar10(path)
        except DataError:
            refused += 1
        else:  # the time of writing, or the name, in the header of gzip
            assert_array_equal(pixels(found), expected)
            assert found.labels == labels and place < 64
    assert refused >= 70


PACKED = [gzip.compress(content, mtime=0) for content in (b"x", b"\0" * 600 + b"x")]  # the same names at every start


@pytest.mark.parametrize("garbage", [b"x", b"\0x", b"\x1f\x8b", *PACKED])
def test_more_than_zeros_behind_the_archive_is_refused(path, garbage):
    archive(path, members())
    with open(path, "ab") as file:
        file.write(garbage)
    with pytest.raises(DataError, match=r"truncated or not a tar archive|more than zeros follow"):
        cifar.read_cifar10(path)


@pytest.mark.parametrize("behind", [b"x", b"\0" * 600 + b"x"])
def test_more_than_zeros_behind_the_last_member_is_refused(path, behind):
    path.write_bytes(gzip.compress(tar(members()) + behind))
    with pytest.raises(DataError, match="more than zeros follow its last member"):
        cifar.read_cifar10(path)


def test_zeros_behind_the_archive_and_an_archive_without_compression_are_read(path):
    expected = pixels(cifar.read_cifar10(archive(path, members())))
    with open(path, "ab") as file:
        file.write(bytes(1000))
    assert_array_equal(pixels(cifar.read_cifar10(path)), expected)
    path.write_bytes(tar(members()))
    assert_array_equal(pixels(cifar.read_cifar10(path)), expected)


def test_a_small_file_that_unpacks_to_much_is_refused_before_it_does(path, monkeypatch):
    monkeypatch.setattr(cifar_files, "MAX_ARCHIVE_BYTES", 1 << 20)
    path.write_bytes(gzip.compress(bytes(16 << 20), mtime=0))
    with pytest.raises(DataError, match="more than 1,048,576 bytes, which CIFAR-10 does not have"):
        cifar.read_cifar10(path)
    path.write_bytes(gzip.compress(b"", mtime=0) * 60_000)  # a megabyte that gives nothing
    with pytest.raises(DataError, match="more than 1,048,576 bytes"):
        cifar.read_cifar10(path)


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (lambda: tar({f"other{k}": b"" for k in range(1001)}), "more than 1000 members"),
        (lambda: tar({f"{k}.png": b"" for k in range(30)}), "an archive of pictures; unpack it"),
        (lambda: tar({"a.JPG": b""}), "an archive of pictures; unpack it and give the folder, or give a zip"),
        (lambda: tar(members(), type=tarfile.SYMTYPE, linkname="/etc/passwd", size=0), "is not a file"),
        (lambda: tar(members(), type=tarfile.FIFOTYPE, size=0), "is not a file"),
        (lambda: tar({"data_batch_1": b"", "x/data_batch_1": b""}), "data_batch_1: occurs twice"),
        (lambda: b"\0" * 10240, "no member data_batch_1"),
        (lambda: tar({"x": b"y"}, type=b"L") * 2000, "."),  # names of names of names
        (lambda: tar({"x": b"9" * 600 + b" path=x\n"}, type=b"x"), "."),
    ],
)
def test_archives_that_are_no_archive_of_batches_are_refused(path, made, message):
    path.write_bytes(gzip.compress(made(), mtime=0))
    with pytest.raises(DataError, match=message) as found:
        cifar.read_cifar10(path)
    assert str(found.value).startswith(str(path))


def test_an_archive_that_may_not_be_read_says_so(path, tmp_path):
    with pytest.raises(DataError, match=r"truncated or not a tar archive .*directory"):
        cifar.read_cifar10(tmp_path)


def test_a_prepared_set_says_whether_its_archive_is_the_official_one(path, tmp_path, monkeypatch):
    digest = cifar.read_cifar10(archive(path, members())).sha256
    for official, said in ((cifar.OFFICIAL, "other"), (digest, "official")):
        monkeypatch.setattr(cifar, "OFFICIAL", official)
        data = Data(kind="images", path=str(path), resolution=32)
        kind.prepare(data, "train", tmp_path / said, "cifar10")
        manifest = json.loads((tmp_path / said / "manifest.json").read_text())
        assert (manifest["archive"], manifest["archive_sha256"]) == (said, digest)


# -- a batch at a time -----------------------------------------------------------------------------------------------


def in_folder(folder: Path, content: dict[str, bytes]) -> Path:
    folder.mkdir()
    for name, each in content.items():
        (folder / name).write_bytes(each)
    return folder


def as_binary(content: dict[bytes, object]) -> bytes:
    labels, images = content[b"labels"], content[b"data"]
    return b"".join(bytes([label]) + row.tobytes() for label, row in zip(labels, images, strict=True))  # type: ignore[call-overload]


@pytest.mark.parametrize("form", ["python archive", "binary archive", "python folder", "binary folder"])
def test_one_batch_is_held_at_a_time(tmp_path, form):
    """Of five batches of 3 MB there are three such sizes at once: a member's bytes, its pixels, and what makes them."""
    count = 1000
    write = as_binary if "binary" in form else python2_pickle
    names = cifar_files.BINARY if "binary" in form else cifar_files.BATCHES
    content = {name: write(batch(k, count)) for k, name in enumerate(names)}
    source = tmp_path / "set.tar"
    if "folder" in form:
        in_folder(source, content)
    else:
        source.write_bytes(tar(content))
    del content
    expected = sum(int(np.asarray(batch(k, count)[b"data"])[:, 0].sum()) for k in range(5))

    def read() -> None:
        assert sum(int(image[0, 0, 0]) for image, _ in open_source(source).items()) == expected

    assert allocated(read) < 4 * count * 3072


def test_images_can_be_asked_for_in_any_order(path):
    source = open_source(archive(path, members()))
    expected = np.concatenate([np.asarray(batch(k)[b"data"]) for k in range(1, 6)]).reshape(-1, 3, 32, 32)
    for k in (19, 0, 7, 8, 7, 12):
        assert_array_equal(source.image(k), expected[k])


@pytest.mark.parametrize("what", ["another", "shorter", "gone"])
def test_a_source_that_changes_while_it_is_read_is_refused(path, what):
    source = open_source(archive(path, members()))
    source.image(0)
    changed = {"another": members(data_batch_3=pickle.dumps(batch(8), protocol=2)), "shorter": {}, "gone": members()}
    archive(path, changed[what])
    if what == "gone":
        path.unlink()
    said = {"another": "changed while it was", "shorter": "no member data_batch_3 any more", "gone": "No such file"}
    with pytest.raises(DataError, match=said[what]) as found:
        source.image(9)
    assert "\n" not in str(found.value)


SMALL = tar({name: python2_pickle(batch(k, 1)) for k, name in enumerate(cifar_files.BATCHES)})


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("what", ["batch", "tar"])
def test_damaged_batches_and_archives_are_read_or_refused(path, what, count):
    whole = {"batch": python2_pickle(batch(1)), "tar": SMALL}[what]
    for changed in mutations(whole, count):
        try:
            if what == "batch":
                cifar._read_batch(changed, "batch")
            else:
                path.write_bytes(changed)
                found = cifar.read_cifar10(path)
                assert len(found) == 0 or pixels(found).shape == (len(found.labels), 3, 32, 32)
        except DataError as error:
            assert str(error).isprintable()


@pytest.mark.parametrize("count", COMPARED)
def test_a_damaged_packed_archive_is_read_as_it_was_or_refused(path, count):
    path.write_bytes(gzip.compress(SMALL, 1, mtime=0))
    good = cifar.read_cifar10(path)
    expected, labels = pixels(good), good.labels
    same = lambda found: found.labels == labels and np.array_equal(pixels(found), expected)  # noqa: E731
    assert refused(path, lambda: cifar.read_cifar10(path), count, DataError, same) > count // 4
