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
BELOW = (("sigma_min", "sigma_max"), ("evaluation_sigma_min", "sigma_max"), ("beta_first", "beta_last"),
         ("lowest", "highest"))  # fmt: skip


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
    if name in SIGNED:
        return ""
    if ABOVE_ZERO.fullmatch(name) and number <= 0:
        return "must be above 0"
    if number < 0:
        return "must not be negative"
    return "must be at most 1" if name in AT_MOST_ONE and number > 1 else ""


def _numbers(params: Mapping[str, Any], *names: str) -> bool:
    return all(isinstance(params.get(name), int | float) for name in names)
