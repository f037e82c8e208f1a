# Quality over training and over seeds: the paper's Table 5.
rule stability:
    input:
        WORK.inputs("stability"),
    output:
        **WORK.outputs("stability"),
    log:
        WORK.log("stability"),
    benchmark:
        WORK.benchmark("stability")
    threads: 1
    resources:
        **WORK.resources("stability"),
    params:
        digest=WORK.digest("stability"),
    shell:
        ". {resources.environment:q};"
        " exec hkd stability {wildcards.dataset:q} {wildcards.group:q}/{wildcards.method:q} --seed {wildcards.seed:q}"
        " --expect-digest {params.digest:q} 2> {log:q}"


rule stability_table:
    input:
        WORK.inputs("stability_table"),
    output:
        **WORK.outputs("stability_table"),
    log:
        WORK.log("stability_table"),
    benchmark:
        WORK.benchmark("stability_table")
    localrule: True
    resources:
        **WORK.resources("stability_table"),
    params:
        digest=WORK.digest("stability_table"),
    shell:
        ". {resources.environment:q};"
        " exec hkd stability-table --expect-digest {params.digest:q} 2> {log:q}"


rule stability_figure:
    input:
        WORK.inputs("stability_figure"),
    output:
        **WORK.outputs("stability_figure"),
    log:
        WORK.log("stability_figure"),
    benchmark:
        WORK.benchmark("stability_figure")
    localrule: True
    resources:
        **WORK.resources("stability_figure"),
    params:
        digest=WORK.digest("stability_figure"),
    shell:
        ". {resources.environment:q};"
        " exec hkd figure stability --out {output.pdf:q} --expect-digest {params.digest:q} 2> {log:q}"
