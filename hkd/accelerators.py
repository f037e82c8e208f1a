"""What cards can do by their makers' data sheets: dense TFLOP/s in each precision, and memory.

`mfu` is the share of the peak that trainings of this project reached on a card, by precision, where somebody has
measured it. Nobody has yet: every entry is empty, and whoever plans with a share says that it is assumed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Card:
    """A card.

    Attributes:
        name: as it is asked for. reported: what torch calls it contains this.
        tflops: dense peak by precision; a precision that it lacks is absent.
        memory: GB of 10^9 bytes.
        mfu: measured share of the peak, by precision.
    """

    name: str
    reported: str
    tflops: Mapping[str, float]
    memory: float
    mfu: Mapping[str, float] = field(default_factory=dict)


CARDS = {
    card.name: card
    for card in (
        # source: NVIDIA's data sheets of each, without sparsity; fp32 outside of tensor cores
        Card("h200", "H200", {"bf16": 989.0, "tf32": 494.7, "fp32": 67.0}, 141),
        Card("h100", "H100 80GB HBM3", {"bf16": 989.0, "tf32": 494.7, "fp32": 67.0}, 80),
        Card("h100-pcie", "H100 PCIe", {"bf16": 756.0, "tf32": 378.0, "fp32": 51.0}, 80),
        Card("a100", "A100-SXM4-80GB", {"bf16": 312.0, "tf32": 156.0, "fp32": 19.5}, 80),
        Card("a100-40", "A100-SXM4-40GB", {"bf16": 312.0, "tf32": 156.0, "fp32": 19.5}, 40),
        Card("l40s", "L40S", {"bf16": 362.0, "tf32": 183.0, "fp32": 91.6}, 48),
        Card("a10", "A10", {"bf16": 125.0, "tf32": 62.5, "fp32": 31.2}, 24),
        Card("v100", "V100-SXM2-32GB", {"fp32": 15.7}, 32),
    )
}


def card_of(reported: str) -> Card | None:
    """Return the card of the name that torch reports, or None where it is not in the table."""
    return next((card for card in CARDS.values() if card.reported in reported), None)


def peak(reported: str, precision: str) -> float | None:
    """Return the peak (FLOP/s) of a card of this reported name in a precision, or None where it is not known."""
    card = card_of(reported)
    tflops = card.tflops.get(precision) if card else None
    return None if tflops is None else tflops * 1e12
