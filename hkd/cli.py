"""The parser: one file of commands per file of rules."""

from __future__ import annotations

import typer

from hkd.stages import config as settings
from hkd.stages import distance, fetch, figure, ports, prepare, sample, train, trajectories
from hkd.stages import metrics as score
from hkd.stages import reference_distance as references
from hkd.stages import table as report
from hkd.studies.ambiguity import command as ambiguity
from hkd.studies.bars import command as quality
from hkd.studies.budget import command as budget
from hkd.studies.calibration import command as calibrate
from hkd.studies.editing import command as editing
from hkd.studies.inpainting import command as restoring
from hkd.studies.interpretability import command as interpretability
from hkd.studies.stability import command as stability

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
