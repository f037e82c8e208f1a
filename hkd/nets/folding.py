"""Batch normalisation folded into the convolution before it, for networks that are read and never trained."""

from __future__ import annotations

from torch import Tensor

BN_EPSILON = 1e-3  # TensorFlow's, where torch's default is 1e-5: the networks here come from there


def folded(weight: Tensor, gain: Tensor, shift: Tensor, mean: Tensor, variance: Tensor) -> tuple[Tensor, Tensor]:
    """Return weight and bias, float32, of a convolution (out, in, h, w) and its normalisation, in one.

    Args:
        gain, shift, mean, variance: of the normalisation, (out,); the arithmetic is in their own precision.
    """
    # gain (W x - mean) / sqrt(variance + eps) + shift = (scale W) x + (shift - mean scale)
    scale = gain / (variance + BN_EPSILON).sqrt()
    return (weight * scale[:, None, None, None]).float(), (shift - mean * scale).float()
