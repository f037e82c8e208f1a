# Is HKD what it says? Closure along trajectories, bands and their factors, agreement of spectra: the logic is in
# hkd.studies.interpretability.plan.
rule spectrum:
    input:
        weights=f"{RUN}/weights.safetensors",
        config=f"{RUN}/config.yaml",
    output:
        arrays=f"{RUN}/spectrum/spectrum.npz",
        record=f"{RUN}/spectrum/spectrum.npz.record.json",
    log:
        f"{RUN}/logs/spectrum.log",
    benchmark:
        f"{RUN}/logs/spectrum.jsonl"
    threads: 1
    resources:
        gpu=gpus,
        mem_mb=4000,
        runtime=60,
    params:
        digest=spectrum_digest,
    shell:
        "exec hkd spectrum {wildcards.dataset} {wildcards.group}/{wildcards.method} --seed {wildcards.seed}"
        " --expect-digest {params.digest} 2> {log}"


rule closure:
    input:
        held_out,
        weights=f"{RUN}/weights.safetensors",
        config=f"{RUN}/config.yaml",
    output:
        errors=f"{RUN}/interpretability/closure.json",
        record=f"{RUN}/interpretability/closure.json.record.json",
    log:
        f"{RUN}/logs/closure.log",
    benchmark:
        f"{RUN}/logs/closure.jsonl"
    threads: 1
    resources:
        gpu=gpus,
        mem_mb=4000,
        runtime=60,
    params:
        digest=closure_digest,
    shell:
        "exec hkd closure {wildcards.dataset} {wildcards.group}/{wildcards.method} --seed {wildcards.seed}"
        " --expect-digest {params.digest} 2> {log}"


rule band_factors:
    input:
        weights=f"{RUN}/weights.safetensors",
        config=f"{RUN}/config.yaml",
        extractor=LAYOUT.extractor(role="metric"),
    output:
        test=f"{RUN}/interpretability/factors-{{order}}.json",
        record=f"{RUN}/interpretability/factors-{{order}}.json.record.json",
    log:
        f"{RUN}/logs/factors-{{order}}.log",
    benchmark:
        f"{RUN}/logs/factors-{{order}}.jsonl"
    threads: 1
    resources:
        gpu=gpus,
        mem_mb=4000,
        runtime=120,
    params:
        digest=factor_digest,
    shell:
        "exec hkd band-factors {wildcards.dataset} {wildcards.group}/{wildcards.method} {wildcards.order}"
        " --seed {wildcards.seed} --expect-digest {params.digest} 2> {log}"


rule agreement:
    input:
        agreement_inputs,
    output:
        pairs=STUDY.agreement_file(),
        record=f"{STUDY.agreement_file()}.record.json",
    log:
        f"{LAYOUT.root}/logs/agreement.log",
    benchmark:
        f"{LAYOUT.root}/logs/agreement.jsonl"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        digest=agreement_digest,
    shell:
        "exec hkd agreement --expect-digest {params.digest} 2> {log}"


rule interpretability:
    input:
        evidence_inputs,
    output:
        table=f"{LAYOUT.root}/interpretability.csv",
        record=f"{LAYOUT.root}/interpretability.csv.record.json",
        text=f"{LAYOUT.root}/interpretability.md",
        text_record=f"{LAYOUT.root}/interpretability.md.record.json",
    log:
        f"{LAYOUT.root}/logs/interpretability.log",
    benchmark:
        f"{LAYOUT.root}/logs/interpretability.jsonl"
    params:
        digest=evidence_digest,
    shell:
        "exec hkd interpretability --expect-digest {params.digest} 2> {log}"


rule spectrum_figure:
    input:
        spectra_file,
    output:
        pdf=f"{FIGURES}/spectrum.pdf",
        png=f"{FIGURES}/spectrum.png",
        caption=f"{FIGURES}/spectrum.md",
    log:
        f"{FIGURES}/logs/spectrum.log",
    benchmark:
        f"{FIGURES}/logs/spectrum.jsonl"
    params:
        digest=spectrum_figure_digest,
    shell:
        "exec hkd figure spectrum --out {output.pdf} --expect-digest {params.digest} 2> {log}"


rule interpretability_figure:
    input:
        evidence_inputs,
    output:
        pdf=f"{FIGURES}/interpretability.pdf",
        png=f"{FIGURES}/interpretability.png",
        caption=f"{FIGURES}/interpretability.md",
    log:
        f"{FIGURES}/logs/interpretability.log",
    benchmark:
        f"{FIGURES}/logs/interpretability.jsonl"
    params:
        digest=interpretability_figure_digest,
    shell:
        "exec hkd figure interpretability --out {output.pdf} --expect-digest {params.digest} 2> {log}"
