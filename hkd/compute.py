"""How torch computes: the one place that sets its switches, for every stage, before any of its work.

torch's own defaults differ by version and card: convolutions in TF32 (10 bits of a factor) unless told otherwise, sums
of half-precision products in half precision. Nothing here is left to them.
"""

from __future__ import annotations

import os
from typing import Any

import torch

from hkd.koopman import piecewise
from hkd.settings.numerics import Compute
from hkd.settings.origins import ConfigError

TENSOR_CORES = (8, 0)  # compute capability from which a card has TF32 and bfloat16


def settle(compute: Compute, device: torch.device, *, training: bool = False) -> dict[str, Any]:
    """Set every switch of torch that changes numbers or speed, and return what the record says of them.

    Args:
        device: on which the work will run.
        training: whether it is one, whose precision is `compute.precision`; else it is that of evaluations.
    Raises:
        ConfigError: the card has no arithmetic of that precision.
    """
    precision = compute.precision if training else compute.evaluation
    piecewise.limit_to(compute.evolution_mb << 20)
    if device.type == "cuda":
        _require(precision, device)
        torch.cuda.set_device(
            device.index or 0
        )  # what names no device, as an exchange between processes, means this one
    tf32 = precision == "tf32"
    # of float32 products: TF32 on a GPU, bfloat16 on some CPUs; "highest" is float32 itself
    torch.set_float32_matmul_precision("high" if tf32 else "highest")
    torch.backends.cudnn.allow_tf32 = tf32
    for reduced in ("allow_fp16_reduced_precision_reduction", "allow_bf16_reduced_precision_reduction"):
        setattr(torch.backends.cuda.matmul, reduced, False)
    torch.backends.cudnn.deterministic = compute.deterministic
    # the fastest algorithm is tried out by shape: whichever wins, it may be another next time
    torch.backends.cudnn.benchmark = not compute.deterministic
    if compute.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # without it torch refuses its own products
    if torch.are_deterministic_algorithms_enabled() != compute.deterministic:  # the call loads torch's compiler
        torch.use_deterministic_algorithms(compute.deterministic)
    return {"precision": precision, "compile": training and compute.compile, **switches()}


def switches() -> dict[str, Any]:
    """Return the state of all those switches, as torch has them now."""
    return {
        "matmul_precision": torch.get_float32_matmul_precision(),
        "cudnn_tf32": torch.backends.cudnn.allow_tf32,
        "cudnn_benchmark": torch.backends.cudnn.benchmark,
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "threads": torch.get_num_threads(),
    }


def _require(precision: str, device: torch.device) -> None:
    if precision != "fp32" and (found := torch.cuda.get_device_capability(device)) < TENSOR_CORES:
        name, key = torch.cuda.get_device_name(device), "compute.precision" if precision == "bf16" else "compute"
        raise ConfigError(
            f"{key}: {precision} needs a card of compute capability 8.0 or more, {device} is {name} with "
            f"{found[0]}.{found[1]}; set fp32"
        )
