rule sample:
    input:
        weights=f"{RUN}/weights.safetensors",
        config=f"{RUN}/config.yaml",
    output:
        samples=f"{RUN}/samples/nfe{{nfe}}.npz",
        record=f"{RUN}/samples/nfe{{nfe}}.npz.record.json",
    log:
        f"{RUN}/logs/sample-nfe{{nfe}}.log",
    benchmark:
        f"{RUN}/logs/sample-nfe{{nfe}}.jsonl"
    threads: 1
    resources:
        gpu=gpus,
        mem_mb=4000,
        runtime=240,
    params:
        digest=sample_digest,
    shell:
        "exec hkd sample {wildcards.dataset} {wildcards.group}/{wildcards.method} --nfe {wildcards.nfe}"
        " --seed {wildcards.seed} --expect-digest {params.digest} 2> {log}"
