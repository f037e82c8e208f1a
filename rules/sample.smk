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
        "exec hkd sample {wildcards.dataset} {wildcards.group}/{wildcards.method} --nfe {wildcards.nfe}"
        " --seed {wildcards.seed} --expect-digest {params.digest} 2> {log}"
