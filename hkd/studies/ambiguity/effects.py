"""Statistics of a one-at-a-time study: changes, their spread pooled over all runs, and the smallest detectable change.

Every arm (the centre, and each variation) is trained with the same seeds, so a change is a paired difference. It is
a difference of log FDn, whose spread does not grow with the distance as that of FDn does; e^change is a ratio.

With y[arm, seed] = mean[arm] + effect[seed] + error and errors of one spread s in all arms, the mean of S paired
differences has the standard error s sqrt(2 / S). A single arm has too few seeds to estimate s; all together have
(arms - 1)(S - 1) degrees of freedom. That a seed shifts all arms alike is an assumption, which makes s small where it
fails to hold; so s is estimated without it as well, with the seeds' effects left in the errors. Changes are judged by
the larger of the two, with the degrees of freedom of the first, which are fewer.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike

from hkd.report.orderings import detectable


@dataclass(frozen=True)
class Design:
    """The pooled spread of such a study, and the test and the detectable change that follow from it.

    Attributes:
        additive: standard deviation of one paired difference, sqrt(2) s, if a seed shifts all arms alike.
        plain: the same without that assumption.
        freedom: degrees of freedom of the first.
        seeds: paired differences per change.
        level, power: two-sided level of the test, and the probability with which it must detect a change.
    """

    additive: float
    plain: float
    freedom: int
    seeds: int
    level: float
    power: float

    @classmethod
    def of(cls, arms: ArrayLike, *, level: float, power: float) -> Design:
        """Return the design of log distances (arms, seeds), its spreads from what means of arms, and of seeds, leave.

        Raises:
            ValueError: for fewer than two arms or two seeds, which leave no spread to estimate.
        """
        y = np.asarray(arms, dtype=np.float64)
        if y.ndim != 2 or min(y.shape) < 2:
            raise ValueError(f"the study needs two arms and two seeds or more, found (arms, seeds) = {y.shape}")
        within = y - y.mean(axis=1, keepdims=True)
        residual = within - within.mean(axis=0)
        freedom = (y.shape[0] - 1) * (y.shape[1] - 1)
        additive = math.sqrt(2 * float((residual**2).sum()) / freedom)
        plain = math.sqrt(2 * float((within**2).sum()) / (y.shape[0] * (y.shape[1] - 1)))
        return cls(additive, plain, freedom, y.shape[1], level, power)

    @property
    def sd(self) -> float:
        """The larger spread, by which changes are judged."""
        return max(self.additive, self.plain)

    @property
    def standard_error(self) -> float:
        """Standard error of a mean paired difference."""
        return self.sd / math.sqrt(self.seeds)

    @cached_property
    def detectable(self) -> float:
        """The smallest change that a two-sided t-test of this level detects with this power."""
        return detectable(self.standard_error, self.freedom, level=self.level, power=self.power)

    def p_value(self, change: float) -> float:
        """Return the two-sided p-value of a mean paired difference."""
        from scipy import stats

        return float(2 * stats.t.sf(abs(change) / self.standard_error, self.freedom))


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values adjusted for the number of changes that were tested together.

    Source: Holm (1979), "A simple sequentially rejective multiple test procedure".
    """
    order = np.argsort(p_values, kind="stable")
    steps = np.asarray(p_values, dtype=np.float64)[order] * np.arange(len(order), 0, -1)
    adjusted = np.empty(len(order))
    # a larger p-value is never adjusted to a smaller one
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return [float(p) for p in adjusted]
