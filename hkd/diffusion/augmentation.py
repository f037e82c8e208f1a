"""Non-leaking augmentation: each image is mirrored and warped, and the network is told how.

Positions are in pixels from the middle of the image, x to the right and y downwards; a turn is counter-clockwise as
seen. The warp works on half pixels: the image is reflected at its edges, brought to twice its resolution, read there
by bilinear interpolation, and brought back.

Source: Karras et al. (2022), arXiv 2206.00364, Appendix F.2, and the official code, which take the geometry and the
filter from Karras et al. (2020), arXiv 2006.06676, Appendix B.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from hkd.diffusion.schedules import per_image
from hkd.draws import Draws

LABEL_DIM = 9
# Constants of the source's pipe, like its filter below. A setting chooses how often the pipe acts, not what it does.
OCTAVES = 0.2  # standard deviation of log2 of a factor, isotropic or anisotropic
SHIFT = 0.125  # standard deviation of a translation, in widths or heights of the image
FRAME = 0.5  # probability that a stretch has axes of its own, not those of the image

# Low-pass filter of the wavelet sym6 (Daubechies). It is orthonormal to its own even shifts, so that doubling and then
# halving with it is the identity. The position of its largest tap is taken for that of the pixel; its centre of mass
# lies a tenth of a tap further.
SYM6 = (
    0.0154041093, 0.0034907121, -0.1179901111, -0.0483117426, 0.4910559419, 0.7876411410,
    0.3379294217, -0.0726375228, -0.0210602925, 0.0447249018, 0.0017677119, -0.0078007083,
)  # fmt: skip
BEFORE = 5  # taps before the largest
AFTER = len(SYM6) - 1 - BEFORE


class Transform(NamedTuple):
    """Parameters of the operations on each image of a batch, in their order; (B,) float32 each, 0 for no change.

    Attributes:
        xflip, yflip: 1 mirrors left and right, or top and bottom.
        scale: magnifies by 2^(0.2 scale).
        angle: turns, in (-pi, pi).
        stretch, frame: magnifies by 2^(0.2 stretch) along the x axis turned by the angle `frame`, in (-pi, pi), and
            by the inverse across it.
        tx, ty: moves by tx/8 of the width and ty/8 of the height.
    """

    xflip: Tensor
    yflip: Tensor
    scale: Tensor
    angle: Tensor
    stretch: Tensor
    frame: Tensor
    tx: Tensor
    ty: Tensor

    def labels(self) -> Tensor:
        """Return the augmentation labels that the network receives, (B, 9); all zeros for an unchanged image.

        Angles enter as cos and sin, and the axes of a stretch scaled by its size, so that the labels are continuous
        and vanish with the operation.
        As in the source, (stretch, frame) and (-stretch, frame + pi) have the same label, though one is the inverse
        of the other.
        """
        turn = (self.angle.cos() - 1, self.angle.sin())
        axes = (self.stretch * self.frame.cos(), self.stretch * self.frame.sin())
        return torch.stack((self.xflip, self.yflip, self.scale, *turn, *axes, self.tx, self.ty), dim=1)

    def warp(self, width: int, height: int) -> tuple[Tensor, Tensor]:
        """Return the affine map of positions, A (B, 2, 2) and b (B, 2), float64: p moves to A p + b.

        The mirrors are not part of it.
        """
        scale, angle, stretch, frame = (v.double() for v in (self.scale, self.angle, self.stretch, self.frame))
        grow, along = torch.exp2(OCTAVES * scale), torch.exp2(OCTAVES * stretch)
        axes = _turn(frame) @ torch.diag_embed(torch.stack((along, 1 / along), dim=1)) @ _turn(-frame)
        shift = torch.stack((self.tx * width, self.ty * height), dim=1).double() * SHIFT
        return axes @ _turn(angle) * grow[:, None, None], shift


def draw(count: int, probability: float, draws: Draws) -> Transform:
    """Return transforms of `count` images, on the CPU.

    Half of the images are mirrored left and right, whatever the probability. Each of mirror top and bottom, scale,
    turn, stretch and translation is kept with `probability`. How many numbers are drawn does not depend on it.

    Args:
        probability: in [0, 1].
        draws: of these images.
    """

    def uniform() -> Tensor:
        return draws.uniform((count,))

    def normal() -> Tensor:
        return draws.normal((count,))

    def coin() -> Tensor:
        return (uniform() < 0.5).float()

    def angle() -> Tensor:
        return (2 * uniform() - 1) * math.pi

    def kept(share: float = probability) -> Tensor:
        return (uniform() < share).float()

    # Every number is drawn whether its operation is kept or not, and always in this order: so a change of the
    # probability leaves the other draws of the stream as they are.
    xflip, yflip = coin(), coin() * kept()
    scale, turn = normal() * kept(), angle() * kept()
    stretch, frame = normal() * kept(), angle() * kept(FRAME)
    tx, ty, moved = normal(), normal(), kept()
    return Transform(xflip, yflip, scale, turn, stretch, frame, tx * moved, ty * moved)


def transformed(images: Tensor, transform: Transform) -> Tensor:
    """Return images (B, C, H, W), on any device, after their transforms; beyond one reflection they are 0.

    Images that are not warped are resampled too, which leaves them as they are but for rounding.
    """
    height, width = images.shape[2:]
    matrix, shift = transform.warp(width, height)
    # resampling asks for every output position where it comes from: the inverse map, p -> back p + start
    back = torch.linalg.inv(matrix)
    start = -(back @ shift[:, :, None])[:, :, 0]
    x, y = _margins(back, start, width, height)
    # one copy to the device for all that each image needs there
    flips = torch.stack((transform.xflip, transform.yflip), dim=1)
    each = torch.cat([v.to(images.dtype) for v in (flips, back.flatten(1), start)], dim=1).to(images.device)
    flips, back, start = each[:, :2], each[:, 2:6].unflatten(1, (2, 2)), each[:, 6:]
    images = _mirrored(_mirrored(images, flips[:, 0], dim=3), flips[:, 1], dim=2)
    with _without_search():
        return _warped(images, back, start, (x, y))


def _warped(images: Tensor, back: Tensor, start: Tensor, margins: tuple[int, int]) -> Tensor:
    """Return images read where `back` p + `start` says, (B, 2, 2) and (B, 2), after reflection by some margins."""
    (height, width), (x, y) = images.shape[2:], margins
    doubled = _doubled(F.pad(images, (x, x, y, y), mode="reflect"))
    pixels = torch.cat((images.new_full((1,), width + 2 * x), images.new_full((1,), height + 2 * y)))
    grid = _grid(back, start, width, height) / pixels
    return _halved(F.grid_sample(doubled, grid, mode="bilinear", padding_mode="zeros", align_corners=False))


@contextmanager
def _without_search() -> Iterator[None]:
    """Keep a GPU from trying all algorithms for every size of margins, of which a training meets a hundred."""
    before, torch.backends.cudnn.benchmark = torch.backends.cudnn.benchmark, False
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = before


def augmented(images: Tensor, probability: float, draws: Draws) -> tuple[Tensor, Tensor]:
    """Return images (B, C, H, W) after random transforms, and their labels (B, 9) as in `Transform.labels`.

    Args:
        images: in [-1, 1], on any device; resampling may overshoot that range a little.
        probability: of each operation but the left-right mirror, in [0, 1].
        draws: of these images; all that is random comes from it.
    """
    transform = draw(len(images), probability, draws.host)  # the size of its padding is decided on the host
    return transformed(images, transform), transform.labels().to(images)


def _turn(angle: Tensor) -> Tensor:
    """Return the matrices (B, 2, 2) that turn by an angle (B,) counter-clockwise, as y points downwards."""
    cos, sin = angle.cos(), angle.sin()
    return torch.stack((cos, sin, -sin, cos), dim=1).unflatten(1, (2, 2))


def _mirrored(images: Tensor, chosen: Tensor, dim: int) -> Tensor:
    return torch.where(per_image(chosen) > 0, images.flip(dim), images)


def _half_pixels(size: int, device: torch.device | str = "cpu") -> Tensor:
    """Return the positions, in pixels from the middle, of all half pixels that `_halved` reads for `size` pixels."""
    return torch.arange(-BEFORE, 2 * size - 1 + AFTER, dtype=torch.float64, device=device) / 2 - (size - 1) / 2


def _margins(back: Tensor, start: Tensor, width: int, height: int) -> tuple[int, int]:
    """Return by how many pixels images must be reflected at left and right, and at top and bottom.

    Every sample that a warped image depends on is then there, up to one reflection of the image, so that an image
    does not depend on those beside it.

    Args:
        back, start: (B, 2, 2) and (B, 2): the pixel at p is read at `back` p + `start`.
    """
    sizes = torch.tensor((width, height))
    corner = torch.stack([_half_pixels(size).abs().max() for size in (width, height)])
    farthest = (back.abs() @ corner + start.abs()).amax(dim=0)
    # bilinear interpolation reaches one half pixel further, and the half pixel's own filter AFTER of them
    beyond = farthest - (sizes - 1) / 2 + (1 + AFTER) / 2
    x, y = torch.minimum(beyond.ceil().clamp(min=0), sizes - 1).tolist()
    return int(x), int(y)


def _grid(back: Tensor, start: Tensor, width: int, height: int) -> Tensor:
    """Return the positions at which all half pixels are interpolated, (B, 2 H + 10, 2 W + 10, 2), x before y.

    One pixel of the source, an image with its margins, is 2 units long, and the half pixel at -1/4 lies at 0.
    Divided by the number of pixels of the source, these are the coordinates of `grid_sample`.
    """
    x, y = (_half_pixels(size, back.device).to(back) for size in (width, height))
    across, down = back[:, None, None, :, 0] * x[:, None], back[:, None, None, :, 1] * y[:, None, None]
    return 2 * (across + down + start[:, None, None]) - 0.5


@lru_cache(maxsize=4)
def _taps(dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return the filter, copied to a device once."""
    return torch.tensor(SYM6, dtype=dtype, device=device)


def _doubled(images: Tensor) -> Tensor:
    """Return images (B, C, 2 H, 2 W) at half pixels, at half their level; every other half pixel lies on a pixel."""
    taps, planes = _taps(images.dtype, images.device), images.flatten(0, 1)[:, None]
    planes = F.conv_transpose2d(planes, taps[None, None, None], stride=(1, 2), padding=(0, BEFORE))
    planes = F.conv_transpose2d(planes, taps[None, None, :, None], stride=(2, 1), padding=(BEFORE, 0))
    return planes.reshape(*images.shape[:2], *planes.shape[2:])


def _halved(images: Tensor) -> Tensor:
    """Return images (B, C, H, W) from half pixels (B, C, 2 H + 10, 2 W + 10), at twice their level."""
    taps, planes = _taps(images.dtype, images.device), images.flatten(0, 1)[:, None]
    planes = F.conv2d(planes, taps[None, None, None], stride=(1, 2))
    planes = F.conv2d(planes, taps[None, None, :, None], stride=(2, 1))
    return planes.reshape(*images.shape[:2], *planes.shape[2:])
