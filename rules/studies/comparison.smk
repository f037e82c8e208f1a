# What was reproduced of what was printed, of the benchmark's tables. After every run `hkd compare` says it of what is there.
rule comparison:
    input:
        WORK.inputs("comparison"),
    output:
        **WORK.outputs("comparison"),
    log:
        WORK.log("comparison"),
    benchmark:
        WORK.benchmark("comparison")
    localrule: True
    resources:
        **WORK.resources("comparison"),
    params:
        digest=WORK.digest("comparison"),
    shell:
        ". {resources.environment:q};"
        " exec hkd compare --expect-digest {params.digest:q} > {log:q} 2>&1"
