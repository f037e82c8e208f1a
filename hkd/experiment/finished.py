"""Finished runs as live objects: their methods with trained weights, and what later runs start from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hkd.experiment.build import Parts, method
from hkd.experiment.record import read_run
from hkd.methods.base import Method
from hkd.store.artifacts import load_weights
from hkd.store.refusals import ArtifactError


def base(weights: Path) -> Any:
    """Return the finished run whose weights lie at `weights`, as a method in evaluation mode."""
    run, shape, about = read_run(weights.with_name("config.yaml"))
    built = method(run, shape, seed=about["seed"], parts=None)
    load(built, weights)
    return built.eval().requires_grad_(False)


def load(built: Method, weights: Path) -> None:
    """Load finished weights into a method.

    Raises:
        ArtifactError: they are weights of another configuration.
    """
    state = load_weights(weights)
    try:
        built.load_artefact(state)
    except (RuntimeError, KeyError, TypeError) as error:
        first = str(error).splitlines()[1].strip() if "\n" in str(error) else str(error)
        raise ArtifactError(
            f"{weights}: not the weights of the config beside it ({first}); train the run again"
        ) from None


def parts(init: Path | None = None, teacher: Path | None = None, distance: Any = None, grader: Any = None) -> Parts:
    """Return what a method starts from, given the weights of the runs that it starts from and learns from."""
    state = base(init).student.state_dict() if init else None
    return Parts(state, base(teacher).student if teacher else None, distance, grader)
