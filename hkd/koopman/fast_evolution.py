"""The evolution of `evolution.evolve`, made fast: one pass over memory, and a backward pass that keeps only z.

With z' = e^(alpha·dt) R(beta·dt) z, g = dL/dz' and h = dL/dz = e^(alpha·dt) R(-beta·dt) g, and because every
block commutes with J = [[0, -1], [1, 0]],

    dL/dalpha = dt <g, z'> = dt <h, z>        dL/dbeta = dt <g, J z'> = dt <h, J z>

so neither z' nor any table per image has to be stored: h is computed anyway, and the network keeps z.
The step follows in the same way: dz'/d(dt) = A z' with A = alpha + beta J, hence

    dL/d(dt) = alpha <h, z> + beta <h, J z>, summed over blocks.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Final

import torch
from torch import Tensor
from torch.autograd import forward_ad

from hkd.koopman import piecewise
from hkd.koopman.evolution import Pairing, evolve, join_pairs, split_pairs
from hkd.koopman.polar import polar

CPU_BLOCK_BYTES: Final = 2**21
"""Images are processed on a CPU in groups of about this size, so that a group stays in cache between passes."""
COLUMNS: Final = 64
"""Numbers that a CPU sums over images at a time; fewer it may add up in another order."""
TABLES: Final = 3
"""Numbers for every block of an image while a table is made: growth, angle and cosine."""


def evolve_fast(z: Tensor, alpha: Tensor, beta: Tensor, dt: Tensor, pairing: Pairing = "half") -> Tensor:
    """Return `evolution.evolve(z, alpha, beta, dt, pairing)`, computed in float32 or better whatever the type of z.

    Differentiable once in z, alpha, beta and dt. `torch.export` traces the formula itself.

    Raises:
        RuntimeError: when differentiated with create_graph=True, unless compiled.
    """
    dt = dt.reshape(-1)
    # four ways to the same numbers: a compiler fuses whole tensors, an export and a derivative in forward mode must see
    # plain operations, and without gradients there is nothing to save
    if torch.compiler.is_dynamo_compiling():
        return _CompiledEvolution.apply(z, alpha, beta, dt, pairing)
    if torch.compiler.is_compiling() or forward_ad._current_level >= 0:
        return evolve(z, alpha, beta, dt, pairing)
    if not torch.is_grad_enabled():
        return _flow(z, alpha, beta, dt, pairing)
    return _Evolution.apply(z, alpha, beta, dt, pairing)


class _Evolution(torch.autograd.Function):
    """exp(A·dt) z, saving z, alpha, beta and dt: of these only z and the numbers dt have a batch dimension."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, alpha: Tensor, beta: Tensor, dt: Tensor, pairing: Pairing) -> Tensor:
        ctx.save_for_backward(z, alpha, beta, dt)
        ctx.pairing = pairing
        return _flow(z, alpha, beta, dt, pairing)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():
            raise RuntimeError(
                "evolve_fast has first derivatives only, and create_graph=True asks for a second one. "
                "Use hkd.koopman.evolution.evolve, which is differentiable any number of times."
            )
        z, alpha, beta, dt = ctx.saved_tensors
        wants_rates, wants_dt = any(ctx.needs_input_grad[1:3]), ctx.needs_input_grad[3]
        # One loop over cached parts of the batch makes all four gradients, so that each part of g and z is
        # read once. The tables are made again instead of stored: they would take as much memory as z.
        h = torch.empty_like(z)
        axis, (pairs, h_pairs, g_pairs) = _as_pairs(ctx.pairing, z, h, g)
        d_alpha: list[Tensor] = []
        d_beta: list[Tensor] = []
        d_dt: list[Tensor] = []
        for blocks in _pieces(z, alpha, dt):
            of_alpha: list[Tensor] = []
            of_beta: list[Tensor] = []
            of_dt: list[Tensor] = []
            for part, cos, sin, step in _tabulated(z, alpha[blocks], beta[blocks], dt):
                at = _index(axis, part, blocks)
                # a scaled rotation is transposed by turning the other way: h = e^(alpha·dt) R(-beta·dt) g
                _rotate(g_pairs[at], cos.unsqueeze(axis), sin, axis, out=h_pairs[at], sign=-1)
                if not (wants_rates or wants_dt):
                    continue
                along, across = _products(h_pairs[at].unbind(axis), pairs[at].unbind(axis), dtype=cos.dtype)
                if wants_dt:
                    of_dt.append((along * alpha[blocks] + across * beta[blocks]).flatten(1).sum(1))
                _accumulate(of_alpha, along, step)
                _accumulate(of_beta, across, step)
            d_alpha += of_alpha
            d_beta += of_beta
            d_dt += [torch.cat(of_dt)] if wants_dt else []
        # every image has a gradient of its step; a shared dt collects those of all images
        times = torch.stack(d_dt).sum(0).sum_to_size(dt.shape).to(dt.dtype) if wants_dt else None
        return h, _joined(d_alpha), _joined(d_beta), times, None


class _CompiledEvolution(torch.autograd.Function):
    """The same for a compiler: whole tensors, which it fuses into one pass each way."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, alpha: Tensor, beta: Tensor, dt: Tensor, pairing: Pairing) -> Tensor:
        ctx.save_for_backward(z, alpha, beta, dt)
        ctx.pairing = pairing
        cos, sin = _fused_tables(alpha, beta, dt)
        u, v = split_pairs(z, pairing)
        return join_pairs(cos * u - sin * v, sin * u + cos * v, pairing).to(z.dtype)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        z, alpha, beta, dt = ctx.saved_tensors
        cos, sin = _fused_tables(alpha, beta, dt)
        (u, v), (g_u, g_v) = split_pairs(z, ctx.pairing), split_pairs(g, ctx.pairing)
        h_u, h_v = cos * g_u + sin * g_v, cos * g_v - sin * g_u
        along, across = h_u * u + h_v * v, h_v * u - h_u * v
        weights = dt.reshape(-1, 1, 1, 1)
        # as in `_Evolution`: along = <h, z> and across = <h, J z> give the gradients of all parameters
        times = (along * alpha + across * beta).flatten(1).sum(1).sum_to_size(dt.shape) if dt.requires_grad else None
        h = join_pairs(h_u, h_v, ctx.pairing).to(z.dtype)
        if dt.numel() == 1:  # a shared step comes out of the sum over images
            return h, along.sum(0) * dt, across.sum(0) * dt, times, None
        return h, (along * weights).sum(0), (across * weights).sum(0), times, None


def _fused_tables(alpha: Tensor, beta: Tensor, dt: Tensor) -> tuple[Tensor, Tensor]:
    """Return e^(alpha·dt) cos(beta·dt) and e^(alpha·dt) sin(beta·dt), each (1 or B, K, H, W), for a compiler.

    The tables of a shared dt are concatenated and split again, because a compiler keeps in memory what is
    concatenated, instead of computing exp, cos and sin again for every image.
    """
    steps = dt.reshape(-1, 1, 1, 1)
    growth, angle = alpha * steps, beta * steps
    if dt.numel() == 1:
        cos, sin = torch.cat((growth.exp() * angle.cos(), growth.exp() * angle.sin()), dim=1).chunk(2, dim=1)
        return cos, sin
    if growth.device.type == "cpu" and growth.dtype == torch.float32:
        return polar(growth, angle)
    return growth.exp() * angle.cos(), growth.exp() * angle.sin()


def _flow(z: Tensor, alpha: Tensor, beta: Tensor, dt: Tensor, pairing: Pairing) -> Tensor:
    """Return exp(A·dt) z, made in three passes over each part of the batch."""
    out = torch.empty_like(z)
    axis, (pairs, out_pairs) = _as_pairs(pairing, z, out)
    for blocks in _pieces(z, alpha, dt):
        for part, cos, sin, _ in _tabulated(z, alpha[blocks], beta[blocks], dt):
            at = _index(axis, part, blocks)
            _rotate(pairs[at], cos.unsqueeze(axis), sin, axis, out=out_pairs[at])
    return out


def _pieces(z: Tensor, alpha: Tensor, dt: Tensor) -> Iterator[slice]:
    """Yield slices of blocks whose tables, of all images that are processed together, are within the limit."""
    images, places = 1 if len(dt) == 1 else _group(z), alpha[:1].numel()
    # gradients of rates are sums over images, which a CPU rounds alike in each of its rows of 64 numbers
    together = COLUMNS // math.gcd(COLUMNS, max(1, places))
    return piecewise.slices(len(alpha), TABLES * images * places * alpha.element_size(), together)


def _index(axis: int, part: slice, blocks: slice) -> tuple[slice, ...]:
    """Return the index of some blocks of some images in a latent whose pairs lie along `axis`."""
    return (part, slice(None), blocks) if axis == 1 else (part, blocks)


def _joined(parts: list[Tensor]) -> Tensor | None:
    """Return what was made of one piece of blocks after another, as one tensor."""
    if len(parts) <= 1:
        return parts[0] if parts else None
    return torch.cat(parts)


def _as_pairs(pairing: Pairing, *latents: Tensor) -> tuple[int, list[Tensor]]:
    """Return the axis of the two coordinates, and the latents (B, 2K, H, W) with that axis split off (a view)."""
    batch, channels, *size = latents[0].shape
    axis, shape = (1, (batch, 2, channels // 2, *size)) if pairing == "half" else (2, (batch, channels // 2, 2, *size))
    return axis, [z.view(shape) for z in latents]


def _tabulated(z: Tensor, alpha: Tensor, beta: Tensor, dt: Tensor) -> Iterator[tuple[slice, Tensor, Tensor, Tensor]]:
    """Yield (part of the batch, e^(alpha·dt) cos(beta·dt), e^(alpha·dt) sin(beta·dt), dt of that part)."""
    size = _group(z)
    if z.is_contiguous(memory_format=torch.channels_last) and not z.is_contiguous():
        # tables in the memory order of z: otherwise every product walks one of the two with long strides
        alpha, beta = (table.permute(1, 2, 0).contiguous().permute(2, 0, 1) for table in (alpha, beta))
    if len(dt) == 1:  # one table serves all parts
        cos, sin = _table(alpha, beta, dt)
        yield from ((slice(start, start + size), cos, sin, dt) for start in range(0, len(z), size))
        return
    for start in range(0, len(z), size):
        part = slice(start, start + size)
        yield part, *_table(alpha, beta, dt[part]), dt[part]


def _group(z: Tensor) -> int:
    """Return how many images are processed together."""
    if z.device.type != "cpu":
        return len(z)
    return max(1, CPU_BLOCK_BYTES // max(1, z[:1].numel() * z.element_size()))


def _table(alpha: Tensor, beta: Tensor, dt: Tensor) -> tuple[Tensor, Tensor]:
    """Return e^(alpha·dt) cos(beta·dt) and e^(alpha·dt) sin(beta·dt)."""
    dt = dt.reshape(-1, 1, 1, 1)
    growth, angle = (alpha * dt).exp_(), beta * dt
    # the cosine first: the sine then overwrites the angle, which saves one table of memory
    return angle.cos().mul_(growth), angle.sin_().mul_(growth)


def _rotate(z: Tensor, cos: Tensor, sin: Tensor, axis: int, *, out: Tensor, sign: int = 1) -> None:
    """Write (cos·u - sin·v, sin·u + cos·v) into `out`, in three passes; the transpose for a sign of -1."""
    if z.dtype != cos.dtype:  # half precision is multiplied in float32, and rounded once at the end
        exact = torch.empty_like(z, dtype=cos.dtype)
        _rotate(z.to(cos.dtype), cos, sin, axis, out=exact, sign=sign)
        out.copy_(exact)
        return
    torch.mul(z, cos, out=out)
    (u, v), (out_u, out_v) = z.unbind(axis), out.unbind(axis)
    out_u.addcmul_(sin, v, value=-sign)
    out_v.addcmul_(sin, u, value=sign)


def _products(h: tuple[Tensor, ...], z: tuple[Tensor, ...], dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Return <h, z> and <h, J z> of every block, (B, K, H, W)."""
    (h_u, h_v), (u, v) = (x.to(dtype) for x in h), (x.to(dtype) for x in z)
    return (h_u * u).addcmul_(h_v, v), (h_v * u).addcmul_(h_u, v, value=-1)


def _accumulate(total: list[Tensor], x: Tensor, dt: Tensor) -> None:
    """Add the sum over the batch of dt·x to the one tensor in the list `total`; an empty list receives it."""
    # a shared dt is multiplied after the sum: one pass over the batch less
    part = x.sum(0).mul_(dt) if len(dt) == 1 else (x * dt.reshape(-1, 1, 1, 1)).sum(0)
    if total:
        total[0] += part
    else:
        total.append(part)
