# Entry point: `snakemake --cores all results/table1.csv`. One file of rules per stage in rules/.


configfile: "configs/embedded.yaml"


# used with `--sdm apptainer` only; configs/container/hkd.def says how to build it
container: "configs/container/hkd.sif"


include: "rules/runs.smk"
include: "rules/prepare.smk"
include: "rules/trajectories.smk"
include: "rules/train.smk"
include: "rules/sample.smk"
include: "rules/score.smk"
include: "rules/report.smk"
include: "rules/studies.smk"
include: "rules/interpretability.smk"
include: "rules/editing.smk"
include: "rules/stability.smk"
include: "rules/audit.smk"
include: "rules/budget.smk"


localrules:
    all,
    editing_figure,
    inpainting_figure,
    trajectories_figure,
    framework_figure,
    stability_table,
    stability_figure,
    tables,
    figures,
    manifest,
    table,
    samples_figure,
    ablations_figure,
    interpretability,
    spectrum_figure,
    interpretability_figure,
    ambiguity,
    ambiguity_figure,
    budget,


rule all:
    default_target: True
    input:
        rules.tables.input,
        rules.figures.input,


onsuccess:
    shell("hkd show 2> /dev/null || true")  # nothing to show while a table is not made
