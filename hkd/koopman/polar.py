"""The products e^a cos(b) and e^a sin(b) together, for compilers that would call three slower functions instead.

    e^a = 2^n e^f,      n = round(a / ln 2),  |f| <= ln(2) / 2
    cos(b) = (-1)^m cos(r),  sin(b) = (-1)^m sin(r),      m = round(b / pi),  |r| <= pi / 2

The factor (-1)^m 2^n is one floating-point number, built from its bits, and what remains are three short polynomials.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor

LN2: Final = (0.693359375, -2.12194440e-4)
PI: Final = (3.140625, 9.6765358979323846e-4)
"""ln 2 and pi as a short number, whose multiples are exact in float32, and a remainder."""

EXP: Final = (0.50000001201, 0.16666665459, 0.041665795894, 0.0083334519073, 0.0013981999507, 0.00019875691500)
SIN: Final = (-0.1666666596104845, 0.008333241796776204, -0.00019822688338258306, 2.6345789037778176e-06)
COS: Final = (
    -0.4999999996370992,
    0.04166665931746712,
    -0.0013888650553184197,
    2.4774493729197548e-05,
    -2.6295469102161975e-07,
)
"""Coefficients, from the lowest, of (e^f - 1 - f) / f^2, (sin(r)/r - 1) / r^2 and (cos(r) - 1) / r^2 in f, r^2, r^2;
EXP as in the Cephes library, SIN and COS fitted by least squares at Chebyshev nodes."""


def polar(log_radius: Tensor, angle: Tensor) -> tuple[Tensor, Tensor]:
    """Return e^log_radius cos(angle) and e^log_radius sin(angle), float32, to within 3e-7 of e^log_radius.

    A radius beyond float32 becomes inf or 0 as with `exp`. Angles beyond about 1e3 rad lose a digit per decade, as
    the product that gave them already has. Made for compiled graphs: in eager mode it is slower than `exp` and `cos`.
    """
    # At the ends of the clamp n is -127 and 128, whose exponent fields 0 and 255 stand for 0 and inf.
    log_radius = log_radius.clamp(-88.0, 89.0)
    n, m = torch.round(log_radius * (1 / math.log(2))), torch.round(angle * (1 / math.pi))
    # Subtracting the short constant is exact; only its remainder is rounded (Cody and Waite, 1980).
    f = log_radius - n * LN2[0] - n * LN2[1]
    r = angle - m * PI[0] - m * PI[1]
    # 2^n is n + 127 in the exponent field, bits 23 to 30; the last bit of m in bit 31 is the sign (-1)^m.
    bits = ((n.to(torch.int32) + 127) << 23) ^ (m.to(torch.int32) << 31)
    radius = (1 + f + f * f * _polynomial(EXP, f)) * bits.view(torch.float32)
    square = r * r
    cos, sin = 1 + square * _polynomial(COS, square), r + r * square * _polynomial(SIN, square)
    return radius * cos, radius * sin


def _polynomial(coefficients: Sequence[float], x: Tensor) -> Tensor:
    """Return the polynomial with these coefficients, from the lowest, by Horner's rule."""
    *lower, last = coefficients
    value = lower.pop() + last * x
    while lower:
        value = lower.pop() + value * x
    return value
