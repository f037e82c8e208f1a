rule tables:
    input:
        [f"{LAYOUT.table(name)}.csv" for name in PLAN.tables],
        f"{LAYOUT.table('table5')}.csv",


rule figures:
    input:
        f"{FIGURES}/samples.pdf",
        f"{FIGURES}/ablations.pdf",
        f"{FIGURES}/framework.pdf",
        f"{FIGURES}/trajectories.pdf",
        f"{FIGURES}/editing.pdf",
        f"{FIGURES}/inpainting.pdf",
        f"{FIGURES}/stability.pdf",


rule table:
    input:
        table_metrics,
    output:
        csv=f"{LAYOUT.table()}.csv",
        csv_record=f"{LAYOUT.table()}.csv.record.json",
        markdown=f"{LAYOUT.table()}.md",
        markdown_record=f"{LAYOUT.table()}.md.record.json",
    log:
        f"{LAYOUT.root}/logs/{{table}}.log",
    benchmark:
        f"{LAYOUT.root}/logs/{{table}}.jsonl"
    params:
        digest=table_digest,
    shell:
        "exec hkd table {wildcards.table} --expect-digest {params.digest} 2> {log}"


rule samples_figure:
    input:
        PLAN.samples("table1"),
        PLAN.metrics("table1"),
    output:
        pdf=f"{FIGURES}/samples.pdf",
        png=f"{FIGURES}/samples.png",
        caption=f"{FIGURES}/samples.md",
    log:
        f"{FIGURES}/logs/samples.log",
    benchmark:
        f"{FIGURES}/logs/samples.jsonl"
    params:
        digest=PLAN.figure_digest("samples", "table1"),
    shell:
        "exec hkd figure samples table1 --out {output.pdf} --expect-digest {params.digest} 2> {log}"


rule ablations_figure:
    input:
        PLAN.metrics("table3"),
    output:
        pdf=f"{FIGURES}/ablations.pdf",
        png=f"{FIGURES}/ablations.png",
        caption=f"{FIGURES}/ablations.md",
    log:
        f"{FIGURES}/logs/ablations.log",
    benchmark:
        f"{FIGURES}/logs/ablations.jsonl"
    params:
        digest=PLAN.figure_digest("bars", "table3"),
    shell:
        "exec hkd figure ablations table3 --out {output.pdf} --expect-digest {params.digest} 2> {log}"


rule trajectory_error:
    input:
        weights=f"{RUN}/weights.safetensors",
        config=f"{RUN}/config.yaml",
        trajectories=f"{LAYOUT.trajectories(name=HELD_OUT)}/manifest.json",
    output:
        errors=f"{RUN}/metrics/trajectory_error.json",
        record=f"{RUN}/metrics/trajectory_error.json.record.json",
    log:
        f"{RUN}/logs/trajectory_error.log",
    benchmark:
        f"{RUN}/logs/trajectory_error.jsonl"
    threads: 1
    resources:
        gpu=gpus,
        mem_mb=4000,
        runtime=60,
    params:
        code=metrics_code,
    shell:
        "exec hkd trajectory-error {wildcards.dataset} {wildcards.group}/{wildcards.method}"
        " --seed {wildcards.seed} --expect-code {params.code} 2> {log}"


rule error_table:
    input:
        [path for paths in PLAN.trajectory_errors().values() for path in paths],
    output:
        table=f"{LAYOUT.root}/trajectory_error.csv",
        record=f"{LAYOUT.root}/trajectory_error.csv.record.json",
    log:
        f"{LAYOUT.root}/logs/trajectory_error.log",
    benchmark:
        f"{LAYOUT.root}/logs/trajectory_error.jsonl"
    shell:
        "exec hkd error-table 2> {log}"


rule bars:
    input:
        hkd.studies.bars.plan.inputs(PLAN),
    output:
        table=f"{LAYOUT.root}/bars.csv",
        record=f"{LAYOUT.root}/bars.csv.record.json",
    log:
        f"{LAYOUT.root}/logs/bars.log",
    benchmark:
        f"{LAYOUT.root}/logs/bars.jsonl"
    params:
        digest=hkd.studies.bars.plan.table_digest(PLAN),
    shell:
        "exec hkd bars --expect-digest {params.digest} 2> {log}"
