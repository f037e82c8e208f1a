# Tables, and figures of their rows. Those of studies are in rules/studies.
SAMPLES = WORK.figure_table("samples")
ABLATIONS = WORK.figure_table("ablations")


rule tables:
    input:
        WORK.table_targets(),


rule figures:
    input:
        WORK.figure_targets(),


rule table:
    input:
        WORK.inputs("table"),
    output:
        **WORK.outputs("table"),
    log:
        WORK.log("table"),
    benchmark:
        WORK.benchmark("table")
    localrule: True
    resources:
        **WORK.resources("table"),
    params:
        digest=WORK.digest("table"),
    shell:
        ". {resources.environment:q};"
        " exec hkd table {wildcards.table:q} --expect-digest {params.digest:q} 2> {log:q}"


rule samples_figure:
    input:
        WORK.inputs("samples_figure", table=SAMPLES),
    output:
        **WORK.outputs("samples_figure"),
    log:
        WORK.log("samples_figure"),
    benchmark:
        WORK.benchmark("samples_figure")
    localrule: True
    resources:
        **WORK.resources("samples_figure"),
    params:
        digest=WORK.digest("samples_figure", table=SAMPLES),
    shell:
        ". {resources.environment:q};"
        " exec hkd figure samples "
        + SAMPLES
        + " --out {output.pdf:q} --expect-digest {params.digest:q} 2> {log:q}"


rule ablations_figure:
    input:
        WORK.inputs("ablations_figure", table=ABLATIONS),
    output:
        **WORK.outputs("ablations_figure"),
    log:
        WORK.log("ablations_figure"),
    benchmark:
        WORK.benchmark("ablations_figure")
    localrule: True
    resources:
        **WORK.resources("ablations_figure"),
    params:
        digest=WORK.digest("ablations_figure", table=ABLATIONS),
    shell:
        ". {resources.environment:q};"
        " exec hkd figure ablations "
        + ABLATIONS
        + " --out {output.pdf:q} --expect-digest {params.digest:q} 2> {log:q}"


rule error_table:
    input:
        WORK.inputs("error_table"),
    output:
        **WORK.outputs("error_table"),
    log:
        WORK.log("error_table"),
    benchmark:
        WORK.benchmark("error_table")
    localrule: True
    resources:
        **WORK.resources("error_table"),
    params:
        digest=WORK.digest("error_table"),
    shell:
        ". {resources.environment:q};"
        " exec hkd error-table --expect-digest {params.digest:q} 2> {log:q}"
