# What a finished run of HKD does to images: editing, inpainting, states over time. The logic is in hkd.studies.applications.
rule edit:
    input:
        restored_images,
        weights=f"{RUN}/weights.safetensors",
        config=f"{RUN}/config.yaml",
        eye=LAYOUT.extractor(role="perceptual"),
    output:
        arrays=f"{RUN}/editing/editing.npz",
        record=f"{RUN}/editing/editing.npz.record.json",
        metrics=f"{RUN}/editing/editing.json",
        metrics_record=f"{RUN}/editing/editing.json.record.json",
    log:
        f"{RUN}/logs/editing.log",
    benchmark:
        f"{RUN}/logs/editing.jsonl"
    threads: 1
    resources:
        gpu=gpus,
        mem_mb=4000,
        runtime=60,
    params:
        digest=editing_digest,
    shell:
        "exec hkd edit {wildcards.dataset} {wildcards.group}/{wildcards.method} --seed {wildcards.seed}"
        " --out {output.arrays} --expect-digest {params.digest} 2> {log}"


rule inpaint:
    input:
        restored_images,
        weights=f"{RUN}/weights.safetensors",
        config=f"{RUN}/config.yaml",
        eye=LAYOUT.extractor(role="perceptual"),
    output:
        arrays=f"{RUN}/inpainting/inpainting.npz",
        record=f"{RUN}/inpainting/inpainting.npz.record.json",
        metrics=f"{RUN}/inpainting/inpainting.json",
        metrics_record=f"{RUN}/inpainting/inpainting.json.record.json",
    log:
        f"{RUN}/logs/inpainting.log",
    benchmark:
        f"{RUN}/logs/inpainting.jsonl"
    threads: 1
    resources:
        gpu=gpus,
        mem_mb=4000,
        runtime=60,
    params:
        digest=inpainting_digest,
    shell:
        "exec hkd inpaint {wildcards.dataset} {wildcards.group}/{wildcards.method} --seed {wildcards.seed}"
        " --out {output.arrays} --expect-digest {params.digest} 2> {log}"


rule states:
    input:
        shown_teacher,
        weights=f"{RUN}/weights.safetensors",
        config=f"{RUN}/config.yaml",
    output:
        arrays=f"{RUN}/trajectories/states.npz",
        record=f"{RUN}/trajectories/states.npz.record.json",
        metrics=f"{RUN}/trajectories/states.json",
        metrics_record=f"{RUN}/trajectories/states.json.record.json",
    log:
        f"{RUN}/logs/states.log",
    benchmark:
        f"{RUN}/logs/states.jsonl"
    threads: 1
    resources:
        gpu=gpus,
        mem_mb=4000,
        runtime=60,
    params:
        digest=states_digest,
    shell:
        "exec hkd trajectory {wildcards.dataset} {wildcards.group}/{wildcards.method} --seed {wildcards.seed}"
        " --out {output.arrays} --expect-digest {params.digest} 2> {log}"


rule editing_figure:
    input:
        editing_file,
    output:
        pdf=f"{FIGURES}/editing.pdf",
        png=f"{FIGURES}/editing.png",
        caption=f"{FIGURES}/editing.md",
    log:
        f"{FIGURES}/logs/editing.log",
    benchmark:
        f"{FIGURES}/logs/editing.jsonl"
    params:
        digest=editing_figure_digest,
    shell:
        "exec hkd figure editing --out {output.pdf} --expect-digest {params.digest} 2> {log}"


rule inpainting_figure:
    input:
        inpainting_file,
    output:
        pdf=f"{FIGURES}/inpainting.pdf",
        png=f"{FIGURES}/inpainting.png",
        caption=f"{FIGURES}/inpainting.md",
    log:
        f"{FIGURES}/logs/inpainting.log",
    benchmark:
        f"{FIGURES}/logs/inpainting.jsonl"
    params:
        digest=inpainting_figure_digest,
    shell:
        "exec hkd figure inpainting --out {output.pdf} --expect-digest {params.digest} 2> {log}"


rule trajectories_figure:
    input:
        states_file,
    output:
        pdf=f"{FIGURES}/trajectories.pdf",
        png=f"{FIGURES}/trajectories.png",
        caption=f"{FIGURES}/trajectories.md",
    log:
        f"{FIGURES}/logs/trajectories.log",
    benchmark:
        f"{FIGURES}/logs/trajectories.jsonl"
    params:
        digest=states_figure_digest,
    shell:
        "exec hkd figure trajectories --out {output.pdf} --expect-digest {params.digest} 2> {log}"


rule framework_figure:
    output:
        pdf=f"{FIGURES}/framework.pdf",
        png=f"{FIGURES}/framework.png",
        caption=f"{FIGURES}/framework.md",
    log:
        f"{FIGURES}/logs/framework.log",
    benchmark:
        f"{FIGURES}/logs/framework.jsonl"
    params:
        dataset=APPLICATIONS.dataset,
        digest=framework_digest,
    shell:
        "exec hkd figure framework {params.dataset} methods/hkd --out {output.pdf}"
        " --expect-digest {params.digest} 2> {log}"
