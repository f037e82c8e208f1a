"""The choices that the paper leaves open, one key each; the default is what we believe the paper does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin, get_type_hints

from hkd.koopman.bounds import Bounds
from hkd.koopman.evolution import Pairing
from hkd.koopman.timemap import TimeMap, TimeMapName

Levels = Literal["per_skip", "per_resolution", "bottleneck_only", "finest_only", "skips_dropped"]


@dataclass(frozen=True, kw_only=True)
class KoopmanSettings:
    """How an EDM network becomes an HKD network.

    Attributes:
        sigma_min, sigma_max: eps and T.
        levels: which encoder outputs evolve. `per_skip`: each by an operator of its own. `per_resolution`: outputs
            of equal shape share one. `bottleneck_only`: the last output alone; the others pass unchanged.
            `finest_only`: the outputs at full resolution; the others pass unchanged. `skips_dropped`: as
            `bottleneck_only`, and the decoder receives zeros for the others.
        bottleneck_operator: the bottleneck is the last encoder output; its two uses, trunk and skip, evolve by one
            operator (`shared`) or by one each (`separate`).
        coupling: `none`: blocks act on places independently. `fourier`: on spatial frequencies (see `coupled`).
        pairing: which channels form a block, k and k + K (`half`) or 2k and 2k + 1 (`adjacent`).
        time_map: the time in which A is constant; `rho` is the exponent of the map of that name.
        encoder_sigma: the noise level that the encoder is told, the `input`'s or a `constant` (sigma_max).
        decoder_sigma: the noise level that the decoder is told: `sigma_min`, `sigma_max`, that of the encoder's
            input (`same_as_input`), or that of the latents it decodes (`latent_time`).
        output_wrapper: the image is F (`raw`), sigma_data·F (`scaled`; sqrt(sigma^2 + sigma_data^2)·F at the level
            of the latents under `decoder_sigma: latent_time`), c_skip x + c_out F (`edm`), or `skip`: r x +
            (1 - r) sigma_data·F, with x what was encoded and r the noise level of the latents over that of x: F is an
            image at every time, and the output the state on the straight line to it.
        conditioning: encoder and decoder embed noise level and class by `shared` or `separate` weights.
        alpha_clamp, alpha_bound, radius_bound: limits on exponents, see `bounds.Bounds`.
        frozen: keep A = 0, the ablation without Koopman dynamics.
        operator_init: standard deviation of the rates times s(T) before training; one draw for all seeds, and its
            opposite for a negative number.
        operator_lr_scale: learning rate of A over that of the network.
    Raises:
        ValueError: naming the key, its value and the known values.
    Source: HKD; sections 3 and appendices B, D leave each of these open or contradict themselves.
    """

    sigma_min: float
    sigma_max: float
    rho: float = 7.0
    levels: Levels = "per_skip"
    bottleneck_operator: Literal["shared", "separate"] = "shared"
    coupling: Literal["none", "fourier"] = "none"
    pairing: Pairing = "half"
    time_map: TimeMapName = "sigma"
    encoder_sigma: Literal["input", "constant"] = "input"
    decoder_sigma: Literal["sigma_min", "sigma_max", "same_as_input", "latent_time"] = "sigma_min"
    output_wrapper: Literal["scaled", "raw", "edm", "skip"] = "scaled"
    conditioning: Literal["shared", "separate"] = "shared"
    alpha_clamp: float | None = None
    alpha_bound: float | None = None
    radius_bound: float | None = None
    frozen: bool = False
    operator_init: float = 0.0
    operator_lr_scale: float = 1.0

    def __post_init__(self) -> None:
        check_choices(self)
        _ = self.bounds, self.time  # made once here, so that a bad number is refused where it was set
        if self.frozen and self.operator_init:
            raise ValueError(f"operator_init: {self.operator_init:g} is not the 0 at which 'frozen: true' holds A")

    @property
    def decodes_states(self) -> bool:
        """Whether decoding latents on the way is meant to give the state of that time, not the clean image."""
        return self.output_wrapper == "skip" or self.decoder_sigma == "latent_time"

    @property
    def bounds(self) -> Bounds:
        """Limits on the exponents of every level."""
        return Bounds(self.alpha_clamp, self.alpha_bound, self.radius_bound)

    @property
    def time(self) -> TimeMap:
        """Time map over [sigma_min, sigma_max]."""
        return TimeMap(self.time_map, sigma_min=self.sigma_min, sigma_max=self.sigma_max, rho=self.rho)


def evolving_levels(outputs: Sequence[tuple[str, int, int, int]], levels: str) -> dict[str, str]:
    """Return the level to which each encoder output that evolves belongs, by output name."""
    if levels in ("bottleneck_only", "skips_dropped"):
        outputs = outputs[-1:]
    if levels == "finest_only":
        outputs = [output for output in outputs if output[2] == outputs[0][2]]
    if levels == "per_resolution":
        return {name: f"{height}x{width}x{channels}" for name, channels, height, width in outputs}
    return {name: name for name, *_ in outputs}


def check_choices(settings: Any) -> None:
    """Raise unless every field of a dataclass whose type lists its values has one of them.

    Raises:
        ValueError: naming the key, its value and the known values.
    """
    for key, hint in get_type_hints(type(settings)).items():
        if get_origin(hint) is Literal and getattr(settings, key) not in get_args(hint):
            known = ", ".join(map(str, get_args(hint)))
            raise ValueError(f"{key}: '{getattr(settings, key)}' is not one of {known}.")
