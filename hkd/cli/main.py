"""The parser: one file of commands per file of rules."""

from __future__ import annotations

import typer

from hkd.cli import (
    ambiguity,
    budget,
    calibrate,
    distance,
    editing,
    fetch,
    figure,
    interpretability,
    ports,
    prepare,
    quality,
    references,
    report,
    restoring,
    sample,
    score,
    settings,
    stability,
    train,
    trajectories,
)

app = typer.Typer(
    name="hkd",
    help="Reproduce Hierarchical Koopman Diffusion and its baselines, stage by stage.\n\n"
    "Each command is one stage of the workflow: `snakemake --cores all results/table1.csv` runs them all.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

for module in (
    prepare,
    trajectories,
    train,
    sample,
    score,
    report,
    editing,
    restoring,
    stability,
    figure,
    interpretability,
    quality,
    calibrate,
    references,
    ports,
    distance,
    ambiguity,
    budget,
    fetch,
    settings,
):
    module.register(app)
