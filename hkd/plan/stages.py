"""Every stage of the pipeline, described once: what it reads and leaves, what defines it, what it asks of the machine.

Rules, commands and records all read these descriptions; the parts of studies have ones of their own, of the same type,
in `hkd.studies.{study}.plan`. A stage names the modules of the library that it calls: their closure is its code.
The descriptions lie in `data_stages`, `run_stages` and `score_stages`, and everybody takes them from here.
"""

from __future__ import annotations

from hkd.plan.data_stages import EXTRACTOR, PREPARE
from hkd.plan.run_stages import (
    MANIFEST,
    SAMPLE,
    SHARD,
    TRAIN,
    TRAJECTORY_ERROR,
    run_code,
    sampling_settings,
    trajectory_code,
)
from hkd.plan.score_stages import (
    ABLATIONS_FIGURE,
    ERROR_TABLE,
    FEATURES,
    METRICS,
    REFERENCE,
    SAMPLES_FIGURE,
    TABLE,
    figure_files,
)
from hkd.plan.work import Stage

__all__ = ["STAGES", "figure_files", "run_code", "sampling_settings", "trajectory_code"]

STAGES: dict[str, Stage] = {
    stage.name: stage
    for stage in (
        PREPARE,
        EXTRACTOR,
        SHARD,
        MANIFEST,
        TRAIN,
        SAMPLE,
        REFERENCE,
        FEATURES,
        METRICS,
        TABLE,
        SAMPLES_FIGURE,
        ABLATIONS_FIGURE,
        TRAJECTORY_ERROR,
        ERROR_TABLE,
    )
}
