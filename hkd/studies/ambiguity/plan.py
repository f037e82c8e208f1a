"""The ambiguity audit as runs of the workflow: which there are, and what names their table."""

from __future__ import annotations

from hkd.plan.code import code_digest
from hkd.plan.runs import Plan
from hkd.settings.merge import AUDIT
from hkd.settings.origins import digest
from hkd.settings.studies import Ambiguity

CENTRE = "centre"
CENTRE_RUN = f"{AUDIT}/{CENTRE}"


def study(plan: Plan) -> Ambiguity:
    """Return the audit's settings."""
    return plan.study("ambiguity", Ambiguity)


def dataset(plan: Plan) -> str:
    """Return the data set of the audit: that of the profile's first table."""
    return plan.table("table1").dataset


def arms(plan: Plan) -> dict[str, list[str]]:
    """Return the metrics files, one per seed, of the centre and of every variation that is run, by name."""
    chosen = study(plan)
    names = [CENTRE, *(name for name, variation in chosen.variations.items() if variation.set)]
    return {
        name: [
            f"{plan.layout.run(dataset(plan), f'{AUDIT}/{name}', seed)}/metrics/nfe{chosen.nfe}.json"
            for seed in range(chosen.seeds)
        ]
        for name in names
    }


def is_arm(method: str) -> bool:
    """Return whether a run, given as group/name, is one of the audit: whose divergence is a result."""
    return method.startswith(f"{AUDIT}/")


def metrics(plan: Plan) -> list[str]:
    """Return every metrics file that the table needs."""
    return [path for paths in arms(plan).values() for path in paths]


def table_digest(plan: Plan) -> str:
    """Return the digest of what defines the table besides the metrics files."""
    return plan.study_digest("ambiguity", Ambiguity, "hkd.studies.ambiguity.table")


def figure_digest(plan: Plan) -> str:
    """Return the digest of what defines the figure besides the table."""
    title = plan.dataset(dataset(plan)).title
    facts = [title, plan.profile.scale, study(plan).model_dump()]
    return digest([*facts, code_digest("hkd.studies.ambiguity.figure", "hkd.figures.save")])
