# Lookups of the studies' rules. Each is one line: the logic is in hkd.studies.interpretability.plan and hkd.studies.applications.
from hkd.studies.applications import ApplicationPlan
from hkd.studies.interpretability.plan import InterpretabilityPlan

STUDY = InterpretabilityPlan(PLAN)
APPLICATIONS = ApplicationPlan(PLAN)


wildcard_constraints:
    order=r"alpha|abs_alpha|abs_eig",


def spectrum_digest(wildcards):
    return STUDY.spectrum_digest()


def closure_digest(wildcards):
    return STUDY.closure_digest()


def factor_digest(wildcards):
    return STUDY.factor_digest()


def agreement_digest(wildcards):
    return STUDY.agreement_digest()


def agreement_inputs(wildcards):
    return STUDY.agreement_inputs()


def held_out(wildcards):
    return f"{STUDY.trajectories()}/manifest.json"


def evidence_inputs(wildcards):
    return STUDY.check().inputs()


def evidence_digest(wildcards):
    return STUDY.table_digest()


def spectra_file(wildcards):
    return STUDY.spectra_file()


def spectrum_figure_digest(wildcards):
    return STUDY.spectrum_figure_digest()


def interpretability_figure_digest(wildcards):
    return STUDY.figure_digest()


def editing_digest(wildcards):
    return APPLICATIONS.digest("editing")


def inpainting_digest(wildcards):
    return APPLICATIONS.digest("inpainting")


def states_digest(wildcards):
    return APPLICATIONS.digest("trajectories")


def restored_images(wildcards):
    return f"{APPLICATIONS.images(wildcards.dataset)}/manifest.json"


def shown_teacher(wildcards):
    return APPLICATIONS.teacher(wildcards.dataset)


def editing_file(wildcards):
    return APPLICATIONS.file("editing")


def inpainting_file(wildcards):
    return APPLICATIONS.file("inpainting")


def states_file(wildcards):
    return APPLICATIONS.file("trajectories")


def editing_figure_digest(wildcards):
    return APPLICATIONS.figure_digest("editing")


def inpainting_figure_digest(wildcards):
    return APPLICATIONS.figure_digest("inpainting")


def states_figure_digest(wildcards):
    return APPLICATIONS.figure_digest("trajectories")


def framework_digest(wildcards):
    return APPLICATIONS.framework_digest(APPLICATIONS.dataset, "methods/hkd")


def milestone_digest(wildcards):
    return APPLICATIONS.digest("stability")


def stability_digest(wildcards):
    return APPLICATIONS.stability_digest()


def stability_figure_digest(wildcards):
    return APPLICATIONS.figure_digest("stability")


def stability_files(wildcards):
    return APPLICATIONS.stability_files()
