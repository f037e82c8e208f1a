"""Longer trainings: which go on from the states of a shorter one, and which setting has them begin anew.

A step knows its own number. Where nothing else that it does depends on how many steps there are in all, a training of
N steps is the beginning of one of M > N, to the bit on one CPU thread, and `training.steps` is no part of the name of
its states.
"""

from __future__ import annotations

from hkd.settings.sections import Run
from hkd.settings.signatures import constructor_arguments

FREE = {"lambda1_law": ("constant", "zero")}
"""Values of a key of `params` with which a method does not use its `total_steps`."""


def bound(run: Run) -> str | None:
    """Return the setting by which what a step does depends on how many there are in all, or None: there is none."""
    training = run.training
    if training.schedule != "constant":
        return f"training.schedule {training.schedule}"
    if any(0 < share < 1 for share in training.milestones):
        return "training.milestones, which are shares of all steps"
    if "total_steps" not in constructor_arguments(run.target):
        return None
    if any(run.params.get(key) in values for key, values in FREE.items()):
        return None
    laws = [f"params.{key} {run.params[key]}" for key in FREE if key in run.params]
    return laws[0] if laws else f"the curriculum of {run.target.rpartition('.')[2]}"
