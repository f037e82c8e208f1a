# Seconds an image of finished runs, and the paper's Table 6. configs/studies/latency.yaml
rule latency:
    input:
        WORK.inputs("latency"),
    output:
        **WORK.outputs("latency"),
    log:
        WORK.log("latency"),
    benchmark:
        WORK.benchmark("latency")
    threads: 1
    resources:
        **WORK.resources("latency"),
    params:
        digest=WORK.digest("latency"),
    shell:
        ". {resources.environment:q};"
        " exec hkd latency {wildcards.dataset:q} {wildcards.group:q}/{wildcards.method:q} --nfe {wildcards.nfe:q}"
        " --seed {wildcards.seed:q} --expect-digest {params.digest:q} 2> {log:q}"


rule latency_table:
    input:
        WORK.inputs("latency_table"),
    output:
        **WORK.outputs("latency_table"),
    log:
        WORK.log("latency_table"),
    benchmark:
        WORK.benchmark("latency_table")
    localrule: True
    resources:
        **WORK.resources("latency_table"),
    params:
        digest=WORK.digest("latency_table"),
    shell:
        ". {resources.environment:q};"
        " exec hkd latency-table --expect-digest {params.digest:q} 2> {log:q}"
