"""What a benchmark makes when nothing is named: its tables and figures, and those of the studies."""

from __future__ import annotations

from collections.abc import Iterator

from hkd.plan.rows import shown
from hkd.plan.runs import Plan
from hkd.plan.stages import ABLATIONS_FIGURE, SAMPLES_FIGURE, TABLE
from hkd.plan.work import Stage, Work

FIGURES = {"samples": ("table1", "table2"), "ablations": ("table3",)}  # the printed tables whose rows each may show
STAGES_OF = {"samples": SAMPLES_FIGURE, "ablations": ABLATIONS_FIGURE}


def figure_table(plan: Plan, figure: str) -> str:
    """Return the table whose rows a figure shows; where the benchmark has none such, the one of which it would."""
    return shown(plan, *FIGURES[figure]) or FIGURES[figure][0]


def tables(plan: Plan) -> list[Work]:
    """Return the work of every table, those of studies among them."""
    return [*(TABLE.work(plan, table=name) for name in plan.tables), *_of_studies(plan, "tables")]


def figures(plan: Plan) -> list[Work]:
    """Return the work of every figure, those of studies among them."""
    own = [name for name, printed in FIGURES.items() if shown(plan, *printed)]
    drawn = [STAGES_OF[name].work(plan, table=figure_table(plan, name)) for name in own]
    return [*drawn, *_of_studies(plan, "figures")]


def _of_studies(plan: Plan, kind: str) -> Iterator[Work]:
    for study in plan.studies.values():
        parts: dict[str, Stage] = {part.name: part for part in study.parts}
        for name in getattr(study, kind) if study.within_all(plan) else ():
            yield parts[name].work(plan)
