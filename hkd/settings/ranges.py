"""Which numbers a parameter of a method may be, told by its name: the classes check what only they know."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

SIGNED = frozenset({"p_mean", "c", "operator_init"})  # a mean of logarithms, a shift, an initial exponent
ABOVE_ZERO = re.compile(
    r"sigma_(min|max|data)|evaluation_sigma_min|rho|p_std|[ar]tol|t_(min|rate|margin)|snr|huber|[kqb]|beta_(first|last)"
    r"|s[01]|points|first_segments|.*_(steps|width|clamp|bound|scale)"
)
AT_MOST_ONE = frozenset({"mu0", "lowest", "highest", "augment", "t_min", "t_margin"})
AT_MOST = (  # far above what any source uses, and far below what fills a memory or a lifetime
    (re.compile(r"n_intermediate|points|levels|discriminator_width"), 1_000),
    (re.compile(r"s[01]|diffusion_steps|first_segments"), 1_000_000),
    (re.compile(r"stage_steps"), 1_000_000_000),
    (re.compile(r"rho"), 1_000),
    (re.compile(r".*"), 1e9),
)
BELOW = (("sigma_min", "sigma_max"), ("evaluation_sigma_min", "sigma_max"), ("beta_first", "beta_last"),
         ("lowest", "highest"))  # fmt: skip
NETWORK = {"model_channels": 4096, "channel_mult": 64, "num_blocks": 100, "channel_mult_emb": 64, "augment_dim": 4096,
           "latent_size": 1_000_000, "fourier_scale": 1e6, "sigma_data": 1e6, "sigma_min": 1e6,
           "attn_resolutions": 4096}  # fmt: skip


def network_problems(network: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the name of every setting of a network that no machine could hold, and why."""
    for name, most in NETWORK.items():
        found = network.get(name)
        numbers = found if isinstance(found, list | tuple) else (found,)
        if any(number is not None and number > most for number in numbers):
            yield name, f"must be at most {most:,.0f}"


def problems(params: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the name of every parameter whose number cannot be, and why."""
    outside = set()
    for name, value in params.items():
        for number in value if isinstance(value, list | tuple) else (value,):
            if isinstance(number, int | float) and not isinstance(number, bool) and (why := _outside(name, number)):
                outside.add(name)
                yield name, why
                break
    for low, high in BELOW:
        if not {low, high} & outside and _numbers(params, low, high) and params[low] >= params[high]:
            yield low, f"must be below {high} {params[high]:g}"
    if not {"s0", "s1"} & outside and _numbers(params, "s0", "s1") and params["s0"] > params["s1"]:
        yield "s0", f"must not be above s1 {params['s1']:g}"


def _outside(name: str, number: float) -> str:
    most = next(limit for names, limit in AT_MOST if names.fullmatch(name))
    if abs(number) > most:
        return f"must be at most {most:,.0f}"
    if name in SIGNED:
        return ""
    if ABOVE_ZERO.fullmatch(name) and number <= 0:
        return "must be above 0"
    if number < 0:
        return "must not be negative"
    return "must be at most 1" if name in AT_MOST_ONE and number > 1 else ""


def _numbers(params: Mapping[str, Any], *names: str) -> bool:
    return all(isinstance(params.get(name), int | float) for name in names)
