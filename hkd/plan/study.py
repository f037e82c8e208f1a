"""What a study is, and which there are: every folder of `hkd.studies` that has a `plan.py`."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hkd.plan.runs import Plan
    from hkd.plan.work import Stage
    from hkd.settings.merge import Resolver
    from hkd.settings.origins import Layers, Section

FOLDER = Path(__file__).resolve().parents[1] / "studies"


@dataclass(frozen=True)
class Study:
    """A question that a reader asks of finished runs.

    Attributes:
        name: its folder, and the group of its runs if it has any of its own.
        sections: the files of configs/studies that it reads, each with the model that checks it.
        parts: its steps, described as the stages of the pipeline are.
        runs: (resolver, data set, name) -> settings of a run that only this study trains.
        results_of_divergence: whether a training of such a run may diverge, and that is its result.
        tables, figures: what `all` makes of it, as names of its parts.
        within_all: whether it does, in a benchmark; a file that is named is made in any.
        check: refuses settings that no single section can tell to be wrong, before anything runs.
    """

    name: str
    sections: Mapping[str, type[Section]]
    parts: tuple[Stage, ...] = ()
    runs: Callable[[Resolver, str, str], Layers] | None = None
    results_of_divergence: bool = False
    tables: tuple[str, ...] = ()
    figures: tuple[str, ...] = ()
    within_all: Callable[[Plan], bool] = field(default=lambda plan: True)
    check: Callable[[Plan], Any] = field(default=lambda plan: None)


@cache
def find() -> dict[str, Study]:
    """Return every study by name: the `STUDY` of each plan below hkd/studies."""
    names = sorted(path.parent.name for path in FOLDER.glob("*/plan.py"))
    return {name: importlib.import_module(f"hkd.studies.{name}.plan").STUDY for name in names}
