# What the profile asks for, and the lookups that rules use. Each is one line: the logic is in hkd.plan.runs.
import hkd.studies.ambiguity.plan
import hkd.studies.bars.plan
import hkd.plan.scores
import hkd.workflow
from hkd.plan.runs import HELD_OUT

PLAN = hkd.workflow.plan(config)
LAYOUT = PLAN.layout
RUN = LAYOUT.run()
CALIBRATED = PLAN.tables["table1"].dataset
FIGURES = PLAN.profile.figures

# `hkd` in shell commands is the one beside this interpreter, and sees the merged profile
shell.prefix(hkd.workflow.prefix(config))
hkd.workflow.clear_stale_lock(main=workflow.is_main_process)


wildcard_constraints:
    dataset=r"[a-z0-9-]+",
    group=r"methods|ablations|audit|budget",
    method=r"[a-z0-9_]+",
    seed=r"\d+",
    nfe=r"\d+",
    shard=r"\d+",
    split=r"train|reference",
    role=r"metric|perceptual",
    trajectories=r"[a-z0-9_-]+",
    table=r"table[1-4]",


def source_files(wildcards):
    return PLAN.source_files(wildcards.dataset)


def data_digest(wildcards):
    return PLAN.data_digest(wildcards.dataset)


def extractor_digest(wildcards):
    return PLAN.extractor_digest(wildcards.dataset, wildcards.role)


def extractor_needs(wildcards):
    return PLAN.extractor_needs(wildcards.dataset, wildcards.role)


def trajectory_digest(wildcards):
    return PLAN.trajectory_digest(wildcards.dataset, wildcards.trajectories)


def teacher_weights(wildcards):
    return PLAN.trajectory_teacher(wildcards.dataset, wildcards.trajectories)


def shards(wildcards):
    return PLAN.shards(wildcards.dataset, wildcards.trajectories)


def train_needs(wildcards):
    return PLAN.needs(wildcards.dataset, f"{wildcards.group}/{wildcards.method}")


def train_digest(wildcards):
    return PLAN.train_digest(wildcards.dataset, f"{wildcards.group}/{wildcards.method}")


def train_code(wildcards):
    return PLAN.train_code(wildcards.dataset, f"{wildcards.group}/{wildcards.method}")


def sample_digest(wildcards):
    return PLAN.sample_digest(
        wildcards.dataset, f"{wildcards.group}/{wildcards.method}"
    )


def reference_images(wildcards):
    return f"{LAYOUT.data(wildcards.dataset, PLAN.reference_split(wildcards.dataset))}/manifest.json"


def metrics_code(wildcards):
    return PLAN.metrics_code()


def extractor_files(wildcards):
    return hkd.plan.scores.extractor_files(PLAN, wildcards.dataset)


def features_digest(wildcards):
    return hkd.plan.scores.features_digest(PLAN, wildcards.dataset)


def metrics_digest(wildcards):
    return hkd.plan.scores.metrics_digest(
        PLAN, wildcards.dataset, f"{wildcards.group}/{wildcards.method}"
    )


def table_metrics(wildcards):
    return PLAN.metrics(wildcards.table)


def table_digest(wildcards):
    return hkd.plan.scores.table_digest(PLAN, wildcards.table)


def audit_metrics(wildcards):
    return hkd.studies.ambiguity.plan.metrics(PLAN)


def audit_digest(wildcards):
    return hkd.studies.ambiguity.plan.table_digest(PLAN)


def audit_figure_digest(wildcards):
    return hkd.studies.ambiguity.plan.figure_digest(PLAN)


def gpus(wildcards):
    return PLAN.gpus()


def train_memory(wildcards, attempt):
    return (
        PLAN.run(
            wildcards.dataset, f"{wildcards.group}/{wildcards.method}"
        ).resources.mem_mb
        * attempt
    )


def train_minutes(wildcards):
    return PLAN.run(
        wildcards.dataset, f"{wildcards.group}/{wildcards.method}"
    ).resources.minutes
