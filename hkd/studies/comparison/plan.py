"""Whether the printed numbers are reproduced: the claims, what is frozen of them, and the files of the comparison."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from hkd.plan.runs import Plan
from hkd.plan.study import Study
from hkd.plan.work import Definition, Files, Stage
from hkd.settings.names import known_runs
from hkd.settings.origins import ConfigError, canonical, digest, nearest, read_yaml
from hkd.store.paths import Layout
from hkd.studies.comparison.claims import Claim, read_claims
from hkd.studies.comparison.frozen import Frozen, content, read_frozen
from hkd.studies.comparison.rules import Comparison
from hkd.studies.comparison.said import Number

NAME = "comparison"
PAPER_TABLES = (1, 2, 3, 4, 5, 6)
SUFFIXES = {"csv": "csv", "markdown": "md", "latex": "tex"}


def settings(plan: Plan) -> Comparison:
    """Return the study's settings."""
    return plan.study(NAME, Comparison)


def claims(plan: Plan) -> dict[str, Claim]:
    """Return every claim, by id.

    Raises:
        ConfigError: a claim is mistaken, or a run that is said to be selected does not exist.
    """
    rules = settings(plan)
    for name in rules.selected:
        if not (plan.configs / f"{name}.yaml").is_file():
            raise ConfigError(f"studies.{NAME}.selected: no run '{name}'. {nearest(name, known_runs(plan.configs))}")
    return read_claims(plan.configs, rules)


def frozen(plan: Plan) -> Frozen:
    """Return what was frozen before any run, and what has changed since."""
    return read_frozen(plan.configs, content(plan, claims(plan), settings(plan)))


def titles(plan: Plan) -> dict[int, str]:
    """Return the titles of the paper's tables, by number."""
    found: dict[int, str] = {}
    for claim in claims(plan).values():
        said = claim.said
        if isinstance(said, Number) and said.value is None and said.cite.table not in (None, *found):
            file = read_yaml(plan.configs / f"reported/{said.reported}.yaml").values
            found[int(said.cite.table or 0)] = str(file["tables"][said.conditions]["title"])
    return {number: found[number] for number in PAPER_TABLES}


def _files(layout: Layout) -> Files:
    stems = {"": layout.verdicts()} | {f"table{n}_": layout.verdicts(f"table{n}") for n in PAPER_TABLES}
    outputs = {f"{of}{kind}": f"{stem}.{end}" for of, stem in stems.items() for kind, end in SUFFIXES.items()}
    return Files(outputs, layout.top.log(NAME), recorded=("csv", "markdown", "latex"))


def _compared(plan: Plan) -> Definition:
    # the workflow makes it of the benchmark's tables; by hand, and after every run, it takes what is there
    return Definition(
        inputs={"tables": [f"{plan.layout.table(name)}.csv" for name in plan.tables]},
        settings=_judged_by(plan),
        code=(
            "hkd.studies.comparison.judging",
            "hkd.studies.comparison.written",
        ),
    )


@lru_cache(maxsize=1)  # the workflow asks twice, and it resolves every claimed run at the scale of the paper
def _judged_by(plan: Plan) -> list[Any]:
    """Return all that verdicts depend on besides what was measured."""
    found = frozen(plan)
    return [found.digest, list(found.changed), digest(canonical(settings(plan).model_dump(mode="json")))]


COMPARE = Stage(NAME, _files, _compared, local=True, command="compare")
STUDY = Study(name=NAME, sections={NAME: Comparison}, parts=(COMPARE,), tables=(NAME,), check=claims)
