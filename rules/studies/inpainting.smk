# Missing pixels and colours, restored without training. configs/studies/inpainting.yaml
rule inpaint:
    input:
        WORK.inputs("inpaint"),
    output:
        **WORK.outputs("inpaint"),
    log:
        WORK.log("inpaint"),
    benchmark:
        WORK.benchmark("inpaint")
    threads: 1
    resources:
        **WORK.resources("inpaint"),
    params:
        digest=WORK.digest("inpaint"),
    shell:
        ". {resources.environment:q};"
        " exec hkd inpaint {wildcards.dataset:q} {wildcards.group:q}/{wildcards.method:q} --seed {wildcards.seed:q}"
        " --out {output.arrays:q} --expect-digest {params.digest:q} 2> {log:q}"


rule inpainting_figure:
    input:
        WORK.inputs("inpainting_figure"),
    output:
        **WORK.outputs("inpainting_figure"),
    log:
        WORK.log("inpainting_figure"),
    benchmark:
        WORK.benchmark("inpainting_figure")
    localrule: True
    resources:
        **WORK.resources("inpainting_figure"),
    params:
        digest=WORK.digest("inpainting_figure"),
    shell:
        ". {resources.environment:q};"
        " exec hkd figure inpainting --out {output.pdf:q} --expect-digest {params.digest:q} 2> {log:q}"
