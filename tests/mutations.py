"""Damaged copies of a file, the same ones every time: what a test of a reader gives it to read."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator

seen: Counter[str] = Counter()  # copies of this process: how many were `given`, and how many of them `compared`


def mutations(content: bytes, count: int, seed: int = 0) -> Iterator[bytes]:
    """Yield `count` copies of `content`, each with one to four places changed; no two seeds give the same ones."""
    for index in range(count):
        draw = random.Random(f"{seed} {index}")
        changed = bytearray(content)
        for _ in range(draw.randint(1, 4)):
            changed = draw.choice(CHANGES)(draw, changed)
        seen["given"] += 1
        yield bytes(changed)


def _flip_bit(draw: random.Random, content: bytearray) -> bytearray:
    if content:
        content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
    return content


def _set_byte(draw: random.Random, content: bytearray) -> bytearray:
    if content:
        content[draw.randrange(len(content))] = draw.choice((0, 1, 0x7F, 0x80, 0xFF, draw.randrange(256)))
    return content


def _cut(draw: random.Random, content: bytearray) -> bytearray:
    return content[: draw.randrange(len(content) + 1)]


def _drop(draw: random.Random, content: bytearray) -> bytearray:
    start = draw.randrange(len(content) + 1)
    del content[start : start + draw.choice((1, 2, 4, 64))]
    return content


def _repeat(draw: random.Random, content: bytearray) -> bytearray:
    start = draw.randrange(len(content) + 1)
    piece = content[start : start + draw.choice((1, 4, 64))]
    return content[:start] + piece * draw.choice((2, 5)) + content[start:]


def _insert(draw: random.Random, content: bytearray) -> bytearray:
    start = draw.randrange(len(content) + 1)
    return content[:start] + draw.randbytes(draw.choice((1, 2, 8))) + content[start:]


def _big_number(draw: random.Random, content: bytearray) -> bytearray:
    """Write a large number over four or eight bytes: sizes, offsets and counts that lie."""
    width = draw.choice((4, 8))
    if len(content) >= width:
        start = draw.randrange(len(content) - width + 1)
        value = draw.choice((0xFFFFFFFF, 0x7FFFFFFF, 1 << 30, 1 << 20)) % (1 << (8 * width))
        content[start : start + width] = value.to_bytes(width, draw.choice(("little", "big")))
    return content


CHANGES = (_flip_bit, _set_byte, _cut, _drop, _repeat, _insert, _big_number)
