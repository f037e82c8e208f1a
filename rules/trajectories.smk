rule shard:
    input:
        teacher_weights,
    output:
        shard=f"{LAYOUT.trajectories()}/shard{{shard}}.npy",
        record=f"{LAYOUT.trajectories()}/shard{{shard}}.npy.record.json",
    log:
        f"{LAYOUT.trajectories()}/logs/shard{{shard}}.log",
    benchmark:
        f"{LAYOUT.trajectories()}/logs/shard{{shard}}.jsonl"
    priority: 10
    threads: 1
    resources:
        gpu=gpus,
        mem_mb=4000,
        runtime=240,
    params:
        digest=trajectory_digest,
    shell:
        "exec hkd trajectories {wildcards.dataset} {wildcards.trajectories} --shard {wildcards.shard}"
        " --expect-digest {params.digest} 2> {log}"


rule manifest:
    input:
        shards,
    output:
        manifest=f"{LAYOUT.trajectories()}/manifest.json",
        record=f"{LAYOUT.trajectories()}/manifest.json.record.json",
    log:
        f"{LAYOUT.trajectories()}/logs/manifest.log",
    benchmark:
        f"{LAYOUT.trajectories()}/logs/manifest.jsonl"
    params:
        digest=trajectory_digest,
    shell:
        "exec hkd trajectories {wildcards.dataset} {wildcards.trajectories} --expect-digest {params.digest} 2> {log}"
