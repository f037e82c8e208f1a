"""The generator A of one level: a learned rate alpha and frequency beta for every pair of channels and every place."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from hkd.koopman.bounds import Bounds, Diagnostics, Rates, diagnose
from hkd.koopman.evolution import Pairing, check_pairing, join_pairs, split_pairs
from hkd.koopman.fast_evolution import evolve_fast


class LevelOperator(nn.Module, ABC):
    """Base of the operators of one level: one learned tensor, its rates within bounds, and the checks on both.

    Attributes:
        generator: (C, H, W), as many numbers as the latent has elements, zero at first, so that exp(A·dt) = 1.
        span: s(T), the longest step of mapped time, to which the bounds refer.
        frozen: leave A at zero, which makes the operator the identity (the paper's ablation without Koopman).
    """

    def __init__(self, shape: Sequence[int], *, name: str, span: float, bounds: Bounds, frozen: bool) -> None:
        super().__init__()
        self.name = name
        self.span = span
        self.bounds = bounds
        self.frozen = frozen
        self.generator = nn.Parameter(torch.zeros(*shape), requires_grad=not frozen)
        self.register_load_state_dict_post_hook(_check_loaded)

    def rates(self) -> Rates:
        """Return alpha and beta of every mode within their bounds, float32 or better."""
        generator = self.generator
        # a step multiplies errors of the rates by up to s(T), 80 for EDM's times: half precision is too coarse
        exact = generator.float() if generator.dtype in (torch.float16, torch.bfloat16) else generator
        return self.bounds(self._raw_rates(exact), self.span)

    def eigenvalues(self) -> Tensor:
        """Return alpha + i·beta of every mode, complex, detached; its conjugate is the other eigenvalue."""
        return torch.complex(*self.rates()).detach()

    def forward(self, z: Tensor, dt: Tensor | float) -> Tensor:
        """Return exp(A·dt) z.

        Args:
            z: (B, C, H, W) latent.
            dt: signed step of mapped time, a number or (B,); negative runs towards the data.
        Raises:
            ValueError: for another number of steps than of latents.
        """
        if isinstance(dt, Tensor) and dt.numel() not in (1, len(z)):
            raise ValueError(
                f"dt: {dt.numel()} steps for {len(z)} latents of level {self.name}; give one, or one each."
            )
        if self.frozen:
            return z
        rates = self.rates()
        return self._evolve(z, rates, torch.as_tensor(dt, dtype=rates.alpha.dtype, device=z.device))

    @abstractmethod
    def energy(self, z: Tensor) -> Tensor:
        """Return the squared size (B, modes...) of every mode of z; the sum over modes is |z|^2."""

    @abstractmethod
    def project(self, z: Tensor, keep: Tensor) -> Tensor:
        """Return z with every mode zeroed where the boolean `keep` (modes...) is false."""

    @torch.no_grad()
    def diagnostics(self) -> Diagnostics:
        """Return the extremes of alpha and of the spectrum."""
        return diagnose(self.rates(), self.span)

    def check(self) -> None:
        """Raise ValueError unless the operator is finite, and zero if it is frozen."""
        if self.generator.is_meta:  # a tensor without values, of a network that is built to be counted
            return
        bad = int((~torch.isfinite(self.generator)).sum())
        if bad:
            raise ValueError(
                f"koopman.{self.name}.generator: {bad} of {self.generator.numel()} values are not finite: training "
                "diverged. Restart from an earlier checkpoint with a lower learning rate of A, or with alpha_bound."
            )
        if self.frozen and bool(self.generator.any()):
            raise ValueError(
                f"koopman.{self.name}.generator: has values other than 0, but 'frozen: true' leaves A at 0. These "
                "weights belong to another configuration: use the config that lies beside them."
            )

    def extra_repr(self) -> str:
        return f"{self.name}: {tuple(self.generator.shape)}{', frozen' if self.frozen else ''}"

    @abstractmethod
    def _raw_rates(self, generator: Tensor) -> Rates:
        """Return alpha and beta as the generator holds them, before any bound."""

    @abstractmethod
    def _evolve(self, z: Tensor, rates: Rates, dt: Tensor) -> Tensor:
        """Return exp(A·dt) z for dt of shape () or (B,)."""


class KoopmanOperator(LevelOperator):
    """Independent 2x2 blocks [[alpha, -beta], [beta, alpha]] at every place of a level, in pairs of channels.

    The first half of `generator` along channels is alpha, the second is beta.

    Raises:
        ValueError: for an odd number of channels, or an unknown pairing.
    Source: HKD, section 3 and appendix D.4 (real parts in the first half of the vector, imaginary parts in the
        second). Which channels form a pair is not stated: `pairing`.
    """

    def __init__(
        self,
        channels: int,
        height: int,
        width: int,
        *,
        pairing: Pairing = "half",
        name: str = "level",
        span: float = 1.0,
        bounds: Bounds = Bounds(),  # noqa: B008 (immutable)
        frozen: bool = False,
    ) -> None:
        check_pairing(pairing)
        if channels % 2:
            raise ValueError(
                f"koopman.{name}: {channels} channels cannot be paired into 2x2 blocks. Choose model_channels and "
                "channel_mult so that every level has an even number of channels."
            )
        super().__init__((channels, height, width), name=name, span=span, bounds=bounds, frozen=frozen)
        self.pairing: Pairing = pairing

    def energy(self, z: Tensor) -> Tensor:
        u, v = split_pairs(z, self.pairing)
        return u.square() + v.square()

    def project(self, z: Tensor, keep: Tensor) -> Tensor:
        keep = keep[None].to(z.dtype)
        return z * join_pairs(keep, keep, self.pairing)

    def _raw_rates(self, generator: Tensor) -> Rates:
        return Rates(*generator.chunk(2, dim=0))

    def _evolve(self, z: Tensor, rates: Rates, dt: Tensor) -> Tensor:
        return evolve_fast(z, rates.alpha, rates.beta, dt, self.pairing)


def _check_loaded(operator: nn.Module, _incompatible: Any) -> None:
    assert isinstance(operator, LevelOperator)
    operator.check()
