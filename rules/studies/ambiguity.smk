# Which of the choices that the paper leaves open matter? Ordinary runs of the group `ambiguity`, whose settings
# configs/studies/ambiguity.yaml holds.
rule ambiguity:
    input:
        WORK.inputs("ambiguity"),
    output:
        **WORK.outputs("ambiguity"),
    log:
        WORK.log("ambiguity"),
    benchmark:
        WORK.benchmark("ambiguity")
    localrule: True
    resources:
        **WORK.resources("ambiguity"),
    params:
        digest=WORK.digest("ambiguity"),
    shell:
        ". {resources.environment:q};"
        " exec hkd ambiguity --expect-digest {params.digest:q} 2> {log:q}"


rule ambiguity_figure:
    input:
        WORK.inputs("ambiguity_figure"),
    output:
        **WORK.outputs("ambiguity_figure"),
    log:
        WORK.log("ambiguity_figure"),
    benchmark:
        WORK.benchmark("ambiguity_figure")
    localrule: True
    resources:
        **WORK.resources("ambiguity_figure"),
    params:
        digest=WORK.digest("ambiguity_figure"),
    shell:
        ". {resources.environment:q};"
        " exec hkd figure ambiguity --out {output.pdf:q} --expect-digest {params.digest:q} 2> {log:q}"
