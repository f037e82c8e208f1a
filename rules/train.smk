# Training state lies in {run}/checkpoints, declared nowhere: Snakemake deletes the declared outputs of a failed job,
# and a retried one goes on from its newest checkpoint.
rule train:
    input:
        train_needs,
    output:
        weights=f"{RUN}/weights.safetensors",
        record=f"{RUN}/weights.safetensors.record.json",
        raw=f"{RUN}/raw.safetensors",
        raw_record=f"{RUN}/raw.safetensors.record.json",
        config=f"{RUN}/config.yaml",
        milestones=directory(f"{RUN}/milestones"),
    log:
        f"{RUN}/logs/train.log",
    benchmark:
        f"{RUN}/logs/train.jsonl"
    priority: 5
    threads: 1
    resources:
        gpu=gpus,
        mem_mb=train_memory,
        runtime=train_minutes,
    params:
        digest=train_digest,
        code=train_code,
    shell:
        "exec hkd train {wildcards.dataset} {wildcards.group}/{wildcards.method} --seed {wildcards.seed}"
        " --expect-digest {params.digest} --expect-code {params.code} 2> {log}"
