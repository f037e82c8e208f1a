"""Records of files that tests write themselves, as the stage that the plan describes would have written them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hkd.plan.chain import Chain
from hkd.plan.runs import Plan
from hkd.store.atomic import write_json
from hkd.store.records import Record, main_file, record_path, seal


def recorded(plan: Plan, *paths: Path | str, seed: int | None = None, **facts: Any) -> None:
    """Write the record of each result; absent inputs were deleted since; `facts` are the stage's own."""
    chain = Chain(plan)
    for path in paths:
        made = chain.maker(str(path))
        assert made is not None, path
        inputs = [file for file in made.inputs() if main_file(file).exists()]
        own = int(made.of["seed"]) if "seed" in made.of else seed
        record = Record(made.command, {}, made.settings_digest, own, inputs, of=made.of)
        written = record.write(main_file(path), **facts)
        resealed(path, inputs={**dict.fromkeys(made.inputs(), "deleted since"), **written["inputs"]})


def resealed(path: Path | str, **changes: Any) -> None:
    """Change a result's record and seal it again, as somebody would who knows how."""
    file = record_path(main_file(path))
    content = {**json.loads(file.read_text()), **changes}
    content["record_sha256"] = seal(content)
    write_json(file, content)


def record_results(plan: Plan, **facts: Any) -> None:
    """Write the records of all results in the plan's folder that a stage makes and that have none."""
    chain = Chain(plan)
    for path in sorted(Path(plan.layout.root).rglob("*")):
        if chain.maker(str(path)) and main_file(path).is_file() and not record_path(main_file(path)).exists():
            recorded(plan, path, **facts)
