"""Sets have the same digest whatever they were read from, the first image that differs is named, and memory is flat."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from PIL import Image

from hkd.data import DataError, cifar, cifar_files
from hkd.data.canonical import keep
from hkd.data.decoding import encode_png
from hkd.data.image_set import ImageSet
from hkd.data.kinds.images import opened
from hkd.data.sources import open_source
from hkd.data.tree import begin_tree, digest, first_difference, read_tree, tree_path
from hkd.settings.sections import Data
from tests.data.test_cifar import archive, batch, members
from tests.fuzzed import COUNTS, refused
from tests.memory import allocated


def pixels(count: int, side: int, seed: int = 0):
    return np.random.default_rng(seed).integers(0, 256, (count, 3, side, side), dtype=np.uint8)


def ffhq(folder, images):
    """Images in the layout of FFHQ: a thousand a folder."""
    for k, image in enumerate(images):
        path = folder / f"{1000 * (k // 2):05d}/{k:05d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode_png(image))
    return folder


def binary(number: int) -> bytes:
    content = batch(number)
    rows = zip(content[b"labels"], content[b"data"], strict=True)
    return b"".join(bytes([label]) + row.tobytes() for label, row in rows)


def binary_members() -> dict[str, bytes]:
    return {name: binary(k) for k, name in enumerate(cifar_files.BINARY, start=1)}


# -- CIFAR-10 ----------------------------------------------------------------------------------------------------------


def test_every_form_of_cifar10_is_the_same_set(tmp_path):
    sources = [archive(tmp_path / "cifar-10-python.tar.gz", members())]
    sources.append(archive(tmp_path / "cifar-10-binary.tar.gz", binary_members()))
    root = tmp_path / "torchvision"
    for folder, content in (("cifar-10-batches-py", members()), ("bin", binary_members())):
        (root / folder).mkdir(parents=True)
        for name, each in content.items():
            (root / folder / name).write_bytes(each)
    sources += [root, root / "cifar-10-batches-py", root / "bin"]
    kept = [keep(open_source(source), tmp_path / f"kept{k}", "free") for k, source in enumerate(sources)]
    kept.append(keep(open_source(tmp_path / "kept0"), tmp_path / "again.zip", "other"))
    kept.append(keep(open_source(tmp_path / "again.zip"), tmp_path / "back", "free"))
    assert len({each["tree_sha256"] for each in kept}) == 1
    assert [each["archive"] for each in kept] == ["other", "other", "other", "other", "unknown", "other", "unknown"]
    assert ImageSet(tmp_path / "kept1").label_dim == 10


def test_official_is_what_the_authors_published_byte_for_byte(tmp_path, monkeypatch):
    packed = archive(tmp_path / "cifar-10-binary.tar.gz", binary_members())
    monkeypatch.setattr(cifar, "OFFICIAL_BINARY", hashlib.md5(packed.read_bytes()).hexdigest())
    assert open_source(packed).about["archive"] == "official"
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    for name, content in members().items():
        (folder / name).write_bytes(content)
    found = tuple(hashlib.md5((folder / name).read_bytes()).hexdigest() for name in cifar_files.BATCHES)
    monkeypatch.setattr(cifar, "OFFICIAL_BATCHES", found)
    assert open_source(tmp_path).about["archive"] == "official"
    (folder / cifar_files.BATCHES[2]).write_bytes(members(data_batch_3=members()["data_batch_4"])["data_batch_3"])
    assert open_source(tmp_path).about["archive"] == "other"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "0 bytes, expected 3,073 for each image"),
        (b"\0" * 3072, "3,072 bytes, expected 3,073 for each image"),
        (b"\x0a" + b"\0" * 3072, "a class of 10, expected 0 to 9"),
    ],
)
def test_binary_batches_that_are_none_are_refused(tmp_path, content, said):
    path = archive(tmp_path / "bad.tar.gz", {**binary_members(), "data_batch_2.bin": content})
    with pytest.raises(DataError, match=f"data_batch_2.bin: {said}"):
        open_source(path)


def test_a_folder_without_a_batch_is_refused(tmp_path):
    (tmp_path / "data_batch_1").write_bytes(members()["data_batch_1"])
    with pytest.raises(DataError, match="no member data_batch_2"):
        open_source(tmp_path)


# -- EDM's bytes -------------------------------------------------------------------------------------------------------


def test_a_zip_has_the_bytes_that_edm_s_tool_makes(tmp_path):
    """Order by name, one Lanczos step of the whole square, PNG at level 0, members stored, labels null."""
    images = pixels(5, 128)
    source = ffhq(tmp_path / "images1024x1024", images)
    keep(open_source(source, resolution=64), tmp_path / "ffhq-64x64.zip", "")
    with zipfile.ZipFile(tmp_path / "ffhq-64x64.zip") as made:
        names = [f"00000/img{k:08d}.png" for k in range(5)]
        assert made.namelist() == [*names, "dataset.json"] and json.loads(made.read("dataset.json")) == {"labels": None}
        assert {info.compress_type for info in made.infolist()} == {zipfile.ZIP_STORED}
        for name, path in zip(names, sorted(source.rglob("*.png")), strict=True):
            resized = Image.fromarray(np.array(Image.open(path))).resize((64, 64), Image.Resampling.LANCZOS)
            expected = io.BytesIO()
            Image.fromarray(np.array(resized), "RGB").save(expected, format="png", compress_level=0, optimize=False)
            assert made.read(name) == expected.getvalue()


def test_cifar10_has_edm_s_order_bytes_and_labels(tmp_path):
    """Batches 1 to 5 in that order and not the test batch, PNG at level 0, labels as pairs of name and class."""
    keep(open_source(archive(tmp_path / "cifar-10-python.tar.gz", members())), tmp_path / "cifar10-32x32.zip", "")
    with zipfile.ZipFile(tmp_path / "cifar10-32x32.zip") as made:
        labels = []
        for number in range(20):
            content = batch(number // 4 + 1)
            name = f"00000/img{number:08d}.png"
            expected = io.BytesIO()
            image = Image.fromarray(content[b"data"].reshape(4, 3, 32, 32)[number % 4].transpose(1, 2, 0), "RGB")
            image.save(expected, format="png", compress_level=0, optimize=False)
            assert made.read(name) == expected.getvalue()
            labels.append([name, content[b"labels"][number % 4]])
        assert made.namelist() == [*(name for name, _ in labels), "dataset.json"]
        assert made.read("dataset.json") == json.dumps({"labels": labels}).encode()


def test_thumbnails_in_a_zip_are_resized_alike(tmp_path):
    images = pixels(4, 128)
    with zipfile.ZipFile(tmp_path / "thumbnails128x128.zip", "w") as packed:
        for k, image in enumerate(images):
            packed.writestr(f"thumbnails128x128/00000/{k:05d}.png", encode_png(image))
    kept = keep(open_source(tmp_path / "thumbnails128x128.zip", resolution=64), tmp_path / "kept", "")
    other = keep(open_source(ffhq(tmp_path / "files", images), resolution=64), tmp_path / "other", "")
    assert kept["tree_sha256"] == other["tree_sha256"] and kept["archive"] == "unknown"
    smaller = Image.fromarray(images[3].transpose(1, 2, 0)).resize((64, 64), Image.Resampling.LANCZOS)
    assert_array_equal(ImageSet(tmp_path / "kept").pixels[3], np.asarray(smaller).transpose(2, 0, 1))


def test_mixed_sizes_are_refused_in_one_line(tmp_path):
    source = ffhq(tmp_path / "set", pixels(2, 16))
    (source / "00000/00001.png").write_bytes(encode_png(pixels(1, 8)[0]))
    with pytest.raises(DataError, match=r"8x8 pixels, but 00000/00000\.png has 16x16; make all one size"):
        keep(open_source(source), tmp_path / "kept", "")
    assert not (tmp_path / "kept/manifest.json").exists()


@pytest.mark.parametrize("at", [0, 1])
@pytest.mark.parametrize("shape", [(3, 8, 8), (3, 16, 24)])
def test_a_published_set_of_mixed_sizes_is_refused_though_it_is_resized(tmp_path, at, shape):
    """FFHQ's originals among its thumbnails would make a set that nobody has; pictures of one's own may differ."""
    source = ffhq(tmp_path / "set", pixels(2, 16))
    (source / f"00000/0000{at}.png").write_bytes(encode_png(np.zeros(shape, np.uint8)))
    data = Data(kind="images", path=str(source), resolution=8, count=2)
    with pytest.raises(DataError, match=r"0000\d\.png: \d+x\d+ pixels, .*`count` was published in one") as found:
        keep(opened(data, "ffhq64"), tmp_path / "kept", "")
    assert "\n" not in str(found.value) and not (tmp_path / "kept").exists()
    assert len(keep(opened(data.model_copy(update={"count": None}), "own"), tmp_path / "own", "")["images"]) == 2


# -- the tree ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def kept(tmp_path):
    """A kept set of six images, and a folder of the same."""
    source = ffhq(tmp_path / "files", pixels(6, 8))
    keep(open_source(source), tmp_path / "kept", "free")
    return tmp_path / "kept", source


def test_the_first_image_that_differs_is_named(kept):
    store, source = kept
    images = read_tree(store)["images"]
    assert first_difference(open_source(store), images) == ""
    assert first_difference(open_source(source), images) == ""
    (source / "02000/00005.png").write_bytes(encode_png(pixels(1, 8, seed=2)[0]))
    (source / "01000/00003.png").write_bytes(encode_png(pixels(1, 8, seed=1)[0]))
    assert first_difference(open_source(source), images) == "image 3 (01000/00003.png) is another than it was"
    assert first_difference(open_source(store), images[:4]) == "image 4 is one more than the 4 that there were"
    assert first_difference(open_source(store), [*images, images[0]]) == "image 6 of 7 is missing"


def test_a_class_and_a_shape_count(kept):
    image = pixels(1, 8)[0]
    others = {digest(image, None), digest(image, 0), digest(image, 1), digest(image.reshape(3, 4, 16), None)}
    assert len(others) == 4


def test_digests_that_were_edited_are_refused(kept):
    path = tree_path(kept[0])
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "images": content["images"][::-1]}))
    with pytest.raises(DataError, match="its digests are not those of its tree"):
        read_tree(kept[0])
    path.unlink()
    with pytest.raises(DataError, match="missing, so nothing says what kept holds"):
        read_tree(kept[0])


def test_a_prepared_set_is_a_source_at_its_own_size_alone(kept):
    store, source = kept
    assert open_source(store).kind == "prepared" and open_source(store, resolution=8).image(2).shape == (3, 8, 8)
    with pytest.raises(DataError, match="prepared at 8 pixels, not 16; prepare its source anew"):
        open_source(store, resolution=16)
    (store / "images.npy").write_bytes(b"")
    with pytest.raises(DataError, match=r"images.npy: damaged, truncated or not an array"):
        open_source(store)
    (source / "manifest.json").write_text("{}")  # of the user's own: pictures are read beside it
    assert open_source(source).kind == "folder"


@pytest.mark.parametrize("count", COUNTS)
def test_damaged_trees_are_read_or_refused(kept, count):
    assert refused(tree_path(kept[0]), lambda: read_tree(kept[0]), count, DataError) > count // 2


def test_memory_does_not_grow_with_the_pixels(tmp_path):
    """Of three times the images it takes their names and digests more, and not their 12 KB each."""

    def peak(count: int) -> int:
        source = ffhq(tmp_path / f"set{count}", pixels(count, 64))
        return allocated(lambda: keep(open_source(source), tmp_path / f"kept{count}", ""))

    peak(5)  # what is loaded once
    few, many = peak(100), peak(300)  # more than are gathered before they are written
    assert many - few < 200 * 1024 < 200 * 12288
    assert many < 4 << 20  # nothing is reserved beyond what is there, or it would hide what grows


# -- what stands there already -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["set", "set.zip"])
def test_files_of_others_are_never_replaced(tmp_path, name):
    source = open_source(ffhq(tmp_path / "pictures", pixels(2, 8)))
    out = tmp_path / name
    mine = [out, tmp_path / f"{name}.tree.json"] if name == "set.zip" else [out / "images.npy", out / "tree.json"]
    for path in mine:
        path.parent.mkdir(exist_ok=True)
        path.write_text('{"mine": 1}')
        with pytest.raises(DataError, match="holds what `hkd data prepare` did not write; name another --out"):
            keep(source, out, "")
        assert path.read_text() == '{"mine": 1}' and len(list(tmp_path.iterdir())) == 2
        path.unlink()
    with pytest.raises(DataError, match="did not write"):
        keep(source, tmp_path / "pictures", "")


@pytest.mark.parametrize("name", ["set", "set.zip"])
def test_what_was_stopped_or_failed_begins_again(tmp_path, name):
    out, source = tmp_path / name, open_source(ffhq(tmp_path / "pictures", pixels(2, 8)))
    mixed = ffhq(tmp_path / "mixed", pixels(2, 8))
    (mixed / "9.png").write_bytes(encode_png(pixels(1, 4)[0]))
    with pytest.raises(DataError, match=r"9\.png"):
        keep(open_source(mixed), out, "")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mixed", "pictures"]
    begin_tree(out)  # as one that was killed leaves it
    if name == "set":
        (out / "images.npy").write_bytes(b"half of it")
    with pytest.raises(DataError, match="'tree_sha256' is missing"):
        read_tree(out)
    first = keep(source, out, "")
    assert keep(source, out, "") == first == {**read_tree(out)}
    with pytest.raises(DataError, match=r"9\.png"):
        keep(open_source(mixed), out, "")
    assert read_tree(out) == first and first_difference(open_source(out), first["images"]) == ""
