# What does an equal search of its settings gain for every live row? Trials are ordinary runs of the group `search`.
rule search:
    input:
        WORK.inputs("search"),
    output:
        **WORK.outputs("search"),
    log:
        WORK.log("search"),
    benchmark:
        WORK.benchmark("search")
    localrule: True
    resources:
        **WORK.resources("search"),
    params:
        digest=WORK.digest("search"),
    shell:
        ". {resources.environment:q};"
        " exec hkd search --expect-digest {params.digest:q} 2> {log:q}"
