# From images to features, and from features to scores.
rule reference:
    input:
        WORK.inputs("reference"),
    output:
        **WORK.outputs("reference"),
    log:
        WORK.log("reference"),
    benchmark:
        WORK.benchmark("reference")
    threads: 1
    resources:
        **WORK.resources("reference"),
    params:
        digest=WORK.digest("reference"),
    shell:
        ". {resources.environment:q};"
        " exec hkd reference {wildcards.dataset:q} --expect-digest {params.digest:q} 2> {log:q}"


rule features:
    input:
        WORK.inputs("features"),
    output:
        **WORK.outputs("features"),
    log:
        WORK.log("features"),
    benchmark:
        WORK.benchmark("features")
    threads: 1
    resources:
        **WORK.resources("features"),
    params:
        digest=WORK.digest("features"),
    shell:
        ". {resources.environment:q};"
        " exec hkd features {wildcards.dataset:q} {wildcards.group:q}/{wildcards.method:q} --nfe {wildcards.nfe:q}"
        " --seed {wildcards.seed:q} --expect-digest {params.digest:q} 2> {log:q}"


rule metrics:
    input:
        WORK.inputs("metrics"),
    output:
        **WORK.outputs("metrics"),
    log:
        WORK.log("metrics"),
    benchmark:
        WORK.benchmark("metrics")
    threads: 1
    resources:
        **WORK.resources("metrics"),
    params:
        digest=WORK.digest("metrics"),
    shell:
        ". {resources.environment:q};"
        " exec hkd metrics {wildcards.dataset:q} {wildcards.group:q}/{wildcards.method:q} --nfe {wildcards.nfe:q}"
        " --seed {wildcards.seed:q} --expect-digest {params.digest:q} 2> {log:q}"


rule trajectory_error:
    input:
        WORK.inputs("trajectory_error"),
    output:
        **WORK.outputs("trajectory_error"),
    log:
        WORK.log("trajectory_error"),
    benchmark:
        WORK.benchmark("trajectory_error")
    threads: 1
    resources:
        **WORK.resources("trajectory_error"),
    params:
        digest=WORK.digest("trajectory_error"),
    shell:
        ". {resources.environment:q};"
        " exec hkd trajectory-error {wildcards.dataset:q} {wildcards.group:q}/{wildcards.method:q}"
        " --seed {wildcards.seed:q} --expect-digest {params.digest:q} 2> {log:q}"
