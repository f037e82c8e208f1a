# Entry point: `snakemake --cores all results/table1.csv`. One file of rules per stage in rules/, one per study in
# rules/studies/; a new study is found by its file.
from pathlib import Path

from snakemake.utils import min_version

min_version("9.19")


# beside this file, wherever the workflow runs
configfile:
    workflow.current_basedir.join("configs/benchmarks/embedded.yaml").get_path_or_uri(
        secret_free=True
    )


# used with `--sdm apptainer` only; container/hkd.def says how to build it
container: "container/hkd.sif"


include: "rules/runs.smk"
include: "rules/prepare.smk"
include: "rules/trajectories.smk"
include: "rules/train.smk"
include: "rules/sample.smk"
include: "rules/score.smk"
include: "rules/report.smk"


for study in sorted(PLAN.studies):

    include: f"rules/studies/{study}.smk"


rule all:
    default_target: True
    input:
        rules.tables.input,
        rules.figures.input,


onstart:
    hkd.launch.begin(workflow, PLAN, MODIFIER, ENVIRONMENT)


onsuccess:
    if WORK.finished_tables():
        shell(". {WORK.environment:q}; hkd show || true")
        if WORK.reproduces():
            # a finished run ends with what it says of the printed numbers
            shell(
                ". {WORK.environment:q}; hkd compare"
                " || echo 'hkd compare failed, and the run has no verdicts; run it by hand' >&2"
            )
