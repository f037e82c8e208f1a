# Quality over training and over seeds, the paper's Table 5. The logic is in hkd.studies.applications and hkd.studies.stability.table.
rule stability:
    input:
        milestones=f"{RUN}/milestones",
        config=f"{RUN}/config.yaml",
        reference=LAYOUT.reference(),
        extractor=LAYOUT.extractor(role="metric"),
    output:
        metrics=f"{RUN}/metrics/stability.json",
        record=f"{RUN}/metrics/stability.json.record.json",
    log:
        f"{RUN}/logs/stability.log",
    benchmark:
        f"{RUN}/logs/stability.jsonl"
    threads: 1
    resources:
        gpu=gpus,
        mem_mb=4000,
        runtime=240,
    params:
        digest=milestone_digest,
    shell:
        "exec hkd stability {wildcards.dataset} {wildcards.group}/{wildcards.method} --seed {wildcards.seed}"
        " --expect-digest {params.digest} 2> {log}"


rule stability_table:
    input:
        stability_files,
    output:
        table=f"{LAYOUT.table('table5')}.csv",
        record=f"{LAYOUT.table('table5')}.csv.record.json",
    log:
        f"{LAYOUT.root}/logs/table5.log",
    benchmark:
        f"{LAYOUT.root}/logs/table5.jsonl"
    params:
        digest=stability_digest,
    shell:
        "exec hkd stability-table --expect-digest {params.digest} 2> {log}"


rule stability_figure:
    input:
        stability_files,
    output:
        pdf=f"{FIGURES}/stability.pdf",
        png=f"{FIGURES}/stability.png",
        caption=f"{FIGURES}/stability.md",
    log:
        f"{FIGURES}/logs/stability.log",
    benchmark:
        f"{FIGURES}/logs/stability.jsonl"
    params:
        digest=stability_figure_digest,
    shell:
        "exec hkd figure stability --out {output.pdf} --expect-digest {params.digest} 2> {log}"
