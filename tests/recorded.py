"""Records of files that tests write themselves, as the stage that the plan describes would have written them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hkd.plan.chain import Chain
from hkd.plan.runs import Plan
from hkd.store.records import Record, main_file, record_path


def recorded(plan: Plan, *paths: Path | str, seed: int | None = None, **facts: Any) -> None:
    """Write the record of each result, made from those of its inputs that are there; `facts` are the stage's own."""
    chain = Chain(plan)
    for path in paths:
        made = chain.maker(str(path))
        assert made is not None, path
        inputs = [main_file(file) for file in made.inputs() if main_file(file).exists()]
        Record(made.command, {}, made.settings_digest, seed, inputs, of=made.of).write(main_file(path), **facts)


def record_results(plan: Plan, **facts: Any) -> None:
    """Write the records of all results in the plan's folder that a stage makes and that have none."""
    chain = Chain(plan)
    for path in sorted(Path(plan.layout.root).rglob("*")):
        if chain.maker(str(path)) and main_file(path).is_file() and not record_path(main_file(path)).exists():
            recorded(plan, path, **facts)
