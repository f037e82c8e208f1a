# Is HKD what it says? Closure along trajectories, bands and their factors, agreement of spectra.
# configs/studies/{interpretability,spectrum}.yaml
wildcard_constraints:
    order=r"alpha|abs_alpha|abs_eig",


COMPARED = {
    "dataset": WORK.dataset("agreement")
}  # one agreement, of the study's own data set


rule spectrum:
    input:
        WORK.inputs("spectrum"),
    output:
        **WORK.outputs("spectrum"),
    log:
        WORK.log("spectrum"),
    benchmark:
        WORK.benchmark("spectrum")
    threads: 1
    resources:
        **WORK.resources("spectrum"),
    params:
        digest=WORK.digest("spectrum"),
    shell:
        ". {resources.environment:q};"
        " exec hkd spectrum {wildcards.dataset:q} {wildcards.group:q}/{wildcards.method:q} --seed {wildcards.seed:q}"
        " --expect-digest {params.digest:q} 2> {log:q}"


rule closure:
    input:
        WORK.inputs("closure"),
    output:
        **WORK.outputs("closure"),
    log:
        WORK.log("closure"),
    benchmark:
        WORK.benchmark("closure")
    threads: 1
    resources:
        **WORK.resources("closure"),
    params:
        digest=WORK.digest("closure"),
    shell:
        ". {resources.environment:q};"
        " exec hkd closure {wildcards.dataset:q} {wildcards.group:q}/{wildcards.method:q} --seed {wildcards.seed:q}"
        " --expect-digest {params.digest:q} 2> {log:q}"


rule band_factors:
    input:
        WORK.inputs("band_factors"),
    output:
        **WORK.outputs("band_factors"),
    log:
        WORK.log("band_factors"),
    benchmark:
        WORK.benchmark("band_factors")
    threads: 1
    resources:
        **WORK.resources("band_factors"),
    params:
        digest=WORK.digest("band_factors"),
    shell:
        ". {resources.environment:q};"
        " exec hkd band-factors {wildcards.dataset:q} {wildcards.group:q}/{wildcards.method:q} {wildcards.order:q}"
        " --seed {wildcards.seed:q} --expect-digest {params.digest:q} 2> {log:q}"


rule agreement:
    input:
        WORK.inputs("agreement", **COMPARED),
    output:
        **WORK.outputs("agreement", **COMPARED),
    log:
        WORK.log("agreement", **COMPARED),
    benchmark:
        WORK.benchmark("agreement", **COMPARED)
    threads: 1
    resources:
        **WORK.resources("agreement", **COMPARED),
    params:
        digest=WORK.digest("agreement", **COMPARED),
    shell:
        ". {resources.environment:q};"
        " exec hkd agreement --expect-digest {params.digest:q} 2> {log:q}"


rule interpretability:
    input:
        WORK.inputs("interpretability"),
    output:
        **WORK.outputs("interpretability"),
    log:
        WORK.log("interpretability"),
    benchmark:
        WORK.benchmark("interpretability")
    localrule: True
    resources:
        **WORK.resources("interpretability"),
    params:
        digest=WORK.digest("interpretability"),
    shell:
        ". {resources.environment:q};"
        " exec hkd interpretability --expect-digest {params.digest:q} 2> {log:q}"


rule spectrum_figure:
    input:
        WORK.inputs("spectrum_figure"),
    output:
        **WORK.outputs("spectrum_figure"),
    log:
        WORK.log("spectrum_figure"),
    benchmark:
        WORK.benchmark("spectrum_figure")
    localrule: True
    resources:
        **WORK.resources("spectrum_figure"),
    params:
        digest=WORK.digest("spectrum_figure"),
    shell:
        ". {resources.environment:q};"
        " exec hkd figure spectrum --out {output.pdf:q} --expect-digest {params.digest:q} 2> {log:q}"


rule interpretability_figure:
    input:
        WORK.inputs("interpretability_figure"),
    output:
        **WORK.outputs("interpretability_figure"),
    log:
        WORK.log("interpretability_figure"),
    benchmark:
        WORK.benchmark("interpretability_figure")
    localrule: True
    resources:
        **WORK.resources("interpretability_figure"),
    params:
        digest=WORK.digest("interpretability_figure"),
    shell:
        ". {resources.environment:q};"
        " exec hkd figure interpretability --out {output.pdf:q} --expect-digest {params.digest:q} 2> {log:q}"
