# What a run makes of every state of a teacher's trajectories. configs/studies/trajectories.yaml
rule states:
    input:
        WORK.inputs("states"),
    output:
        **WORK.outputs("states"),
    log:
        WORK.log("states"),
    benchmark:
        WORK.benchmark("states")
    threads: 1
    resources:
        **WORK.resources("states"),
    params:
        digest=WORK.digest("states"),
    shell:
        ". {resources.environment:q};"
        " exec hkd trajectory {wildcards.dataset:q} {wildcards.group:q}/{wildcards.method:q} --seed {wildcards.seed:q}"
        " --out {output.arrays:q} --expect-digest {params.digest:q} 2> {log:q}"


rule trajectories_figure:
    input:
        WORK.inputs("trajectories_figure"),
    output:
        **WORK.outputs("trajectories_figure"),
    log:
        WORK.log("trajectories_figure"),
    benchmark:
        WORK.benchmark("trajectories_figure")
    localrule: True
    resources:
        **WORK.resources("trajectories_figure"),
    params:
        digest=WORK.digest("trajectories_figure"),
    shell:
        ". {resources.environment:q};"
        " exec hkd figure trajectories --out {output.pdf:q} --expect-digest {params.digest:q} 2> {log:q}"
