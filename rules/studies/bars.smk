# What was measured against the quality bars of the benchmark. configs/studies/bars.yaml
rule bars:
    input:
        WORK.inputs("bars"),
    output:
        **WORK.outputs("bars"),
    log:
        WORK.log("bars"),
    benchmark:
        WORK.benchmark("bars")
    threads: 1
    resources:
        **WORK.resources("bars"),
    params:
        digest=WORK.digest("bars"),
    shell:
        ". {resources.environment:q};"
        " exec hkd bars --expect-digest {params.digest:q} 2> {log:q}"
