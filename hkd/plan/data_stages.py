"""The stages that images come from: the prepared set, and the feature networks that are trained on it."""

from __future__ import annotations

from pathlib import Path

from hkd.plan.asked import extractor_training, preparing
from hkd.plan.memory import extractor_mb, preparing_mb
from hkd.plan.runs import Plan
from hkd.plan.work import Definition, Files, Needs, Stage
from hkd.store.content import content
from hkd.store.paths import DATASET, Layout
from hkd.store.shipped import shipped_digest


def _prepare_files(layout: Layout, dataset: str = DATASET, split: str = "{split}") -> Files:
    data = layout.data(dataset, split)
    outputs = {"images": data.images, "manifest": data.manifest}
    return Files(outputs, data.log("prepare"), recorded=("images", "manifest"))


def _prepare(plan: Plan, dataset: str, split: str) -> Definition:
    data = plan.dataset(dataset).data
    held = content(data.path, Path(plan.layout.source_memory))
    memory = preparing_mb(data.count or 0, read=data.kind == "images")
    return Definition(
        # files of the user count by what they hold: they may be moved, and touched, and are therefore no inputs
        inputs={},
        settings={**data.model_dump(), "path": None},
        code=(f"hkd.data.kinds.{data.kind}",),
        needs=Needs(mem_mb=memory, minutes=preparing(data.count or 0, least=60)),
        watched=[held] if held else [],
    )


def _extractor_files(layout: Layout, dataset: str = DATASET, role: str = "{role}") -> Files:
    folder = layout.extractor_folder(dataset, role)
    return Files({"weights": layout.extractor(dataset, role)}, folder.log("extractor"), recorded=("weights",))


def _extractor(plan: Plan, dataset: str, role: str) -> Definition:
    memory = extractor_mb(plan, dataset, role)
    if shipped := plan.shipped(dataset, what := f"extractors/{role}"):
        needs = Needs(gpu=plan.gpus, mem_mb=memory, minutes=15)
        return Definition({}, {"shipped": shipped_digest(shipped, what)}, needs=needs)
    settings = plan.extractor(dataset, role)
    needs = Needs(gpu=plan.gpus, mem_mb=memory, minutes=extractor_training(plan, dataset, role, least=120))
    return Definition(
        inputs={"images": plan.layout.data(dataset, "train").manifest},
        settings={**settings.model_dump(exclude={"bar"}), "title": ""},
        code=("hkd.experiment.extractor",),
        needs=needs,
    )


PREPARE = Stage("prepare", _prepare_files, _prepare)
EXTRACTOR = Stage("extractor", _extractor_files, _extractor, resumes=True)
