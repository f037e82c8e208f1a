"""The two parts of a study that looks inside one finished run: arrays beside its weights, and a figure of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from hkd.plan.stages import run_code
from hkd.plan.work import Definition, Files, Needs
from hkd.store.paths import DATASET, METHOD, SEED, Layout

if TYPE_CHECKING:
    from hkd.plan.runs import Plan
    from hkd.settings.studies import StudySection

DRAWN = frozenset({"dataset", "run", "shown"})  # on which run the figure is drawn, and its rows, change no array


def beside_weights(stem: str, log: str) -> Callable[..., Files]:
    """Return what names the files of a run: `arrays` and `metrics` at a stem (`editing/editing`) beside its weights."""

    def files(layout: Layout, dataset: str = DATASET, method: str = METHOD, seed: int | str = SEED) -> Files:
        run = layout.run(dataset, method, seed)
        outputs = {"arrays": run.of(f"{stem}.npz"), "metrics": run.of(f"{stem}.json")}
        return Files(outputs, run.log(log), recorded=("arrays", "metrics"))

    return files


def of_images(plan: Plan, study: StudySection, dataset: str, method: str, seed: int | str, *, code: str) -> Definition:
    """Return the part that changes images by a run, drawn by it or of the data set, and measures by the distance."""
    run = plan.layout.run(dataset, method, seed)
    return Definition(
        inputs={
            "images": plan.layout.data(dataset, plan.reference_split(dataset)).manifest,
            "weights": run.weights,
            "config": run.config,
            "perceptual": plan.layout.extractor(dataset, "perceptual"),
        },
        spare=("images", "config", "perceptual"),
        settings=study.model_dump(exclude=set(DRAWN)),
        code=(code, "hkd.experiment.perceptual", *run_code(plan, dataset, method)),
        needs=Needs(gpu=plan.gpus, mem_mb=4000, minutes=60),
    )


def of_figure(
    plan: Plan, study: StudySection, files: Callable[..., Files], *, run: str, on: str, code: str, **said: Any
) -> Definition:
    """Return the part that draws the first seed of a run on a data set; `said`: what else its caption depends on."""
    return Definition(
        inputs={**files(plan.layout, on, run, 0).outputs, "weights": plan.layout.run(on, run, 0).weights},
        settings={
            **study.model_dump(),
            "title": plan.title(on, run),
            "on": plan.dataset(on).title,
            "benchmark": plan.benchmark.benchmark,
            **said,
        },
        code=(code, "hkd.studies.options", "hkd.figures.save"),
    )
