# One-step editing of a finished run of HKD: a band of modes in a region. configs/studies/editing.yaml
rule edit:
    input:
        WORK.inputs("edit"),
    output:
        **WORK.outputs("edit"),
    log:
        WORK.log("edit"),
    benchmark:
        WORK.benchmark("edit")
    threads: 1
    resources:
        **WORK.resources("edit"),
    params:
        digest=WORK.digest("edit"),
    shell:
        ". {resources.environment:q};"
        " exec hkd edit {wildcards.dataset:q} {wildcards.group:q}/{wildcards.method:q} --seed {wildcards.seed:q}"
        " --out {output.arrays:q} --expect-digest {params.digest:q} 2> {log:q}"


rule editing_figure:
    input:
        WORK.inputs("editing_figure"),
    output:
        **WORK.outputs("editing_figure"),
    log:
        WORK.log("editing_figure"),
    benchmark:
        WORK.benchmark("editing_figure")
    localrule: True
    resources:
        **WORK.resources("editing_figure"),
    params:
        digest=WORK.digest("editing_figure"),
    shell:
        ". {resources.environment:q};"
        " exec hkd figure editing --out {output.pdf:q} --expect-digest {params.digest:q} 2> {log:q}"
