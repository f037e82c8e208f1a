# What a difference in the score is worth: real against real, clean and with known mistakes. configs/studies/calibration.yaml
rule calibration:
    input:
        WORK.inputs("calibration"),
    output:
        **WORK.outputs("calibration"),
    log:
        WORK.log("calibration"),
    benchmark:
        WORK.benchmark("calibration")
    threads: 1
    resources:
        **WORK.resources("calibration"),
    params:
        dataset=WORK.dataset("calibration"),
        digest=WORK.digest("calibration"),
    shell:
        ". {resources.environment:q};"
        " exec hkd calibrate {params.dataset:q} --expect-digest {params.digest:q} 2> {log:q}"
