from __future__ import annotations

import io
import json
import os
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from PIL import Image

from hkd.data import formats
from hkd.data.decoding import encode_png
from hkd.data.sources import DataError, open_source, shuffled_subset, write_edm_zip

REAL_ZIP = os.environ.get("HKD_CIFAR10_ZIP", "")
COUNT = 6
NAMES = [f"00000/img{k:08d}.png" for k in range(COUNT)]
Files = dict[str, bytes]


def pictures(count: int = COUNT, side: int = 16) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, 3, side, side), dtype=np.uint8)


def encoded(mode: str = "RGB", size: tuple[int, int] = (16, 16), kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.new(mode, size).save(buffer, kind)
    return buffer.getvalue()


def usual(labels: object = ...) -> Files:
    files = {name: encode_png(image) for name, image in zip(NAMES, pictures(), strict=True)}
    if labels is not ...:
        files["dataset.json"] = json.dumps({"labels": labels}).encode()
    return files


def as_zip(folder: Path, files: Files) -> Path:
    with zipfile.ZipFile(folder / "set.zip", "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return folder / "set.zip"


def as_folder(folder: Path, files: Files) -> Path:
    for name, content in files.items():
        path = folder / "set" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder / "set"


@pytest.fixture(params=[as_zip, as_folder])
def packed(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[Files], Path]:
    return lambda files: request.param(tmp_path, files)


def read_all(path: Path, **options: object) -> None:
    for _ in open_source(path, **options).items():  # type: ignore[arg-type]
        pass


def refusal(path: Path, **options: object) -> str:
    with pytest.raises(DataError) as caught:
        read_all(path, **options)
    message = str(caught.value)
    assert "\n" not in message and str(path) in message and ";" in message, message
    return message


def test_images_come_in_the_order_of_their_names_with_their_classes(packed):
    labels = [[name, k % 3] for k, name in enumerate(NAMES)]
    source = open_source(packed(dict(reversed(usual(labels).items()))))
    assert (len(source), source.resolution, source.channels, source.label_dim) == (COUNT, 16, 3, 3)
    assert (source.name, source.kind) in {("set.zip", "edm-zip"), ("set", "folder")}
    assert_array_equal(np.stack([image for image, _ in source.items()]), pictures())
    assert [label for _, label in source.items([5, 0, 1])] == [2, 0, 1]


@pytest.mark.parametrize("labels", [..., None])
def test_labels_may_be_absent(packed, labels):
    source = open_source(packed(usual(labels)))
    assert source.label_dim == 0 and source.label(0) is None


def test_sub_folders_can_name_the_classes(packed):
    files = {f"{folder}/deep/{k}.png": encoded() for folder in ("cat", "ant") for k in range(3)}
    source = open_source(packed(files), class_folders=True)
    assert source.class_names == ("ant", "cat") and source.label_dim == 2
    assert [source.label(k) for k in range(6)] == [0, 0, 0, 1, 1, 1]
    assert open_source(packed(files)).label_dim == 0


def test_an_image_outside_every_sub_folder_has_no_class(packed):
    assert "loose.png: not in a sub-folder" in refusal(packed(usual() | {"loose.png": encoded()}), class_folders=True)


def test_hidden_and_other_files_are_left_out(packed):
    more = {"readme.txt": b"hello", ".hidden.png": b"", "__MACOSX/00000/._img.png": b"", "00000/.DS_Store": b""}
    assert len(open_source(packed(usual() | more))) == COUNT


@pytest.mark.parametrize(
    ("name", "kind"), [("a.jpg", "JPEG"), ("a.JPEG", "JPEG"), ("a.webp", "WEBP"), ("a.bmp", "BMP")]
)
def test_the_usual_formats_are_read(packed, name, kind):
    assert open_source(packed({name: encoded(kind=kind)})).image(0).shape == (3, 16, 16)


def test_a_resolution_crops_and_resizes_whatever_there_is(packed):
    wide = np.zeros((20, 60, 3), np.uint8)
    wide[:, 20:40] = (10, 200, 30)
    buffer = io.BytesIO()
    Image.fromarray(wide).save(buffer, "PNG")
    source = open_source(packed({"a.png": buffer.getvalue(), "b.png": encoded(size=(16, 16))}), resolution=16)
    assert source.resolution == 16
    assert_array_equal(source.image(0), np.broadcast_to(np.array([10, 200, 30])[:, None, None], (3, 16, 16)))
    assert source.image(1).shape == (3, 16, 16)


def test_an_image_of_the_right_size_is_not_resampled(packed):
    source = open_source(packed(usual()), resolution=16)
    assert_array_equal(np.stack([image for image, _ in source.items()]), pictures())


@pytest.mark.parametrize("mode", ["L", "1", "LA", "RGBA", "P"])
def test_other_channels_are_converted_on_request_only(packed, mode):
    path = packed(usual() | {NAMES[2]: encoded(mode)})
    message = refusal(path)
    assert (
        f"{NAMES[2]}: its channels are {mode}, expected RGB" in message
        and "--config data.NAME.convert_to_rgb=true" in message
    )
    read_all(path, convert_to_rgb=True)


def test_sixteen_bit_images_are_never_converted(packed):
    path = packed({"a.png": encoded("I;16")})
    assert "channels are I;16 of more than 8 bits" in refusal(path, convert_to_rgb=True)


def test_mixed_sizes_are_refused_with_both_files(packed):
    message = refusal(packed(usual() | {NAMES[3]: encoded(size=(24, 24))}))
    assert f"{NAMES[3]}: 24x24 pixels, but {NAMES[0]} has 16x16; make all one size" in message


@pytest.mark.parametrize(("size", "expected"), [((16, 24), "a square"), ((20, 20), "a multiple of 8")])
def test_sizes_that_networks_cannot_halve_are_refused(packed, size, expected):
    assert f"{size[0]}x{size[1]} pixels, expected {expected}" in refusal(packed({"a.png": encoded(size=size)}))


@pytest.mark.parametrize("resolution", [0, 4, 20, -8])
def test_a_resolution_that_networks_cannot_halve_is_refused(packed, resolution):
    assert "set a multiple of 8" in refusal(packed(usual()), resolution=resolution)


@pytest.mark.parametrize("content", [b"", b"hello", b"GIF89a" + bytes(50), encoded()[:45]])
def test_a_file_that_is_no_image_is_named(packed, content):
    assert f"{NAMES[4]}: " in refusal(packed(usual() | {NAMES[4]: content}))


def test_a_damaged_image_is_named(packed):
    content = encode_png(pictures()[0])
    assert f"{NAMES[1]}: damaged" in refusal(packed(usual() | {NAMES[1]: content[:200]}))


def test_a_set_without_images_is_refused(packed):
    assert "no images among its 1 file; expected PNG, JPEG," in refusal(packed({"notes.txt": b""}))


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([[name, 0] for name in NAMES[1:]], f"no label for 1 of 6 images, first {NAMES[0]}"),
        ([[name, 0] for name in [*NAMES, "00000/extra.png"]], "labels for 1 absent images, such as 00000/extra.png"),
        ([[name, -1] for name in NAMES], f"label -1 of {NAMES[0]}; expected a class number"),
        ([[name, 10**12] for name in NAMES], "label 1000000000000"),
        ([[name, 0.5] for name in NAMES], "label 0.5"),
        ([[name, True] for name in NAMES], "label True"),
        ([[name, [0.1, 0.9]] for name in NAMES], r"label [0.1, 0.9]"),
        ([1, 2, 3], 'expected {"labels":'),
        ("cat", 'expected {"labels":'),
        ([], "no label for 6 of 6 images"),
    ],
)
def test_labels_that_do_not_match_are_refused(packed, labels, message):
    assert "dataset.json: " + message in refusal(packed(usual(labels)))


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b"\xff\xfe", b"[" * 100_000])
def test_a_label_file_of_another_kind_is_refused(packed, content):
    assert 'dataset.json: expected {"labels"' in refusal(packed(usual() | {"dataset.json": content}))


def header_only_png(width: int, height: int) -> bytes:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.parametrize(("side", "message"), [(9_000, "more than 67,108,864"), (60_000, "more than 67,108,864")])
def test_an_image_that_claims_too_many_pixels_is_not_decoded(packed, side, message, monkeypatch):
    monkeypatch.setattr(Image.Image, "load", lambda *_: pytest.fail("decoded"))
    path = packed({"a.png": header_only_png(side, side)})
    with pytest.raises(DataError, match=message):
        open_source(path)


def test_a_file_that_is_too_long_is_not_read(packed, monkeypatch):
    monkeypatch.setattr(formats, "MAX_FILE_BYTES", 100)
    assert f"{NAMES[0]}: " in refusal(packed(usual()))


def test_a_member_without_a_name_is_refused(tmp_path):
    path = as_zip(tmp_path, usual())
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\x01\x02") + 28 : content.index(b"PK\x01\x02") + 30] = bytes(2)
    path.write_bytes(content)
    assert str(path) in refusal(path)


def test_a_name_that_is_not_text_is_refused(tmp_path):
    path = as_zip(tmp_path, usual())
    content = bytearray(path.read_bytes())
    content[6:8] = b"\x00\x08"  # the local header says that its name is UTF-8
    content[30] = 0xA4
    path.write_bytes(content)
    assert f"{NAMES[0]}: cannot be read" in refusal(path)


def test_messages_are_one_printable_line_whatever_they_quote(tmp_path):
    path = as_folder(tmp_path, usual() | {"a\n\x1b[31mb.png": b"hello"})
    assert r"a\n\x1b[31mb.png: not an image" in refusal(path)


@pytest.mark.parametrize("name", ["../out.png", "/etc/out.png", "a/../../out.png"])
def test_paths_that_lead_out_of_a_zip_are_refused(tmp_path, name):
    assert "a path outside the archive" in refusal(as_zip(tmp_path, usual() | {name: encoded()}))


@pytest.mark.parametrize("kept", [0, 10, 3000, -30])
def test_a_truncated_zip_is_refused(tmp_path, kept):
    path = as_zip(tmp_path, usual())
    path.write_bytes(path.read_bytes()[:kept])
    assert "truncated or not a zip" in refusal(path)


def test_a_changed_byte_inside_a_zip_is_found(tmp_path):
    path = as_zip(tmp_path, usual())
    content = bytearray(path.read_bytes())
    content[content.index(b"IDAT") + 300] ^= 255
    path.write_bytes(content)
    assert f"{NAMES[0]}: cannot be read (Bad CRC-32" in refusal(path)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], "a tar with no files; expected an EDM-format zip"),
        (
            ["a.npy", "b.npy"],
            "nothing named as a picture or a batch of CIFAR-10 (first a.npy); expected an EDM-format zip",
        ),
        (["cifar-100-python/train"], "(first cifar-100-python/train); expected an EDM-format zip"),
        (["._0.png", "0.png"], "a tar of pictures is not read; unpack it"),
        (["cifar-10-batches-py/data_batch_1"], "data_batch_2; expected data_batch_1 to data_batch_5"),
    ],
)
def test_a_tar_that_is_none_of_cifar10_says_what_it_is(tmp_path, names, message):
    with tarfile.open(tmp_path / "set.tar", "w") as archive:
        for name in names:
            archive.addfile(tarfile.TarInfo(name))
    assert message in refusal(tmp_path / "set.tar")


@pytest.mark.parametrize("name", ["absent.zip", "absent", "cifar-10-python.tar.gz"])
def test_a_missing_source_says_what_to_put_where(tmp_path, name):
    message = refusal(tmp_path / name)
    assert "no such file or folder; put there an EDM-format zip" in message


def test_a_file_of_another_kind_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("hello")
    assert "neither a zip nor a tar archive" in refusal(tmp_path / "notes.txt")


@pytest.mark.parametrize("classes", [None, 3])
def test_a_written_zip_is_read_back(tmp_path, classes):
    labels = [None if classes is None else k % classes for k in range(COUNT)]
    path = tmp_path / "set.zip"
    assert write_edm_zip(path, zip(pictures(), labels, strict=True)) == COUNT
    source = open_source(path)
    assert_array_equal(np.stack([image for image, _ in source.items()]), pictures())
    assert [source.label(k) for k in range(COUNT)] == labels


def test_a_written_zip_has_edms_layout(tmp_path):
    path = tmp_path / "set.zip"
    write_edm_zip(path, ((pictures(1, 8)[0], k % 2) for k in range(1001)))
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        assert all(info.compress_type == zipfile.ZIP_STORED for info in archive.infolist())
        table = json.loads(archive.read("dataset.json"))["labels"]
    assert names[0] == "00000/img00000000.png" and names[1000] == "00001/img00001000.png"
    assert table == [[name, k % 2] for k, name in enumerate(names[:-1])]


def test_equal_items_make_equal_zips(tmp_path):
    for name in ("a.zip", "b.zip"):
        write_edm_zip(tmp_path / name, ((image, None) for image in pictures()))
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()


def test_grey_images_are_written_with_one_channel(tmp_path):
    write_edm_zip(tmp_path / "set.zip", [(pictures()[0, :1], None)])
    assert "channels are L" in refusal(tmp_path / "set.zip")


@pytest.mark.parametrize("labels", [[0, None], []])
def test_a_zip_that_would_be_incomplete_is_not_left_behind(tmp_path, labels):
    with pytest.raises(DataError, match="give"):
        write_edm_zip(tmp_path / "set.zip", zip(pictures(), labels, strict=False))
    assert not list(tmp_path.iterdir())


def test_a_subset_is_shuffled_and_repeatable():
    chosen = shuffled_subset(3, 1000, 100)
    assert_array_equal(chosen, shuffled_subset(3, 1000, 100))
    assert len(set(chosen.tolist())) == 100 and 300 < chosen.mean() < 700
    assert_array_equal(np.sort(shuffled_subset(0, 50, 50)), np.arange(50))
    assert not np.array_equal(chosen, shuffled_subset(4, 1000, 100))


@pytest.mark.parametrize("count", [0, 11])
def test_a_subset_cannot_be_larger_than_the_source(count):
    with pytest.raises(DataError, match=f"subset of {count} images was asked for, the source has 10"):
        shuffled_subset(0, 10, count)


@pytest.mark.skipif(not REAL_ZIP, reason="HKD_CIFAR10_ZIP does not name an EDM-format zip of CIFAR-10")
def test_real_images_are_read():
    source = open_source(REAL_ZIP)
    assert (source.resolution, source.channels, source.label_dim) == (32, 3, 10)
    chosen = list(source.items(shuffled_subset(0, len(source), 300)))
    assert len({label for _, label in chosen}) == 10
    assert 0.4 < (np.stack([image for image, _ in chosen]) / 127.5 - 1).std() < 0.6
