# The score before training under every reading of the paper. configs/studies/fingerprint.yaml
rule readings:
    input:
        WORK.inputs("readings"),
    output:
        **WORK.outputs("readings"),
    log:
        WORK.log("readings"),
    benchmark:
        WORK.benchmark("readings")
    threads: 1
    resources:
        **WORK.resources("readings"),
    params:
        digest=WORK.digest("readings"),
    shell:
        ". {resources.environment:q};"
        " exec hkd readings --expect-digest {params.digest:q} 2> {log:q}"


rule fingerprint:
    input:
        WORK.inputs("fingerprint"),
    output:
        **WORK.outputs("fingerprint"),
    log:
        WORK.log("fingerprint"),
    benchmark:
        WORK.benchmark("fingerprint")
    localrule: True
    resources:
        **WORK.resources("fingerprint"),
    params:
        digest=WORK.digest("fingerprint"),
    shell:
        ". {resources.environment:q};"
        " exec hkd fingerprint --expect-digest {params.digest:q} 2> {log:q}"
