rule reference:
    input:
        images=reference_images,
        extractors=extractor_files,
    output:
        features=LAYOUT.reference(),
        record=f"{LAYOUT.reference()}.record.json",
    log:
        f"{LAYOUT.root}/{{dataset}}/reference/logs/reference.log",
    benchmark:
        f"{LAYOUT.root}/{{dataset}}/reference/logs/reference.jsonl"
    threads: 1
    resources:
        gpu=gpus,
        mem_mb=8000,
        runtime=120,
    params:
        digest=features_digest,
    shell:
        "exec hkd reference {wildcards.dataset} --expect-digest {params.digest} 2> {log}"


rule features:
    input:
        samples=f"{RUN}/samples/nfe{{nfe}}.npz",
        reference=LAYOUT.reference(),
        extractors=extractor_files,
    output:
        features=f"{RUN}/features/nfe{{nfe}}.npz",
        record=f"{RUN}/features/nfe{{nfe}}.npz.record.json",
    log:
        f"{RUN}/logs/features-nfe{{nfe}}.log",
    benchmark:
        f"{RUN}/logs/features-nfe{{nfe}}.jsonl"
    threads: 1
    resources:
        gpu=gpus,
        mem_mb=4000,
        runtime=60,
    params:
        digest=features_digest,
    shell:
        "exec hkd features {wildcards.dataset} {wildcards.group}/{wildcards.method} --nfe {wildcards.nfe}"
        " --seed {wildcards.seed} --expect-digest {params.digest} 2> {log}"


rule metrics:
    input:
        samples=f"{RUN}/samples/nfe{{nfe}}.npz",
        features=f"{RUN}/features/nfe{{nfe}}.npz",
        weights=f"{RUN}/weights.safetensors",
        reference=LAYOUT.reference(),
    output:
        metrics=f"{RUN}/metrics/nfe{{nfe}}.json",
        record=f"{RUN}/metrics/nfe{{nfe}}.json.record.json",
    log:
        f"{RUN}/logs/metrics-nfe{{nfe}}.log",
    benchmark:
        f"{RUN}/logs/metrics-nfe{{nfe}}.jsonl"
    threads: 1
    resources:
        mem_mb=8000,
        runtime=60,
    params:
        digest=metrics_digest,
    shell:
        "exec hkd metrics {wildcards.dataset} {wildcards.group}/{wildcards.method} --nfe {wildcards.nfe}"
        " --seed {wildcards.seed} --expect-digest {params.digest} 2> {log}"


rule calibration:
    input:
        images=f"{LAYOUT.data(CALIBRATED, PLAN.reference_split(CALIBRATED))}/manifest.json",
        extractors=hkd.plan.scores.extractor_files(PLAN, CALIBRATED),
    output:
        table=f"{LAYOUT.root}/calibration.csv",
        record=f"{LAYOUT.root}/calibration.csv.record.json",
        pdf=f"{FIGURES}/calibration.pdf",
        png=f"{FIGURES}/calibration.png",
        caption=f"{FIGURES}/calibration.md",
    log:
        f"{LAYOUT.root}/logs/calibration.log",
    benchmark:
        f"{LAYOUT.root}/logs/calibration.jsonl"
    threads: 1
    resources:
        gpu=gpus,
        mem_mb=8000,
        runtime=120,
    params:
        dataset=CALIBRATED,
        code=metrics_code,
    shell:
        "exec hkd calibrate {params.dataset} --expect-code {params.code} 2> {log}"
