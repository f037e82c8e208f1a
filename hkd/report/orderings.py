"""What runs say of an ordering: mean difference, its interval, the smallest difference they detect.

Pure arithmetic, no files. Both runs of a pair share a seed; where single values are not kept, means are compared.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from hkd.report.verdicts import Verdict, quantile, smallest


@dataclass(frozen=True)
class Paired:
    """Paired differences, higher less lower: positive where the ordering holds.

    Attributes:
        half: of Student's interval; None with one pair.
        detectable: the smallest mean difference that so many pairs of this spread detect; None with one pair.
        seeds: how many pairs would resolve it, if mean and spread stayed; None where it is resolved or none do.
    """

    differences: tuple[float, ...]
    half: float | None
    detectable: float | None
    verdict: Verdict
    seeds: int | None

    @property
    def mean(self) -> float:
        """Mean difference."""
        return statistics.fmean(self.differences)


def paired(differences: Sequence[float], confidence: float, power: float) -> Paired:
    """Return what paired differences say of an ordering. One pair has no interval, so it resolves nothing."""
    values, count = tuple(differences), len(differences)
    if count < 2:
        return Paired(values, None, None, Verdict.INCONCLUSIVE, 2)
    mean, sd = statistics.fmean(values), statistics.stdev(values)

    def half(n: int) -> float:
        return quantile(n - 1, confidence) * sd / math.sqrt(n)

    seeds = None
    if mean - half(count) > 0:
        verdict = Verdict.REPRODUCED
    elif mean + half(count) < 0:
        verdict = Verdict.WORSE
    else:
        verdict = Verdict.INCONCLUSIVE
        seeds = smallest(lambda n: half(n) < abs(mean), above=count, ever=mean != 0)
    seen = detectable(sd / math.sqrt(count), count - 1, level=1 - confidence, power=power)
    return Paired(values, half(count), seen, verdict, seeds)


@dataclass(frozen=True)
class Apart:
    """How far two means lie apart, higher less lower, of runs that share no seeds or whose single values are not kept.

    Attributes:
        mean: difference of the means. half: of Welch's interval around it. detectable: as of `Paired`.
    """

    mean: float
    half: float
    detectable: float


def unpaired(lower: Summary, higher: Summary, confidence: float, power: float) -> Apart:
    """Return how far two means lie apart, each with the spread of its own seeds.

    Source: Welch (1947) for the interval and its degrees of freedom.
    """
    parts = [(side.sd**2 / side.n, side.n - 1) for side in (lower, higher)]
    variance = sum(part for part, _ in parts)
    lost = sum((part / variance) ** 2 / freedom for part, freedom in parts) if variance else 0.0
    freedom = 1 / lost if lost else float(sum(freedom for _, freedom in parts))
    error = math.sqrt(variance)
    seen = detectable(error, freedom, level=1 - confidence, power=power)
    return Apart(higher.mean - lower.mean, quantile(freedom, confidence) * error, seen)


@dataclass(frozen=True)
class Summary:
    """A mean over n seeds, two at least, and their standard deviation (ddof 1)."""

    mean: float
    sd: float
    n: int


def detectable(standard_error: float, freedom: float, *, level: float, power: float) -> float:
    """Return the smallest difference that a two-sided t-test of this level detects with this power.

    The t statistic of a difference d follows a noncentral t with noncentrality d / standard error: solve
    P(|t| > t_crit) = power for d.
    """
    from scipy import optimize, stats

    critical = stats.t.ppf(1 - level / 2, freedom)

    def missing(shift: float) -> float:
        # the lower tail of a shift is the upper one of its opposite, where scipy 1.17 returns no nan
        seen = stats.nct.sf(critical, freedom, shift) + stats.nct.sf(critical, freedom, -shift)
        return float(seen) - power

    upper = 1.0  # doubled until it lies above the root, which `brentq` needs between two signs
    while missing(upper) < 0:
        upper *= 2
    return float(optimize.brentq(missing, 0.0, upper)) * standard_error
