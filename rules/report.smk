rule tables:
    input:
        [f"{LAYOUT.table(name)}.csv" for name in PLAN.tables],


rule figures:
    input:
        f"{FIGURES}/samples.pdf",


rule table:
    input:
        table_metrics,
    output:
        csv=f"{LAYOUT.table()}.csv",
        csv_record=f"{LAYOUT.table()}.csv.record.json",
        markdown=f"{LAYOUT.table()}.md",
        markdown_record=f"{LAYOUT.table()}.md.record.json",
    log:
        f"{LAYOUT.root}/logs/{{table}}.log",
    benchmark:
        f"{LAYOUT.root}/logs/{{table}}.jsonl"
    params:
        digest=table_digest,
    shell:
        "exec hkd table {wildcards.table} --expect-digest {params.digest} 2> {log}"


rule samples_figure:
    input:
        table_samples,
        PLAN.metrics("table1"),
    output:
        pdf=f"{FIGURES}/samples.pdf",
        png=f"{FIGURES}/samples.png",
    log:
        f"{FIGURES}/logs/samples.log",
    benchmark:
        f"{FIGURES}/logs/samples.jsonl"
    shell:
        "exec hkd figure table1 --out {output.pdf} 2> {log}"
