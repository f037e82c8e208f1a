"""The control of the measure: data whose rates of contraction are known, and an operator fitted to them as HKD's is.

Gaussian data of variance v have trajectories x_t = x_eps sqrt((v + t^2) / (v + eps^2)). The encoder is the scaling of
EDM's input and no more, z_t = c_in(t) x_t, the decoder undoes it at eps, and so the operator has to have the rate

    alpha s(T) = ln(|z_T| / |z_eps|)

of each mode, and no frequency. With such an encoder two trainings must end at the same spectrum, whatever they share.
With one that may move latents by a rate of its own, only the difference of the two rates is determined.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from hkd.data.toy import GaussianData
from hkd.diffusion.schedules import edm_sigmas
from hkd.koopman.operator import KoopmanOperator
from hkd.koopman.spectrum import OrderBy, rank_correlation
from hkd.koopman.timemap import TimeMap
from hkd.seeding import stream
from hkd.studies.determined.courses import every_pair, lines

SIGMA_DATA, LEVELS, LEVEL = 0.5, 18, "gaussian"


def variances(channels: int, resolution: int, low: float, high: float) -> Tensor:
    """Return a variance for every mode (K, H, W), float64, uniform in its logarithm; one draw for all trainings."""
    shape = (channels // 2, resolution, resolution)
    u = torch.rand(shape, generator=stream(0, "variances"), dtype=torch.float64)
    return low * (high / low) ** u


def true_exponents(variance: Tensor, time: TimeMap) -> Tensor:
    """Return alpha s(T) of every mode: how much ln |z| grows from eps to T."""
    sizes = [(variance + t * t) / (SIGMA_DATA**2 + t * t) for t in (time.sigma_max, time.sigma_min)]
    return (sizes[0] / sizes[1]).log() / 2


class Fit:
    """One training of an operator on Gaussian trajectories of its own, from a start of its own.

    Args:
        free: whether the encoder has a rate of its own, exp(B s(t)), which is learned too.
        start: standard deviation of alpha s(T) and beta s(T) before training.
        lr: of exponents over the whole way, falling to 0.
    """

    def __init__(
        self, variance: Tensor, time: TimeMap, *, seed: int, free: bool, start: float, lr: float, steps: int, batch: int
    ) -> None:
        both = torch.cat((variance, variance))
        self._time, self._seed, self._batch, self._total = time, seed, batch, steps
        self._data = GaussianData(torch.zeros_like(both), both)
        self._operator, self._encoder = (KoopmanOperator(*both.shape, span=time.span) for _ in range(2))
        moved = [self._operator, self._encoder] if free else [self._operator]
        with torch.no_grad():
            for number, one in enumerate(moved):
                draw = torch.randn(one.generator.shape, generator=stream(seed, "gaussian-start", number))
                one.generator.copy_(start * draw / time.span)
        self._optimiser = torch.optim.Adam([one.generator for one in moved], lr=1.0, betas=(0.9, 0.99))
        self._lr = lr / time.span
        self._grid = edm_sigmas(LEVELS, sigma_min=time.sigma_min, sigma_max=time.sigma_max, rho=time.rho)[:-1]

    def step(self, number: int) -> None:
        """Make one step on fresh trajectories: the squared error at T, and at one intermediate time of each."""
        draw = stream(self._seed, "gaussian-trajectories", number)
        eps, top = self._time.sigma_min, self._time.sigma_max
        ends = self._data.sample(self._batch, draw)
        ends = ends + eps * torch.randn(ends.shape, generator=draw, dtype=torch.float64)
        drawn = self._grid[torch.randint(1, LEVELS, (self._batch,), generator=draw)]
        loss = sum(self._error(ends, t) for t in (torch.full_like(drawn, top), drawn))
        for group in self._optimiser.param_groups:
            group["lr"] = self._lr * (1 - number / self._total)
        self._optimiser.zero_grad()
        assert isinstance(loss, Tensor)
        loss.backward()
        self._optimiser.step()

    def spectrum(self) -> dict[str, Tensor]:
        """Return the eigenvalues of the operator, as `spectra` returns those of a network."""
        return {LEVEL: self._operator.eigenvalues()}

    def exponents(self) -> Tensor:
        """Return alpha s(T) of the operator less that of the encoder: what the images depend on."""
        rates = self._operator.rates().alpha - self._encoder.rates().alpha
        return (rates * self._time.span).detach()

    def _error(self, ends: Tensor, sigma: Tensor) -> Tensor:
        eps = self._time.sigma_min
        state = self._data.solution(ends, eps, sigma) / _scale(sigma)
        mapped = self._time(sigma).float()
        moved = self._operator(self._encoder(state.float(), mapped), -mapped)
        return (moved - (ends / _scale(torch.tensor(eps, dtype=torch.float64))).float()).square().mean()


@dataclass(frozen=True)
class Known:
    """The settings of the control.

    Attributes:
        variance: smallest and largest of the data's; `channels` x `resolution` x `resolution` values have one each.
        kept: steps after which spectra are compared; the last one ends the training.
        start, lr, batch: see `Fit`.
    """

    channels: int
    resolution: int
    variance: tuple[float, float]
    kept: tuple[int, ...]
    start: float
    lr: float
    batch: int

    def fit(self, time: TimeMap, seed: int, *, free: bool) -> Fit:
        """Return one training, from its beginning."""
        own = {"start": self.start, "lr": self.lr, "steps": self.kept[-1], "batch": self.batch}
        return Fit(self.variances(), time, seed=seed, free=free, **own)  # type: ignore[arg-type]

    def variances(self) -> Tensor:
        """Return the variance of every mode."""
        return variances(self.channels, self.resolution, *self.variance)


def fitted(known: Known, time: TimeMap, seed: int, *, free: bool) -> tuple[list[dict[str, Tensor]], Tensor]:
    """Return the spectra of a training after each of the kept steps, and the exponents (K, H, W) at its end."""
    fit, course = known.fit(time, seed, free=free), []
    for number in range(known.kept[-1]):
        fit.step(number)
        if number + 1 in known.kept:
            course.append(fit.spectrum())
    return course, fit.exponents()


def controlled(
    known: Known,
    time: Mapping[str, Any],
    controls: Mapping[str, bool],
    *,
    seeds: int,
    orders: Sequence[OrderBy],
    draws: int,
    watch: Callable[[Iterable[int], str], Iterable[int]],
) -> dict[str, Any]:
    """Return `lines`, every comparison of two trainings of one kind, and `fits`, how well each kind fits the data.

    Args:
        time: `time_map` and the levels of the noise. controls: kind -> whether its encoder has a rate of its own.
        watch: passes on the seeds of a kind.
    """
    mapped = TimeMap(time["time_map"], **{key: value for key, value in time.items() if key != "time_map"})
    found: dict[str, Any] = {"lines": [], "fits": {}}
    for kind, free in controls.items():
        trainings = [fitted(known, mapped, seed, free=free) for seed in watch(range(seeds), kind)]
        courses = {seed: (known.kept, course) for seed, (course, _) in enumerate(trainings)}
        found["lines"].extend(lines(every_pair(kind, courses), courses, orders=orders, draws=draws))
        found["fits"][kind] = fit_of(known, mapped, trainings)
    return found


def fit_of(known: Known, time: TimeMap, trainings: Sequence[tuple[list[dict[str, Tensor]], Tensor]]) -> dict[str, Any]:
    """Return how well trainings fit the data: by the rates of their operators alone, and by what images depend on."""
    true = true_exponents(known.variances(), time)
    return {
        "rank_with_truth": [rank_correlation(course[-1][LEVEL].real, true) for course, _ in trainings],
        "largest_error": [float((exponents - true).abs().max()) for _, exponents in trainings],
        "true_range": [float(true.min()), float(true.max())],
    }


def _scale(sigma: Tensor) -> Tensor:
    return (sigma.square() + SIGMA_DATA**2).sqrt().reshape(-1, 1, 1, 1)
