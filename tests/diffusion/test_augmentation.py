"""EDM's augmentation: the filter against the properties of sym6, the geometry against analytic images and scipy."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage
from torch.testing import assert_close

from hkd.diffusion.augmentation import SYM6, Transform, augmented, draw, transformed
from hkd.draws import StreamDraws
from hkd.seeding import stream

SIZE = 16
TAPS = torch.tensor(SYM6, dtype=torch.float64)


def transform(count: int = 1, **values: float) -> Transform:
    """The same transform for every image, nothing where nothing is said."""
    return Transform(*(torch.full((count,), float(values.get(name, 0.0))) for name in Transform._fields))


def positions(height: int, width: int) -> torch.Tensor:
    """The place of every pixel, x before y, from the middle: (H, W, 2)."""
    y, x = (torch.arange(size, dtype=torch.float64) - (size - 1) / 2 for size in (height, width))
    return torch.stack((x.expand(height, width), y[:, None].expand(height, width)), dim=-1)


def waves(at: torch.Tensor, width: int, height: int) -> torch.Tensor:
    """A picture that goes on beyond its edges as its own reflection: cosines that are even about the edge pixels."""
    x, y = (at[..., 0] + (width - 1) / 2) / (width - 1), (at[..., 1] + (height - 1) / 2) / (height - 1)
    u, v = math.pi * x, math.pi * y
    return 0.4 * torch.cos(u) + 0.3 * torch.cos(v) - 0.3 * torch.cos(u) * torch.cos(2 * v)


def picture(width: int = SIZE, height: int = SIZE) -> torch.Tensor:
    return waves(positions(height, width), width, height)[None, None]


def noise(*shape: int) -> torch.Tensor:
    return torch.rand(shape, generator=stream(0, "images"), dtype=torch.float64) * 2 - 1


def blob(centre: torch.Tensor, covariance: torch.Tensor, size: int = 32) -> torch.Tensor:
    away = positions(size, size) - centre
    return torch.exp(-0.5 * ((away @ covariance.inverse()) * away).sum(-1))[None, None]


# -- the filter ------------------------------------------------------------------------------------------------------


def test_the_taps_keep_the_level_and_are_orthonormal_to_their_even_shifts():
    assert float(TAPS.sum()) == pytest.approx(math.sqrt(2), abs=1e-9)
    for shift in range(6):
        product = float(TAPS[2 * shift :] @ TAPS[: 12 - 2 * shift])
        assert product == pytest.approx(1.0 if shift == 0 else 0.0, abs=1e-9)


def test_the_taps_have_six_vanishing_moments():
    """With the above, of all filters of 12 taps only Daubechies' and their more symmetric kin, the sym6, have these."""
    k = torch.arange(12, dtype=torch.float64)
    for power in range(6):
        terms = (-1) ** k * (k - 5) ** power * TAPS
        assert abs(float(terms.sum())) < 1e-8 * float(((k - 5).abs() ** power * TAPS.abs()).sum())


def test_the_taps_are_the_nearly_symmetric_ones():
    """Daubechies' own db6 with the same moments leans to one side: its middle is 2.6 taps from the centre."""
    middle = float(torch.arange(12, dtype=torch.float64) @ TAPS / TAPS.sum())
    assert middle == pytest.approx(5.1, abs=0.01)
    assert int(TAPS.argmax()) == 5


# -- the geometry ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("dtype", "error"), [(torch.float32, 1e-5), (torch.float64, 1e-8)])
def test_no_transform_changes_an_image_by_rounding_only(dtype, error):
    images = noise(2, 3, SIZE, SIZE).to(dtype)
    found = transformed(images, transform(2))
    assert found.dtype == dtype
    assert_close(found, images, rtol=0, atol=error)
    assert not transform(2).labels().any()


@pytest.mark.parametrize(("name", "dim"), [("xflip", 3), ("yflip", 2)])
def test_flips_mirror_the_image(name, dim):
    images = noise(2, 3, SIZE, SIZE)
    assert_close(transformed(images, transform(2, **{name: 1})), images.flip(dim), rtol=0, atol=1e-8)
    assert transform(**{name: 1}).labels()[0].tolist() == [float(dim == 3), float(dim == 2)] + [0.0] * 7


@pytest.mark.parametrize(("x", "y"), [(3, 0), (0, 2), (-1, -4), (5, -2)])
def test_whole_pixels_are_moved_right_and_down_with_reflections_behind(x, y):
    """The height is half the width, and so is its eighth."""
    images = noise(1, 3, SIZE // 2, SIZE)
    moved = transform(tx=x / 2, ty=y)
    margin = [(0, 0), (0, 0), (abs(y), abs(y)), (abs(x), abs(x))]
    wide = np.pad(images.numpy(), margin, mode="reflect")
    top, left = abs(y) - y, abs(x) - x
    expected = torch.from_numpy(wide[:, :, top : top + SIZE // 2, left : left + SIZE])
    assert_close(transformed(images, moved), expected, rtol=0, atol=1e-8)
    assert moved.labels()[0, 7:].tolist() == [x / 2, y]


def test_a_fraction_of_a_pixel_moves_a_smooth_picture():
    moved = transform(tx=0.3 * 8 / SIZE, ty=-1.7 * 8 / SIZE)
    expected = waves(positions(SIZE, SIZE) - torch.tensor([0.3, -1.7]), SIZE, SIZE)[None, None]
    assert_close(transformed(picture(), moved), expected, rtol=0, atol=5e-3)


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_an_angle_turns_counter_clockwise_as_seen(quarters):
    turned = transform(angle=quarters * math.pi / 2)
    expected = torch.rot90(picture(), quarters, (2, 3))
    assert_close(transformed(picture(), turned), expected, rtol=0, atol=0.03)  # the filter leans by 0.05 pixels
    labels = [math.cos(quarters * math.pi / 2) - 1, math.sin(quarters * math.pi / 2)]
    assert turned.labels()[0, 3:5].tolist() == pytest.approx(labels, abs=1e-6)


@pytest.mark.parametrize("scale", [-1.5, 0.7, 2.0])
def test_a_scale_is_the_exponent_of_the_spread_of_a_blob(scale):
    zero, spread = torch.zeros(2, dtype=torch.float64), 6 * torch.eye(2, dtype=torch.float64)
    found = transformed(blob(zero, spread), transform(scale=scale))
    assert_close(found, blob(zero, spread * 2 ** (0.4 * scale)), rtol=0, atol=0.01)
    assert transform(scale=scale).labels()[0, 2].item() == pytest.approx(scale)


@pytest.mark.parametrize(("frame", "axis"), [(0.0, (1.0, 0.0)), (math.pi / 2, (0.0, 1.0)), (math.pi / 4, (1.0, -1.0))])
def test_a_stretch_is_along_its_frame_and_the_inverse_across(frame, axis):
    """A frame of 45 degrees points right and up, which is negative y."""
    along = torch.tensor(axis, dtype=torch.float64)
    along = along / along.norm()
    across = along.flip(0) * torch.tensor([-1.0, 1.0])
    zero, spread = torch.zeros(2, dtype=torch.float64), 6 * torch.eye(2, dtype=torch.float64)
    expected = 6 * (2**0.6 * along.outer(along) + 2**-0.6 * across.outer(across))
    found = transformed(blob(zero, spread), transform(stretch=1.5, frame=frame))
    assert_close(found, blob(zero, expected), rtol=0, atol=0.015)
    labels = [1.5 * math.cos(frame), 1.5 * math.sin(frame)]
    assert transform(stretch=1.5, frame=frame).labels()[0, 5:7].tolist() == pytest.approx(labels, abs=1e-6)


def test_operations_follow_one_another_in_the_order_of_the_labels():
    """Size, turn, stretch, then the translation: one blob through all of them, its middle and spread by hand."""
    centre, spread = torch.tensor([3.0, -1.0]).double(), torch.diag(torch.tensor([7.0, 5.0])).double()
    turn, grow = torch.tensor([[0.0, 1.0], [-1.0, 0.0]]).double(), 2**0.1  # right becomes up: a quarter of a turn
    matrix = torch.diag(torch.tensor([2**0.2, 2**-0.2])).double() @ turn * grow
    middle = matrix @ centre + torch.tensor([2.0, -4.0])
    whole = transform(scale=0.5, angle=math.pi / 2, stretch=1.0, tx=0.5, ty=-1.0)
    found = transformed(blob(centre, spread), whole)
    assert_close(found, blob(middle, matrix @ spread @ matrix.T), rtol=0, atol=0.03)


@given(
    scale=st.floats(-1.0, 2.0),
    angle=st.floats(-math.pi, math.pi),
    stretch=st.floats(-1.0, 1.0),
    frame=st.floats(-math.pi, math.pi),
    tx=st.floats(-0.8, 0.8),
    ty=st.floats(-0.8, 0.8),
)
def test_a_smooth_picture_is_interpolated_where_the_inverse_warp_points(**values):
    """Also beyond its edges, where the picture is its own reflection."""
    warp = transform(**values)
    (matrix,), (shift,) = warp.warp(20, SIZE)
    back = (positions(SIZE, 20) - shift) @ matrix.inverse().T
    expected = waves(back, 20, SIZE)[None, None]
    assert_close(transformed(picture(20, SIZE), warp), expected, rtol=0, atol=0.06)


@given(angle=st.floats(-math.pi, math.pi), tx=st.floats(-1.0, 1.0), scale=st.floats(0.0, 1.0))
def test_scipy_agrees_on_smooth_noise(angle, tx, scale):
    image = ndimage.gaussian_filter(noise(24, 24).numpy(), 2.5, mode="mirror")
    image /= np.abs(image).max()
    warp = transform(angle=angle, tx=tx, scale=scale)
    (matrix,), (shift,) = warp.warp(24, 24)
    back = torch.linalg.inv(matrix).flip(0, 1).numpy()  # scipy counts rows first
    centre = np.full(2, 11.5)
    offset = centre - back @ (centre + shift.flip(0).numpy())
    expected = ndimage.affine_transform(image, back, offset, order=5, mode="mirror")
    found = transformed(torch.from_numpy(image)[None, None], warp)[0, 0].numpy()
    inner = (slice(4, -4),) * 2
    assert float(np.sqrt(np.mean((found - expected)[inner] ** 2))) < 0.02
    assert float(np.abs(found - expected)[inner].max()) < 0.1


@given(frame=st.floats(-1.5, 1.5), values=st.lists(st.floats(-2.0, 2.0), min_size=4, max_size=4))
def test_labels_determine_the_warp(frame, values):
    """Of a frame within half a turn; the stretch along any other is told as its inverse's along the opposite one."""
    scale, turn, stretch, tx = values
    warp = transform(scale=scale, angle=turn, stretch=stretch, frame=frame, tx=tx)
    label = warp.labels()[0]
    size = math.copysign(math.hypot(*label[5:7].tolist()), label[5])
    read = transform(
        scale=label[2], angle=math.atan2(label[4], label[3] + 1), stretch=size,
        frame=math.atan(label[6] / label[5]) if label[5] else 0.0, tx=label[7], ty=label[8],
    )  # fmt: skip
    for told, done in zip(read.warp(SIZE, SIZE), warp.warp(SIZE, SIZE), strict=True):
        assert_close(told, done, rtol=1e-4, atol=1e-4)


def test_beyond_one_reflection_images_are_zero():
    """An eighth of the size are 2 pixels, and 6 with the reflections; the filter reaches 3 further."""
    small = transformed(torch.ones(1, 1, SIZE, SIZE, dtype=torch.float64), transform(scale=-15.0))[0, 0]
    assert float(small[7:9, 7:9].min()) > 0.9
    assert not small[:2].any() and not small[:, -2:].any()


@pytest.mark.parametrize("shape", [(5, 3, SIZE, SIZE), (5, 1, 8, 12), (5, 4, 7, 7)])
def test_an_image_does_not_depend_on_those_beside_it(shape):
    """From hardly warped, with hardly a margin when alone, to as far as any."""
    strength = torch.tensor([0.01, 0.05, 0.2, 0.5, 1.0])
    images, drawn = noise(*shape), draw(5, 1.0, StreamDraws(stream(3, "transforms")))
    drawn = Transform(*drawn[:2], *(value * strength for value in drawn[2:]))
    alone = [transformed(images[i : i + 1], Transform(*(value[i : i + 1] for value in drawn))) for i in range(5)]
    assert_close(transformed(images, drawn), torch.cat(alone), rtol=0, atol=1e-9)


# -- the draws -------------------------------------------------------------------------------------------------------


def test_labels_are_drawn_as_often_and_as_wide_as_stated():
    count, p = 40_000, 0.12
    labels = draw(count, p, StreamDraws(stream(0, "transforms"))).labels()
    assert labels.shape == (count, 9) and labels.dtype == torch.float32
    shares = (labels != 0).double().mean(dim=0).tolist()
    # the sine of the frame is 0 for half of the stretches; a mirror that is kept is none half of the time
    assert shares == pytest.approx([0.5, p / 2, p, p, p, p, p / 2, p, p], abs=0.008)
    assert torch.equal(labels[:, 7] != 0, labels[:, 8] != 0)  # both or none
    assert torch.equal(labels[:, 3] != 0, labels[:, 4] != 0)
    for column in (2, 7, 8):
        kept = labels[labels[:, column] != 0, column]
        assert abs(float(kept.mean())) < 0.06 and float(kept.std()) == pytest.approx(1.0, abs=0.05)
    stretches = labels[labels[:, 5] != 0, 5:7].norm(dim=1)
    assert float(stretches.square().mean()) == pytest.approx(1.0, abs=0.1)


def test_angles_are_uniform_on_the_circle():
    drawn = draw(40_000, 1.0, StreamDraws(stream(0, "transforms")))
    for angle in (drawn.angle, drawn.frame[drawn.frame != 0]):
        assert -math.pi <= float(angle.min()) < -3.13 and 3.13 < float(angle.max()) <= math.pi
        assert float(angle.std()) == pytest.approx(math.pi / math.sqrt(3), abs=0.02)
        assert abs(float(angle.cos().mean())) < 0.02


def test_at_probability_zero_only_the_mirror_acts():
    drawn = draw(1_000, 0.0, StreamDraws(stream(0, "transforms")))
    assert not drawn.labels()[:, 1:].any()
    assert 400 < int(drawn.xflip.sum()) < 600
    images = noise(1_000, 1, 4, 4)
    found, labels = augmented(images, 0.0, StreamDraws(stream(0, "transforms")))
    assert torch.equal(labels[:, 0], drawn.xflip.double())
    assert_close(found, torch.where(drawn.xflip[:, None, None, None] > 0, images.flip(3), images), rtol=0, atol=1e-8)


def test_the_generator_decides_everything_whatever_the_probability():
    images = noise(6, 3, SIZE, SIZE).float()
    generators = stream(1, "transforms"), stream(1, "transforms")
    one, other = map(StreamDraws, generators)
    first, second = augmented(images, 0.5, one), augmented(images, 0.5, other)
    assert torch.equal(first[0], second[0]) and torch.equal(first[1], second[1])
    again = augmented(images, 0.5, one)
    assert not torch.equal(first[1], again[1])
    draw(6, 0.0, other)
    assert torch.equal(*(generator.get_state() for generator in generators))  # as many numbers, kept or not


def test_images_stay_on_their_device():
    """The device without memory refuses tensors of any other, so that nothing can have stayed behind."""
    images = torch.empty(4, 3, SIZE, SIZE, device="meta")
    found, labels = augmented(images, 0.5, StreamDraws(stream(0, "transforms")))
    assert found.device.type == labels.device.type == "meta"
    assert found.shape == images.shape and found.dtype == labels.dtype == torch.float32


def test_no_gpu_searches_for_algorithms_by_the_size_of_margins(monkeypatch):
    sampled, seen = torch.nn.functional.grid_sample, []

    def watched(*args, **kwargs):
        seen.append(torch.backends.cudnn.benchmark)
        return sampled(*args, **kwargs)

    monkeypatch.setattr(torch.nn.functional, "grid_sample", watched)
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", True)
    augmented(torch.zeros(2, 3, 8, 8), 1.0, StreamDraws(torch.Generator().manual_seed(0)))
    assert seen == [False] and torch.backends.cudnn.benchmark
