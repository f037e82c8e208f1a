"""An evolution in pieces is the evolution, to the bit, and takes no more memory beside the latents than it may."""

from __future__ import annotations

import weakref

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

from hkd.compute import settle
from hkd.koopman import piecewise
from hkd.koopman.coupled import FourierOperator
from hkd.koopman.fast_evolution import evolve_fast
from hkd.koopman.operator import KoopmanOperator
from hkd.settings.numerics import Compute
from tests.koopman.networks import T

MIB = 1 << 20


@pytest.fixture(autouse=True)
def usual():
    yield
    piecewise.limit_to(piecewise.DEFAULT_BYTES)


def with_gradients(run, limit, *inputs, weight):
    """The result of `run` under a limit, and its gradients."""
    piecewise.limit_to(limit)
    leaves = [x.detach().requires_grad_() for x in inputs]
    out = run(*leaves)
    return [out, *torch.autograd.grad(out, leaves, weight.to(out.dtype))]


@given(st.integers(0, 100), st.integers(1, 30), st.integers(1, 100), st.integers(1, 5))
def test_slices_cover_everything_once_in_order(count, each, limit, multiple):
    piecewise.limit_to(limit)
    found = [range(count)[piece] for piece in piecewise.slices(count, each, multiple)]
    assert [k for piece in found for k in piece] == list(range(count))
    assert all(len(piece) * each <= limit or len(piece) <= multiple for piece in found)
    assert all(len(piece) % multiple == 0 for piece in found[:-1])


@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 2**16),
    batch=st.integers(1, 9),
    pairs=st.integers(1, 7),
    size=st.sampled_from([(1, 1), (3, 5), (4, 4), (7, 9), (8, 8), (16, 8)]),
    pairing=st.sampled_from(["half", "adjacent"]),
    own=st.booleans(),
    layout=st.sampled_from([torch.contiguous_format, torch.channels_last]),
    kind=st.sampled_from([torch.float32, torch.bfloat16]),
    limit=st.integers(1, 20_000),
)
def test_pieces_are_the_whole_to_the_bit_gradients_included(
    seed, batch, pairs, size, pairing, own, layout, kind, limit
):
    draw = torch.Generator().manual_seed(seed)
    z, weight = torch.randn(2, batch, 2 * pairs, *size, generator=draw)
    alpha, beta = torch.randn(2, pairs, *size, generator=draw)
    dt = torch.randn(batch if own else (), generator=draw)

    def run(z, alpha, beta):
        return evolve_fast(z.to(kind).to(memory_format=layout), alpha, beta, dt, pairing)

    whole, pieces = (with_gradients(run, size, z, alpha, beta, weight=weight) for size in (1 << 40, limit))
    summed = torch.equal if layout is torch.contiguous_format or size[0] * size[1] % 64 == 0 else torch.allclose
    for name, one, other in zip(("z'", "dz", "dalpha", "dbeta"), whole, pieces, strict=True):
        same = summed if name in ("dalpha", "dbeta") else torch.equal
        assert same(one, other), name
    with torch.no_grad():
        assert torch.equal(run(z, alpha, beta), whole[0])


@pytest.mark.parametrize("pairing", ["half", "adjacent"])
@pytest.mark.parametrize("own", [False, True])
def test_gradients_of_the_step_are_summed_over_pieces(pairing, own):
    draw = torch.Generator().manual_seed(0)
    z, weight = torch.randn(2, 5, 12, 6, 6, generator=draw, dtype=torch.float64)
    alpha, beta = torch.randn(2, 6, 6, 6, generator=draw, dtype=torch.float64)
    dt = torch.randn(5 if own else (), generator=draw, dtype=torch.float64)
    run = lambda dt: evolve_fast(z, alpha, beta, dt, pairing)  # noqa: E731
    whole, pieces = (with_gradients(run, size, dt, weight=weight)[1] for size in (1 << 40, 5000))
    assert_close(pieces, whole, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("own", [False, True])
def test_a_coupled_operator_goes_channel_by_channel(own):
    draw = torch.Generator().manual_seed(0)
    operator = FourierOperator(6, 5, 8)
    z, weight = torch.randn(2, 3, 6, 5, 8, generator=draw)
    generator = torch.randn(6, 5, 8, generator=draw)
    dt = torch.randn(3 if own else (), generator=draw)

    def run(z, generator):
        return torch.func.functional_call(operator, {"generator": generator}, (z, dt))

    whole, pieces = (with_gradients(run, size, z, generator, weight=weight) for size in (1 << 40, 3000))
    for one, other in zip(whole, pieces, strict=True):  # a transform of fewer channels rounds otherwise
        assert_close(other, one, rtol=1e-5, atol=1e-5)


def test_a_course_decoded_in_pieces_is_the_course(make_net, noise):
    net, levels = make_net(decoder_sigma="latent_time"), (40.0, 10.0, 2.5, 0.1, 0.002)
    whole = net.trajectory(T * noise, levels)
    piecewise.limit_to(1)
    assert_close(net.trajectory(T * noise, levels), whole, rtol=1e-4, atol=1e-4)  # fewer images round otherwise


class Living(TorchDispatchMode):
    """Counts the bytes of all tensors that are there at a time; on a device without memory too."""

    def __init__(self) -> None:
        super().__init__()
        self._seen: set[int] = set()
        self.now = self.peak = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for found in tree_iter(out):
            storage = found.untyped_storage() if isinstance(found, torch.Tensor) else None
            if storage is not None and storage._cdata not in self._seen:
                self._seen.add(storage._cdata)
                self.now += storage.nbytes()
                self.peak = max(self.peak, self.now)
                weakref.finalize(storage, self._gone, storage._cdata, storage.nbytes())
        return out

    def _gone(self, key: int, size: int) -> None:
        self._seen.discard(key)
        self.now -= size


def taken(operator, images, limit):
    """Bytes at the height of an evolution and its backward pass: latents, both gradients, rates and theirs included."""
    settle(Compute(evolution_mb=limit), torch.device("cpu"))
    z = torch.zeros(images, *operator.generator.shape, device="meta").requires_grad_()
    dt = torch.full((images,), -1.0, device="meta")
    with Living() as forwards, torch.no_grad():
        operator(z, dt)
    with Living() as both:
        out = operator(z, dt)
        out.backward(torch.zeros_like(out))
    return forwards.peak, both.peak


def test_at_256_pixels_tables_take_what_they_may():
    """Of the finest level of HKD at 256 pixels, 128 channels, for 32 images: 1 GiB of latents."""
    with torch.device("meta"):
        operator = KoopmanOperator(128, 256, 256)
    latents, rates = 32 * operator.generator.numel() * 4, operator.generator.numel() * 4
    whole, whole_both = taken(operator, 32, 1 << 20)
    least, least_both = taken(operator, 32, 64)
    assert whole > 3.4 * latents and least < 2 * latents + rates + 100 * MIB
    # z, z', and the gradients of both; the rates, their gradients, and one more of both
    assert whole_both > 6.4 * latents and least_both < 4 * latents + 4 * rates + 120 * MIB


def test_the_paper_s_sets_are_done_in_one_piece():
    """By default, for the largest levels of a batch that a GPU holds at 32 and 64 pixels: 128 channels."""
    for side, images in ((32, 1280), (64, 320)):
        each = 3 * images * side**2 * 4
        assert len(list(piecewise.slices(64, each))) == 1
