# The matched comparison: every one-step method, as many evaluations of its own networks. configs/studies/budget.yaml
rule budget_curve:
    input:
        WORK.inputs("budget_curve"),
    output:
        **WORK.outputs("budget_curve"),
    log:
        WORK.log("budget_curve"),
    benchmark:
        WORK.benchmark("budget_curve")
    threads: 1
    resources:
        **WORK.resources("budget_curve"),
    params:
        digest=WORK.digest("budget_curve"),
    shell:
        ". {resources.environment:q};"
        " exec hkd budget-curve {wildcards.dataset:q} {wildcards.group:q}/{wildcards.method:q} --seed {wildcards.seed:q}"
        " --expect-digest {params.digest:q} 2> {log:q}"


rule budget:
    input:
        WORK.inputs("budget"),
    output:
        **WORK.outputs("budget"),
    log:
        WORK.log("budget"),
    benchmark:
        WORK.benchmark("budget")
    localrule: True
    resources:
        **WORK.resources("budget"),
    params:
        digest=WORK.digest("budget"),
    shell:
        ". {resources.environment:q};"
        " exec hkd budget --out {output.pdf:q} --expect-digest {params.digest:q} 2> {log:q}"
