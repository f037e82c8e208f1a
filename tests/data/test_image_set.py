from __future__ import annotations

import errno
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal
from torch.testing import assert_close

from hkd.data.image_set import IMAGES, LABELS, MANIFEST, ImageSet, to_uint8, to_unit_range, write_image_set
from hkd.store.refusals import ArtifactError
from tests.fuzzed import COUNTS, refused
from tests.memory import allocated

COUNT, RESOLUTION, CLASSES = 12, 8, 3
SIZES = {"count": COUNT, "resolution": RESOLUTION, "channels": 3}


def pictures(count: int = COUNT, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 3, RESOLUTION, RESOLUTION), dtype=np.uint8)


def labelled(images: np.ndarray) -> list[tuple[np.ndarray, int]]:
    return [(image, k % CLASSES) for k, image in enumerate(images)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_image_set(tmp_path / "data", labelled(pictures()), **SIZES, label_dim=CLASSES, about={"source": "noise"})
    return tmp_path / "data"


def test_the_quantiser_equals_edms():
    values = torch.tensor([-9.0, -1.0, -1 / 255, 0.0, 1 / 127.5, 0.999, 1.0, 9.0])
    expected = [0, 0, 127, 128, 129, 255, 255, 255]
    assert to_uint8(values).tolist() == expected
    assert to_uint8(values.numpy()).tolist() == expected
    assert to_uint8(values).dtype == torch.uint8


def test_every_byte_survives_the_way_to_the_unit_range_and_back():
    images = torch.arange(256, dtype=torch.uint8)
    unit = to_unit_range(images)
    assert unit.dtype == torch.float32 and unit.min() == -1 and unit.max() == 1
    assert_close(to_uint8(unit), images, rtol=0, atol=0)


def test_half_precision_is_quantised_in_single_precision():
    images = torch.linspace(-1, 1, 999).to(torch.bfloat16)
    assert_close(to_uint8(images), to_uint8(images.float()), rtol=0, atol=0)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("as_array", [False, True])
def test_values_that_are_not_finite_are_refused(bad, as_array):
    images = torch.zeros(2, 3, 4, 4)
    images[1, 0, 0, 0] = bad
    with pytest.raises(ValueError, match=r"\(2, 3, 4, 4\) hold 1 NaN or infinite"):
        to_uint8(images.numpy() if as_array else images)


def test_a_set_is_read_as_it_was_written(folder):
    images = ImageSet(folder)
    images.verify()
    assert (len(images), images.resolution, images.channels, images.label_dim) == (COUNT, RESOLUTION, 3, CLASSES)
    assert isinstance(images.pixels, np.memmap) and images.manifest["source"] == "noise"
    assert_array_equal(images.pixels, pictures())
    batch = images.batch([5, 0, 5])
    assert_close(batch.clean, to_unit_range(torch.from_numpy(pictures()[[5, 0, 5]])), rtol=0, atol=0)
    assert batch.labels is not None and batch.labels.tolist() == [[0, 0, 1], [1, 0, 0], [0, 0, 1]]
    assert len(batch) == 3


def test_the_same_images_make_the_same_bytes(folder, tmp_path):
    write_image_set(tmp_path / "again", iter(labelled(pictures())), **SIZES, label_dim=CLASSES)
    for name in (IMAGES, LABELS):
        assert (tmp_path / "again" / name).read_bytes() == (folder / name).read_bytes()


def test_labels_can_be_absent_or_ignored(folder, tmp_path):
    ignored = ImageSet(folder, use_labels=False)
    assert ignored.label_dim == 0 and ignored.batch([1]).labels is None
    write_image_set(folder, ((image, None) for image in pictures(seed=1)), **SIZES, label_dim=0)
    absent = ImageSet(folder)
    absent.verify()
    assert absent.label_dim == 0 and absent.batch([1]).labels is None
    assert sorted(path.name for path in folder.iterdir()) == [IMAGES, MANIFEST]


def test_each_image_is_mirrored_or_not(folder):
    images, order = ImageSet(folder), [k % COUNT for k in range(600)]
    plain = images.batch(order).clean
    chosen = torch.arange(600) % 3 == 0
    found = images.batch(order, mirrored=chosen).clean
    assert_close(found[chosen], plain[chosen].flip(-1), rtol=0, atol=0)
    assert_close(found[~chosen], plain[~chosen], rtol=0, atol=0)


def test_a_long_set_is_written_in_little_memory(tmp_path):
    image = np.zeros((3, 64, 64), np.uint8)

    def write() -> None:
        items = ((image, None) for _ in range(2000))
        write_image_set(tmp_path, items, count=2000, resolution=64, channels=3, label_dim=0)

    assert allocated(write) < 6e6
    assert (tmp_path / IMAGES).stat().st_size > 24e6


@pytest.mark.parametrize("name", [IMAGES, LABELS])
@pytest.mark.parametrize("kept", [0, 40, -1])
def test_a_truncated_file_is_named_on_opening(folder, name, kept):
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[:kept])
    with pytest.raises(ArtifactError, match=rf"{name}: damaged, .*run `hkd prepare`, or `snakemake"):
        ImageSet(folder)


def test_a_file_that_is_too_long_is_named_on_opening(folder):
    with open(folder / IMAGES, "ab") as file:
        file.write(b"x")
    with pytest.raises(ArtifactError, match=rf"{IMAGES}: damaged, .*bytes of values where uint8"):
        ImageSet(folder)


@pytest.mark.parametrize("name", [IMAGES, LABELS])
def test_a_changed_byte_is_found_by_its_digest(folder, name):
    content = bytearray((folder / name).read_bytes())
    content[-1] ^= 1
    (folder / name).write_bytes(content)
    with pytest.raises(ArtifactError, match=rf"{name}: damaged, its digest .*run `hkd prepare`, or `snakemake"):
        ImageSet(folder).verify()


@pytest.mark.parametrize("name", [IMAGES, LABELS, MANIFEST])
def test_a_missing_file_is_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(ArtifactError, match=rf"{name}: missing; run `hkd prepare`"):
        ImageSet(folder)


@pytest.mark.parametrize("change", [{"count": 11}, {"resolution": 16}, {"count": None}, {"sha256": None}])
def test_a_manifest_of_another_set_is_refused(folder, change):
    manifest = json.loads((folder / MANIFEST).read_text())
    (folder / MANIFEST).write_text(json.dumps(manifest | change))
    with pytest.raises(ArtifactError, match="damaged"):
        ImageSet(folder)


def test_an_array_of_objects_is_not_loaded(folder):
    np.save(folder / IMAGES, np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(ArtifactError, match=f"{IMAGES}: damaged"):
        ImageSet(folder)


@pytest.mark.parametrize(
    ("items", "message"),
    [
        (labelled(pictures(COUNT - 1)), "gave 11 images, expected 12"),
        ([], "gave 0 images, expected 12"),
        ([(pictures()[0, :, :4], 0)], r"image 0 is uint8 \(3, 4, 8\), expected uint8 \(3, 8, 8\)"),
        ([(pictures()[0].astype(float), 0)], "image 0 is float64"),
        ([(pictures()[0], 3)], "image 0 has label 3, expected one of 3 classes"),
        ([(pictures()[0], None)], "image 0 has label None"),
    ],
)
def test_wrong_items_are_refused_and_the_earlier_set_stays(folder, items, message):
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(ValueError, match=message):
        write_image_set(folder, items, **SIZES, label_dim=CLASSES)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_a_full_disk_leaves_nothing_behind(tmp_path):
    def items():
        yield from labelled(pictures())[:5]
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(ArtifactError, match="disk is full"):
        write_image_set(tmp_path, items(), **SIZES, label_dim=CLASSES)
    assert not list(tmp_path.iterdir())


def test_a_changed_label_is_found_on_opening(folder):
    labels = np.load(folder / LABELS)
    np.save(folder / LABELS, np.roll(labels, 1))
    with pytest.raises(ArtifactError, match=rf"{LABELS}: damaged, its digest is not"):
        ImageSet(folder)
    assert len(ImageSet(folder, use_labels=False)) == len(labels)


@pytest.mark.parametrize("count", COUNTS)
def test_a_damaged_manifest_is_refused_in_one_line(folder, count):
    def read() -> None:
        ImageSet(folder).verify()

    assert refused(folder / "manifest.json", read, count, ArtifactError) > count // 4
