# Generated images, one file for each number of evaluations.
rule sample:
    input:
        WORK.inputs("sample"),
    output:
        **WORK.outputs("sample"),
    log:
        WORK.log("sample"),
    benchmark:
        WORK.benchmark("sample")
    threads: 1
    resources:
        **WORK.resources("sample"),
    params:
        digest=WORK.digest("sample"),
    shell:
        ". {resources.environment:q};"
        " exec hkd sample {wildcards.dataset:q} {wildcards.group:q}/{wildcards.method:q} --nfe {wildcards.nfe:q}"
        " --seed {wildcards.seed:q} --expect-digest {params.digest:q} 2> {log:q}"
