"""What the network is made of: a diagram of blocks, latents and operators. Needs neither weights nor data."""

from __future__ import annotations

from hkd.plan.runs import Plan
from hkd.plan.stages import figure_files, run_code
from hkd.plan.study import Study
from hkd.plan.work import Definition, Files, Stage
from hkd.store.paths import Layout

NAME, RUN = "framework", "methods/hkd"


def _figure(plan: Plan, dataset: str = "", method: str = RUN) -> Definition:
    on = dataset or plan.study_dataset()
    run = plan.run(on, method)
    return Definition(
        inputs={},
        settings={
            "title": run.title,
            "target": run.target,
            "network": run.network,
            "params": run.params,
            "data": plan.dataset(on).model_dump(),
            "scale": plan.benchmark.scale,
        },
        code=(
            "hkd.studies.framework.figure",
            "hkd.studies.framework.outline",
            "hkd.experiment.build",
            *run_code(plan, on, method),
            "hkd.figures.save",
        ),
    )


def _files(layout: Layout, dataset: str = "", method: str = RUN) -> Files:
    return figure_files(NAME)(layout)


FIGURE = Stage("framework_figure", _files, _figure, local=True, command="figure framework")
STUDY = Study(name=NAME, sections={}, parts=(FIGURE,), figures=("framework_figure",))
