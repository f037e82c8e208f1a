rule prepare:
    input:
        source_files,
    output:
        images=f"{LAYOUT.data()}/images.npy",
        record=f"{LAYOUT.data()}/images.npy.record.json",
        manifest=f"{LAYOUT.data()}/manifest.json",
    log:
        f"{LAYOUT.data()}/logs/prepare.log",
    benchmark:
        f"{LAYOUT.data()}/logs/prepare.jsonl"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        digest=data_digest,
    shell:
        "exec hkd prepare {wildcards.dataset} {wildcards.split} --expect-digest {params.digest} 2> {log}"


rule extractor:
    input:
        extractor_needs,
    output:
        weights=LAYOUT.extractor(),
        record=f"{LAYOUT.extractor()}.record.json",
    log:
        f"{LAYOUT.root}/{{dataset}}/extractors/{{role}}/logs/extractor.log",
    benchmark:
        f"{LAYOUT.root}/{{dataset}}/extractors/{{role}}/logs/extractor.jsonl"
    threads: 1
    resources:
        gpu=gpus,
        mem_mb=4000,
        runtime=120,
    params:
        digest=extractor_digest,
    shell:
        "exec hkd extractor {wildcards.dataset} {wildcards.role} --expect-digest {params.digest} 2> {log}"
