# Stored solutions of a teacher's ODE: shards, and the manifest that lists them.
rule shard:
    input:
        WORK.inputs("shard"),
    output:
        **WORK.outputs("shard"),
    log:
        WORK.log("shard"),
    benchmark:
        WORK.benchmark("shard")
    priority: 10
    threads: 1
    resources:
        **WORK.resources("shard"),
    params:
        digest=WORK.digest("shard"),
    shell:
        ". {resources.environment:q};"
        " exec hkd trajectories {wildcards.dataset:q} {wildcards.trajectories:q} --shard {wildcards.shard:q}"
        " --expect-digest {params.digest:q} 2> {log:q}"


rule manifest:
    input:
        WORK.inputs("manifest"),
    output:
        **WORK.outputs("manifest"),
    log:
        WORK.log("manifest"),
    benchmark:
        WORK.benchmark("manifest")
    localrule: True
    resources:
        **WORK.resources("manifest"),
    params:
        digest=WORK.digest("manifest"),
    shell:
        ". {resources.environment:q};"
        " exec hkd trajectories {wildcards.dataset:q} {wildcards.trajectories:q} --expect-digest {params.digest:q} 2> {log:q}"
