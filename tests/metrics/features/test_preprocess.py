"""Each resize equals the library it stands for, at enlarging and at shrinking."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from hkd.metrics.features.preprocess import CLASSES, resize, resize_matrix
from hkd.seeding import numpy_stream

SIZES = [(32, 299), (16, 24), (64, 24), (299, 64), (17, 17), (8, 31)]


@pytest.fixture(params=SIZES, ids=lambda s: f"{s[0]}to{s[1]}")
def case(request: pytest.FixtureRequest) -> tuple[torch.Tensor, int]:
    source, target = request.param
    images = numpy_stream(0, "pixels").integers(0, 256, (3, 3, source, source), dtype=np.uint8)
    return torch.from_numpy(images), target


def test_class_a_is_the_resize_of_torch_fidelity(case: tuple[torch.Tensor, int]) -> None:
    module = pytest.importorskip("torch_fidelity.interpolate_compat_tensorflow")
    images, size = case
    expected = module.interpolate_bilinear_2d_like_tensorflow1x(images.float(), size=(size, size), align_corners=False)
    torch.testing.assert_close(CLASSES["A"](images, size), expected, rtol=0, atol=1e-3)


def test_class_b_is_half_pixel_bilinear(case: tuple[torch.Tensor, int]) -> None:
    images, size = case
    expected = F.interpolate(images.float(), size=(size, size), mode="bilinear", align_corners=False)
    torch.testing.assert_close(CLASSES["B"](images, size), expected, rtol=0, atol=1e-3)


def test_class_c_is_the_resizer_of_clean_fid(case: tuple[torch.Tensor, int]) -> None:
    module = pytest.importorskip("cleanfid.resize")
    images, size = case
    resizer = module.make_resizer("PIL", False, "bicubic", (size, size))
    expected = np.stack([resizer(image.numpy().transpose(1, 2, 0)).transpose(2, 0, 1) for image in images])
    torch.testing.assert_close(CLASSES["C"](images, size), torch.from_numpy(expected), rtol=0, atol=1e-3)


def test_class_c_is_pillow_bicubic_on_floats(case: tuple[torch.Tensor, int]) -> None:
    images, size = case
    channel = Image.fromarray(images[0, 0].numpy().astype(np.float32))
    expected = np.asarray(channel.resize((size, size), Image.Resampling.BICUBIC)).clip(0, 255)
    assert np.abs(CLASSES["C"](images, size)[0, 0].numpy() - expected).max() < 1e-3


def test_class_e_is_antialiased_bilinear(case: tuple[torch.Tensor, int]) -> None:
    images, size = case
    expected = F.interpolate(images.float(), size=(size, size), mode="bilinear", align_corners=False, antialias=True)
    torch.testing.assert_close(CLASSES["E"](images, size), expected, rtol=0, atol=1e-3)


def test_classes_c_and_d_differ_in_the_value_map_only() -> None:
    levels = torch.tensor([0.0, 128.0, 255.0])
    assert CLASSES["C"].resize == CLASSES["D"].resize
    torch.testing.assert_close(CLASSES["C"].normalise(levels), torch.tensor([-1.0, 0.0, 127 / 128]))
    torch.testing.assert_close(CLASSES["D"].normalise(levels), torch.tensor([-1.0, 0.5 / 127.5, 1.0]))


@pytest.mark.parametrize("name", CLASSES)
def test_rescaled_levels_give_a_network_the_value_map_of_the_class(name: str) -> None:
    levels = torch.linspace(0, 255, 50)
    mapped = (CLASSES[name].levels_at_128(levels) - 128) / 128
    torch.testing.assert_close(mapped, CLASSES[name].normalise(levels), rtol=0, atol=3e-7)


@pytest.mark.parametrize("kind", sorted({c.resize for c in CLASSES.values()}))
@pytest.mark.parametrize(("source", "target"), [(1, 5), (5, 1), (32, 299), (299, 32)])
def test_rows_sum_to_one(kind: str, source: int, target: int) -> None:
    torch.testing.assert_close(resize_matrix(kind, source, target).sum(dim=1), torch.ones(target))


def test_height_and_width_are_independent() -> None:
    images = torch.arange(2 * 3 * 6 * 10, dtype=torch.float32).reshape(2, 3, 6, 10) % 256
    expected = F.interpolate(images, size=(9, 4), mode="bilinear", align_corners=False)
    torch.testing.assert_close(resize(images, (9, 4), "bilinear"), expected, rtol=0, atol=1e-3)


def test_the_input_is_left_alone() -> None:
    images = torch.full((2, 3, 8, 8), 300.0)
    CLASSES["C"](images, 8)
    assert (images == 300.0).all()
