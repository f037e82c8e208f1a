# Samples beside their nearest training images. configs/studies/nearest.yaml
rule nearest:
    input:
        WORK.inputs("nearest"),
    output:
        **WORK.outputs("nearest"),
    log:
        WORK.log("nearest"),
    benchmark:
        WORK.benchmark("nearest")
    threads: 1
    resources:
        **WORK.resources("nearest"),
    params:
        digest=WORK.digest("nearest"),
    shell:
        ". {resources.environment:q};"
        " exec hkd nearest --expect-digest {params.digest:q} 2> {log:q}"
