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
        "exec hkd trajectory {wildcards.dataset} {wildcards.group}/{wildcards.method} --seed {wildcards.seed}"
        " --out {output.arrays} --expect-digest {params.digest} 2> {log}"


rule trajectories_figure:
    input:
        WORK.inputs("trajectories_figure"),
    output:
        **WORK.outputs("trajectories_figure"),
    log:
        WORK.log("trajectories_figure"),
    benchmark:
        WORK.benchmark("trajectories_figure")
    params:
        digest=WORK.digest("trajectories_figure"),
    shell:
        "exec hkd figure trajectories --out {output.pdf} --expect-digest {params.digest} 2> {log}"


localrules:
    trajectories_figure,
