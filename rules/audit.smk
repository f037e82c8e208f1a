# The ambiguity audit: ordinary runs of the group `audit`, whose settings configs/studies/ambiguity.yaml holds.
rule ambiguity:
    input:
        audit_metrics,
    output:
        table=f"{LAYOUT.root}/ambiguity.csv",
        record=f"{LAYOUT.root}/ambiguity.csv.record.json",
    log:
        f"{LAYOUT.root}/logs/ambiguity.log",
    benchmark:
        f"{LAYOUT.root}/logs/ambiguity.jsonl"
    params:
        digest=audit_digest,
    shell:
        "exec hkd ambiguity --expect-digest {params.digest} 2> {log}"


rule ambiguity_figure:
    input:
        table=f"{LAYOUT.root}/ambiguity.csv",
        record=f"{LAYOUT.root}/ambiguity.csv.record.json",
    output:
        pdf=f"{FIGURES}/ambiguity.pdf",
        png=f"{FIGURES}/ambiguity.png",
        caption=f"{FIGURES}/ambiguity.md",
    log:
        f"{FIGURES}/logs/ambiguity.log",
    benchmark:
        f"{FIGURES}/logs/ambiguity.jsonl"
    params:
        digest=audit_figure_digest,
    shell:
        "exec hkd figure ambiguity --out {output.pdf} --expect-digest {params.digest} 2> {log}"
