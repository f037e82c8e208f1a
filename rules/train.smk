# Training state lies in {run}/checkpoints, declared nowhere: Snakemake deletes the declared outputs of a failed job,
# and a retried one goes on from its newest checkpoint. What a rerun replaces is moved to {run}/superseded.
rule train:
    input:
        WORK.inputs("train"),
    output:
        **WORK.outputs("train"),
    log:
        WORK.log("train"),
    benchmark:
        WORK.benchmark("train")
    priority: 5
    threads: 1
    resources:
        **WORK.resources("train"),
    params:
        digest=WORK.digest("train"),
    shell:
        ". {resources.environment:q};"
        " exec hkd train {wildcards.dataset:q} {wildcards.group:q}/{wildcards.method:q} --seed {wildcards.seed:q}"
        " --expect-digest {params.digest:q} 2> {log:q}"
