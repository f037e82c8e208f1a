# What determines the spectrum: agreement over training, and data of known rates. configs/studies/determined.yaml
rule known_rates:
    input:
        WORK.inputs("known_rates"),
    output:
        **WORK.outputs("known_rates"),
    log:
        WORK.log("known_rates"),
    benchmark:
        WORK.benchmark("known_rates")
    threads: 1
    resources:
        **WORK.resources("known_rates"),
    params:
        digest=WORK.digest("known_rates"),
    shell:
        ". {resources.environment:q};"
        " exec hkd known-rates --expect-digest {params.digest:q} 2> {log:q}"


rule spectrum_courses:
    input:
        WORK.inputs("spectrum_courses"),
    output:
        **WORK.outputs("spectrum_courses"),
    log:
        WORK.log("spectrum_courses"),
    benchmark:
        WORK.benchmark("spectrum_courses")
    threads: 1
    resources:
        **WORK.resources("spectrum_courses"),
    params:
        digest=WORK.digest("spectrum_courses"),
    shell:
        ". {resources.environment:q};"
        " exec hkd spectrum-courses --expect-digest {params.digest:q} 2> {log:q}"


rule determined:
    input:
        WORK.inputs("determined"),
    output:
        **WORK.outputs("determined"),
    log:
        WORK.log("determined"),
    benchmark:
        WORK.benchmark("determined")
    localrule: True
    resources:
        **WORK.resources("determined"),
    params:
        digest=WORK.digest("determined"),
    shell:
        ". {resources.environment:q};"
        " exec hkd determined --expect-digest {params.digest:q} 2> {log:q}"


rule determined_figure:
    input:
        WORK.inputs("determined_figure"),
    output:
        **WORK.outputs("determined_figure"),
    log:
        WORK.log("determined_figure"),
    benchmark:
        WORK.benchmark("determined_figure")
    localrule: True
    resources:
        **WORK.resources("determined_figure"),
    params:
        digest=WORK.digest("determined_figure"),
    shell:
        ". {resources.environment:q};"
        " exec hkd figure determined --out {output.pdf:q} --expect-digest {params.digest:q} 2> {log:q}"
