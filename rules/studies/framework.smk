# The diagram of the network, which needs neither weights nor data.
rule framework_figure:
    input:
        WORK.inputs("framework_figure"),
    output:
        **WORK.outputs("framework_figure"),
    log:
        WORK.log("framework_figure"),
    benchmark:
        WORK.benchmark("framework_figure")
    localrule: True
    resources:
        **WORK.resources("framework_figure"),
    params:
        dataset=WORK.dataset("framework_figure"),
        digest=WORK.digest("framework_figure"),
    shell:
        ". {resources.environment:q};"
        " exec hkd figure framework {params.dataset:q} methods/hkd --out {output.pdf:q}"
        " --expect-digest {params.digest:q} 2> {log:q}"
