# The matched comparison: every one-step method, as many evaluations of its own networks. configs/studies/budget.yaml
import hkd.studies.budget.plan


rule budget_curve:
    input:
        weights=f"{RUN}/weights.safetensors",
        milestones=f"{RUN}/milestones",
        reference=LAYOUT.reference(),
        extractor=LAYOUT.extractor(role="metric"),
    output:
        curve=f"{RUN}/budget/curve.json",
        record=f"{RUN}/budget/curve.json.record.json",
    log:
        f"{RUN}/logs/budget.log",
    benchmark:
        f"{RUN}/logs/budget.jsonl"
    threads: 1
    resources:
        gpu=gpus,
        mem_mb=4000,
        runtime=60,
    params:
        digest=hkd.studies.budget.plan.curve_digest(PLAN),
    shell:
        "exec hkd budget-curve {wildcards.dataset} {wildcards.group}/{wildcards.method} --seed {wildcards.seed}"
        " --expect-digest {params.digest} 2> {log}"


rule budget:
    input:
        hkd.studies.budget.plan.inputs(PLAN),
    output:
        table=f"{LAYOUT.root}/budget.csv",
        record=f"{LAYOUT.root}/budget.csv.record.json",
        pdf=f"{FIGURES}/budget.pdf",
        png=f"{FIGURES}/budget.png",
        caption=f"{FIGURES}/budget.md",
    log:
        f"{LAYOUT.root}/logs/budget.log",
    benchmark:
        f"{LAYOUT.root}/logs/budget.jsonl"
    params:
        digest=hkd.studies.budget.plan.table_digest(PLAN),
    shell:
        "exec hkd budget --out {output.pdf} --expect-digest {params.digest} 2> {log}"
