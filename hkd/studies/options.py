"""Options of commands that work on pictures, and what their figures say of the run that they show."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from hkd.plan.runs import Plan
    from hkd.plan.work import Work

ImageOption = Annotated[
    list[Path] | None,
    typer.Option(help="A picture of yours, or an .npy in uint8 or [-1, 1], as large as the run's; repeatable."),
]
OutOption = Annotated[Path, typer.Option(help="What to write: .png shows the results, .npz holds all arrays.")]


def shown_run(plan: Plan, work: Work, dataset: str, method: str, seed: int) -> dict[str, Any]:
    """Return what a caption says of a run: its title, data set, weights and seed."""
    from hkd.store.records import recorded_digest

    weights = recorded_digest(work.input("weights"))[:12]
    return {
        "run": plan.title(dataset, method),
        "dataset": plan.dataset(dataset).title,
        "checkpoint": f"benchmark {plan.benchmark.benchmark}, averaged weights {weights}",
        "seed": seed,
    }
