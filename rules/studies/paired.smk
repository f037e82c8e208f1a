# Does the order of two runs hold, seed by seed? Runs of the benchmark, whose pairs configs/studies/paired.yaml names.
rule paired:
    input:
        WORK.inputs("paired"),
    output:
        **WORK.outputs("paired"),
    log:
        WORK.log("paired"),
    benchmark:
        WORK.benchmark("paired")
    localrule: True
    resources:
        **WORK.resources("paired"),
    params:
        digest=WORK.digest("paired"),
    shell:
        ". {resources.environment:q};"
        " exec hkd paired --expect-digest {params.digest:q} 2> {log:q}"
