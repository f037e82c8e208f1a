"""Input that must not be scored is refused in one line that names the remedy."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest

from hkd.data import decoding
from hkd.metrics.features.inputs import MetricError, check_features, check_images, images_digest, load_images

GOOD = np.arange(4 * 3 * 8 * 8, dtype=np.uint8).reshape(4, 3, 8, 8)


def test_good_images_pass_unchanged() -> None:
    assert check_images(GOOD, claimed=4) is GOOD


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (GOOD / 255.0, r"expected uint8 bytes, found float64 in \[0, 1\]; quantise with to_uint8"),
        (GOOD.astype(np.int64), r"expected uint8 bytes, found int64 in \[0, 255\]"),
        (2.0 * GOOD / 255.0 - 1.25, r"found float64 in \[-1.25, 0.75\]; quantise"),
        (GOOD.astype(np.int16) - 300, r"expected uint8 bytes, found int16 in \[-300, -45\]"),
        (np.full(GOOD.shape, np.nan), r"expected uint8 bytes, found float64 in \[nan, nan\]"),
        (GOOD.transpose(0, 2, 3, 1), r"found \(4, 8, 8, 3\); transpose NHWC to NCHW"),
        (GOOD[:, :1], r"found \(4, 1, 8, 8\); repeat grey channels to 3"),
        (GOOD[:1], "1 image.* have no covariance; sample at least 2"),
        (np.full_like(GOOD, 7), "all 4 images are one constant colour; the sampler has failed"),
    ],
)
def test_bad_images_are_refused(images: np.ndarray, message: str) -> None:
    with pytest.raises(MetricError, match=message) as error:
        check_images(images)
    assert "\n" not in str(error.value)


def test_one_varied_image_is_enough_to_not_be_constant() -> None:
    images = np.full_like(GOOD, 7)
    images[2, 0, 3, 3] = 8
    check_images(images)


def test_a_repeated_image_is_not_a_constant_one() -> None:
    check_images(np.repeat(GOOD[:1], 4, axis=0))


def test_bad_features_are_refused() -> None:
    rows = np.zeros((5, 3), np.float32)
    rows[3, 1] = np.inf
    with pytest.raises(MetricError, match="1 of 5 rows hold NaN or infinity, the first is row 3"):
        check_features(rows)
    with pytest.raises(MetricError, match="expected float features"):
        check_features(np.zeros((5, 3), np.uint8))


def test_images_come_from_arrays_files_and_folders(tmp_path: Path) -> None:
    from PIL import Image

    np.savez(tmp_path / "ours.npz", images=GOOD)
    np.savez(tmp_path / "adm.npz", arr_0=GOOD.transpose(0, 2, 3, 1))
    np.save(tmp_path / "plain.npy", GOOD)
    (tmp_path / "folder" / "deep").mkdir(parents=True)
    for i, image in enumerate(GOOD):
        Image.fromarray(image.transpose(1, 2, 0)).save(tmp_path / "folder" / ("deep" if i > 1 else ".") / f"z{i}.PNG")
    assert (load_images(GOOD) == GOOD).all()
    for name in ("ours.npz", "adm.npz", "plain.npy"):
        assert (load_images(tmp_path / name) == GOOD).all()
    assert sorted(images_digest(i) for i in load_images(tmp_path / "folder")) == sorted(images_digest(i) for i in GOOD)


def test_damaged_and_missing_files_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from PIL import Image

    np.savez(tmp_path / "cut.npz", images=GOOD)
    whole = (tmp_path / "cut.npz").read_bytes()
    for name, content in {"cut.npz": whole[: len(whole) // 2], "empty.npz": b"", "text.npy": b"hello there"}.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(MetricError, match=f"{name}: .*write it again"):
            load_images(tmp_path / name)
    np.savez(tmp_path / "other.npz", mu=np.zeros(3))
    with pytest.raises(MetricError, match=r"holds mu, no array named images or arr_0"):
        load_images(tmp_path / "other.npz")
    with pytest.raises(MetricError, match="no such file or folder"):
        load_images(tmp_path / "absent")
    (tmp_path / "one.png").write_bytes(b"")
    with pytest.raises(MetricError, match=r"one\.png: neither a folder nor .* put single pictures into a folder"):
        load_images(tmp_path / "one.png")
    folder = tmp_path / "mixed"
    folder.mkdir()
    with pytest.raises(MetricError, match="holds no images"):
        load_images(folder)
    Image.new("RGB", (8, 8)).save(folder / "a.png")
    Image.new("RGB", (9, 8)).save(folder / "b.png")
    with pytest.raises(MetricError, match=r"b\.png: "):
        load_images(folder)
    (folder / "b.png").write_text("no image")
    with pytest.raises(MetricError, match=r"b.png: not an image; .*remove it"):
        load_images(folder)
    (folder / "b.png").unlink()
    monkeypatch.setattr(decoding, "MAX_PIXELS", 8)
    with pytest.raises(MetricError, match=r"a.png: 8x8 pixels, more than 8"):
        load_images(folder)


def test_a_zip_with_changed_bytes_is_named(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "set.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.png", bytes(4096))
    rotten = bytearray((tmp_path / "set.zip").read_bytes())
    rotten[35:45] = b"\xff" * 10
    (tmp_path / "set.zip").write_bytes(bytes(rotten))
    with pytest.raises(MetricError, match=r"set\.zip: not a whole zip file"):
        load_images(tmp_path / "set.zip")


def test_arrays_with_channels_last_are_transposed(tmp_path: Path) -> None:
    np.save(tmp_path / "last.npy", GOOD.transpose(0, 2, 3, 1))
    np.savez(tmp_path / "last.npz", images=GOOD.transpose(0, 2, 3, 1))
    for name in ("last.npy", "last.npz"):
        assert (load_images(tmp_path / name) == GOOD).all()


def test_images_come_from_a_zip_and_a_truncated_one_is_refused(tmp_path: Path) -> None:
    from PIL import Image

    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        archive.writestr("dataset.json", "{}")
        for i, image in enumerate(GOOD):
            Image.fromarray(image.transpose(1, 2, 0)).save(tmp_path / "one.png")
            archive.write(tmp_path / "one.png", f"0000{i // 2}/img{i}.png")
    assert (load_images(tmp_path / "set.zip", claimed=4) == GOOD).all()
    whole = (tmp_path / "set.zip").read_bytes()
    (tmp_path / "cut.zip").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(MetricError, match=r"cut.zip: not a whole zip file"):
        load_images(tmp_path / "cut.zip")


def test_a_corrupt_byte_changes_the_digest() -> None:
    changed = GOOD.copy()
    changed[1, 2, 3, 4] ^= 1
    assert images_digest(changed) != images_digest(GOOD)
    assert images_digest(GOOD[:, :, ::-1]) == images_digest(np.ascontiguousarray(GOOD[:, :, ::-1]))
