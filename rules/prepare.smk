# Images of every data set, and the feature networks that are made of them.
rule prepare:
    input:
        WORK.inputs("prepare"),
    output:
        **WORK.outputs("prepare"),
    log:
        WORK.log("prepare"),
    benchmark:
        WORK.benchmark("prepare")
    threads: 1
    resources:
        **WORK.resources("prepare"),
    params:
        digest=WORK.digest("prepare"),
    shell:
        ". {resources.environment:q};"
        " exec hkd prepare {wildcards.dataset:q} {wildcards.split:q} --expect-digest {params.digest:q} 2> {log:q}"


rule extractor:
    input:
        WORK.inputs("extractor"),
    output:
        **WORK.outputs("extractor"),
    log:
        WORK.log("extractor"),
    benchmark:
        WORK.benchmark("extractor")
    threads: 1
    resources:
        **WORK.resources("extractor"),
    params:
        digest=WORK.digest("extractor"),
    shell:
        ". {resources.environment:q};"
        " exec hkd extractor {wildcards.dataset:q} {wildcards.role:q} --expect-digest {params.digest:q} 2> {log:q}"
