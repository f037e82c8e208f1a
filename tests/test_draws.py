"""Draws that belong to images: published answers of the generator, invariance under cuts, laws of the numbers."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hkd.draws import Draws, ImageDraws, StreamDraws, of_step, philox
from hkd.seeding import stream

# counter, key, answer: the known answers that Salmon et al. publish beside their library Random123
KNOWN = [
    ([0, 0, 0, 0], 0, "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ([0xFFFFFFFF] * 4, 2**64 - 1, "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    (
        [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344],
        (0x299F31D0 << 32) | 0xA4093822,
        "d16cfe09 94fdcceb 5001e420 24126ea1",
    ),
]
LAWS = ("stream", "image")


@pytest.mark.parametrize(("counter", "key", "answer"), KNOWN)
def test_the_generator_gives_the_published_answers(counter, key, answer):
    words = philox([torch.tensor(word) for word in counter], key)
    assert " ".join(f"{int(word):08x}" for word in words) == answer


def some_of_all(draws: Draws, count: int) -> list[torch.Tensor]:
    """One draw of each kind, the images first."""
    weights = torch.tensor([0.2, 0.5, 0.3], dtype=torch.float64)
    return [
        draws.normal((count, 3, 5)),
        draws.uniform((2, count), images=1, dtype=torch.float64).movedim(1, 0),
        draws.integers(7, count),
        draws.choices(weights, count),
        draws.whole.uniform((1,)).expand(count),
        draws.host.normal((count,), dtype=torch.float64),
        draws.normal((2, count, 4), images=1).movedim(1, 0),
    ]


@pytest.mark.parametrize("law", LAWS)
@given(cuts=st.lists(st.integers(1, 11), max_size=3), step=st.integers(0, 2**31))
def test_every_image_gets_the_same_numbers_however_the_batch_is_cut(law, cuts, step):
    bounds = sorted({0, 12, *cuts})
    whole = some_of_all(of_step(law, 3, step, batch=None, first=0), 12)
    parts = [some_of_all(of_step(law, 3, step, batch=12, first=low), high - low) for low, high in pairwise(bounds)]
    for one, *others in zip(whole, *parts, strict=True):
        assert torch.equal(one, torch.cat(others))


@pytest.mark.parametrize("law", LAWS)
def test_steps_seeds_and_calls_share_nothing(law):
    def numbers(seed: int, step: int) -> list[torch.Tensor]:
        draws = of_step(law, seed, step, batch=None, first=0)
        return [draws.uniform((64,)), draws.uniform((64,)), draws.whole.uniform((64,)), draws.host.uniform((64,))]

    found = torch.cat([*numbers(0, 0), *numbers(0, 1), *numbers(1, 0)])
    assert len(found.unique()) == len(found)


def test_a_stream_is_read_as_torch_reads_it():
    draws, generator = StreamDraws(stream(0, "s")), stream(0, "s")
    assert torch.equal(draws.normal((4, 3)), torch.randn((4, 3), generator=generator))
    assert torch.equal(draws.integers(9, 4), torch.randint(9, (4,), generator=generator))
    assert torch.equal(draws.whole.uniform((1,)), torch.rand(1, generator=generator))


def test_normal_numbers_are_normal():
    x = ImageDraws(5, 1, 0).normal((2000, 100)).double().flatten()
    moments = [float((x**k).mean()) for k in (1, 2, 3, 4)]
    assert moments == pytest.approx([0, 1, 0, 3], abs=0.05)
    share = [float((x < q).double().mean()) for q in (-2.0, -0.5, 0.5, 2.0)]
    assert share == pytest.approx([0.5 * (1 + math.erf(q / math.sqrt(2))) for q in (-2.0, -0.5, 0.5, 2.0)], abs=0.004)
    assert bool(torch.isfinite(x).all())
    pairs = x.view(-1, 2)
    assert abs(float((pairs[:, 0] * pairs[:, 1]).mean())) < 0.02  # both of one angle


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_uniform_numbers_are_uniform_and_below_one(dtype):
    x = ImageDraws(5, 1, 0).uniform((1000, 100), dtype=dtype)
    assert x.dtype == dtype and float(x.min()) >= 0 and float(x.max()) < 1
    counts = torch.histc(x.float(), 20, 0, 1) / x.numel()
    assert float((counts - 0.05).abs().max()) < 0.004


def test_choices_are_as_likely_as_their_weights():
    weights = torch.tensor([0.0, 1.0, 3.0, 0.0, 6.0])
    counts = ImageDraws(5, 1, 0).choices(weights, 40_000).bincount(minlength=5) / 40_000
    assert float((counts - weights / 10).abs().max()) < 0.01 and counts[0] == counts[3] == 0
