"""What a measured number says of a printed one. Pure arithmetic, no files.

The band is one standard deviation of the difference between a reproduction and a printed value when nothing
is wrong: the root of the sum of squares of its parts

    s_seed / sqrt(N)      spread over N seeds of ours
    s_draw                spread of one evaluation of the same weights
    s_lab                 spread between laboratories; it holds one seed of each side
    rounding / sqrt(12)   of the printed digits

The interval is difference ± t × band, with the degrees of freedom that Welch and Satterthwaite give to a sum of
estimated variances. Orderings are in `hkd.report.orderings`.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache, lru_cache

EXACT = math.inf  # degrees of freedom of a spread that is known, not estimated


class Verdict(StrEnum):
    """What a reader is told of a claim."""

    REPRODUCED = "reproduced"
    BETTER = "better"
    WORSE = "worse"
    INCONCLUSIVE = "inconclusive"
    TOY_AGREES = "toy: agrees"
    TOY_DISAGREES = "toy: disagrees"
    TOY_UNRESOLVED = "toy: unresolved"
    NOT_COMPARABLE = "not comparable"
    INCOMPLETE = "incomplete"
    NOT_RUN = "not run"

    def at_toy_scale(self) -> Verdict:
        """Return the strongest word that a run below the paper's scale allows."""
        return _TOY.get(self, self)


_TOY = {
    Verdict.REPRODUCED: Verdict.TOY_AGREES,
    Verdict.BETTER: Verdict.TOY_DISAGREES,
    Verdict.WORSE: Verdict.TOY_DISAGREES,
    Verdict.INCONCLUSIVE: Verdict.TOY_UNRESOLVED,
}
_EXITS = {
    Verdict.REPRODUCED: 0,
    Verdict.BETTER: 0,
    Verdict.WORSE: 1,
    Verdict.INCONCLUSIVE: 2,
    Verdict.TOY_AGREES: 2,
    Verdict.TOY_DISAGREES: 2,
    Verdict.TOY_UNRESOLVED: 2,
}


NOT_USABLE = 3


def exit_code(verdict: Verdict, *, strict: bool = False) -> int:
    """Return 0 reproduced or better, 1 worse, 2 inconclusive or toy, 3 all else; strictly, `better` is 1 as well."""
    return 1 if strict and verdict is Verdict.BETTER else _EXITS.get(verdict, NOT_USABLE)


# -- numbers -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Spread:
    """A standard deviation, and the degrees of freedom that it was estimated with."""

    sd: float = 0.0
    freedom: float = EXACT

    def scaled(self, factor: float) -> Spread:
        """Return the spread of `factor` times the quantity."""
        return Spread(self.sd * factor, self.freedom)


@dataclass(frozen=True)
class Band:
    """The parts of one standard deviation of the difference; a part that was not measured is None and counts as 0."""

    seed: Spread | None
    draw: Spread | None
    lab: Spread
    rounding: Spread

    @property
    def parts(self) -> tuple[Spread, ...]:
        """The parts that are known."""
        return tuple(part for part in (self.seed, self.draw, self.lab, self.rounding) if part is not None)

    @property
    def sd(self) -> float:
        """Root of the sum of squares."""
        return math.sqrt(sum(part.sd**2 for part in self.parts))

    @property
    def freedom(self) -> float:
        """Effective degrees of freedom of the whole. Source: Welch (1947), Satterthwaite (1946)."""
        parts = self.parts
        largest = max((part.sd for part in parts), default=0.0)
        if not largest:
            return EXACT
        shares = [(part.sd / largest) ** 2 for part in parts]  # of the largest, so that no square underflows
        loss = sum(share**2 / part.freedom for share, part in zip(shares, parts, strict=True))
        return sum(shares) ** 2 / loss if loss else EXACT

    def half_width(self, confidence: float) -> float:
        """Return half the width of the interval."""
        return quantile(self.freedom, confidence) * self.sd


@dataclass(frozen=True)
class Printed:
    """A printed number.

    Attributes:
        rounding: unit of its last digit.
        minimum_of: how many evaluations of the same weights it is the smallest of.
    """

    value: float
    rounding: float
    minimum_of: int = 1


@dataclass(frozen=True)
class Measured:
    """What was measured.

    Attributes:
        values: one per seed, at least one.
        draw: spread of one evaluation of the same weights; None where it was not measured.
        images: in one evaluation.
    """

    values: tuple[float, ...]
    draw: Spread | None = None
    images: int | None = None

    @property
    def mean(self) -> float:
        """Mean over seeds."""
        return statistics.fmean(self.values)

    @property
    def seed(self) -> Spread | None:
        """Spread over seeds; None with one."""
        count = len(self.values)
        return Spread(statistics.stdev(self.values), count - 1) if count > 1 else None


@dataclass(frozen=True)
class Needs:
    """What would resolve a claim that is open, if mean and spread stayed as they are.

    Attributes:
        seeds: in all; None where no number of them does, or where it is not known.
        images: in one evaluation, at the present number of seeds; None likewise.
        floor: half the width of the interval that is left with any number of seeds.
    """

    seeds: int | None = None
    images: int | None = None
    floor: float | None = None


@dataclass(frozen=True)
class Comparison:
    """A reproduction beside a printed number.

    Attributes:
        reproduced: mean over seeds.
        expected: what one evaluation would have printed; another than the printed value where that is a minimum.
        half: of the interval around the difference, reproduced − expected.
        verdict: of an exact protocol; `at_toy_scale` weakens it.
    """

    reproduced: float
    expected: float
    band: Band
    half: float
    margin: float
    verdict: Verdict
    needs: Needs

    @property
    def difference(self) -> float:
        """Reproduced less expected."""
        return self.reproduced - self.expected

    @property
    def relative(self) -> float:
        """The difference over the expected value."""
        return self.difference / self.expected

    @property
    def interval(self) -> tuple[float, float]:
        """The interval around the difference."""
        return self.difference - self.half, self.difference + self.half


def compare(measured: Measured, printed: Printed, margin: float, lab: Spread, confidence: float) -> Comparison:
    """Return what a reproduction says of a printed number, of which less is better.

    One seed has no spread of its own. It is then held by `lab`, if there is any; without, nothing can be said.
    """
    shift, narrowing = least_of(printed.minimum_of)
    draw = measured.draw
    expected = printed.value - shift * draw.sd if draw else printed.value
    count = len(measured.values)
    band = Band(
        seed=measured.seed.scaled(1 / math.sqrt(count)) if measured.seed else None,
        draw=draw.scaled(narrowing) if draw else None,
        lab=lab,
        rounding=Spread(printed.rounding / math.sqrt(12)),
    )
    difference = measured.mean - expected
    half = band.half_width(confidence) if measured.seed or lab.sd else math.inf
    verdict = judge(difference, half, margin)
    needs = Needs()
    if verdict is Verdict.INCONCLUSIVE:
        needs = _needed(difference, margin, band, count, measured.images, confidence)
    return Comparison(measured.mean, expected, band, half, margin, verdict, needs)


def judge(difference: float, half: float, margin: float) -> Verdict:
    """Return the verdict on a difference, of a quantity of which less is better, at the exact protocol."""
    low, high = difference - half, difference + half
    if -margin <= low and high <= margin:
        return Verdict.REPRODUCED
    if abs(difference) > margin and (low > 0 or high < 0):
        return Verdict.WORSE if difference > 0 else Verdict.BETTER
    return Verdict.INCONCLUSIVE


def margin_of(value: float, ranked: Sequence[float], *, share: float, otherwise: float) -> float:
    """Return the margin of a printed value: `share` of the distance to the nearest printed one that it is ranked
    against, or `otherwise` times itself where it is ranked against none, or only against equals."""
    distances = [abs(value - other) for other in ranked if other != value]
    return share * min(distances) if distances else otherwise * abs(value)


@cache
def least_of(count: int) -> tuple[float, float]:
    """Return mean and standard deviation of the smallest of `count` standard normal numbers."""
    if count == 1:
        return 0.0, 1.0
    from scipy import integrate, stats

    def density(x: float) -> float:
        return float(count * stats.norm.pdf(x) * stats.norm.sf(x) ** (count - 1))

    mean = integrate.quad(lambda x: x * density(x), -12, 12)[0]
    square = integrate.quad(lambda x: x * x * density(x), -12, 12)[0]
    return float(mean), math.sqrt(square - mean**2)


@lru_cache(maxsize=4096)
def quantile(freedom: float, confidence: float) -> float:
    """Return the two-sided quantile of Student's t."""
    from scipy import stats

    tail = 0.5 + confidence / 2
    return float(stats.norm.ppf(tail) if freedom == EXACT else stats.t.ppf(tail, freedom))


def _needed(difference: float, margin: float, band: Band, count: int, images: int | None, confidence: float) -> Needs:
    def open_with(seed: Spread | None, draw: Spread | None) -> bool:
        half = Band(seed, draw, band.lab, band.rounding).half_width(confidence)
        return judge(difference, half, margin) is Verdict.INCONCLUSIVE

    floor = Band(None, band.draw, band.lab, band.rounding).half_width(confidence)
    if band.seed is None:
        return Needs(seeds=None if band.lab.sd else 2, floor=floor)
    one = band.seed.scaled(math.sqrt(count))
    seeds = smallest(
        lambda n: not open_with(Spread(one.sd / math.sqrt(n), n - 1), band.draw),
        above=count,
        ever=not open_with(None, band.draw),
    )
    more = None
    if band.draw and images:
        draw = band.draw
        more = smallest(
            lambda n: not open_with(band.seed, draw.scaled(math.sqrt(images / n))),
            above=images,
            ever=not open_with(band.seed, None),
        )
    return Needs(seeds, more, floor)


def smallest(enough: Callable[[int], bool], *, above: int, ever: bool) -> int | None:
    """Return the smallest number above one for which `enough` holds, if it ever does; it then holds beyond as well."""
    if not ever:
        return None
    low, high = above, 2 * above + 1
    while not enough(high):
        low, high = high, 2 * high
        if high > 1 << 40:  # nothing that anybody could run
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high
