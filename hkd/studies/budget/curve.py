"""The curve of a method: how far its one-step images are from the reference, at each of its milestones."""

from __future__ import annotations

from typing import Any

from hkd.experiment.quality import MilestoneQuality
from hkd.training.milestones import KeptMilestones


def points(quality: MilestoneQuality, kept: KeptMilestones) -> list[dict[str, Any]]:
    """Return FDn and FD after each step at which weights were kept, by rising step."""
    found = ((step, quality.at(weights)) for step, weights in zip(kept.steps, kept.weights, strict=True))
    return [{"step": step, "fdn": distance.fdn, "fd": distance.distance} for step, distance in found]
