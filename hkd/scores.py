"""Which scores a run needs, at which numbers of images: what the tables of the profile ask for."""

from __future__ import annotations

from hkd.columns import column, scores_of
from hkd.config import digest
from hkd.plan import Plan


def common_n(plan: Plan, table: str) -> int | None:
    """Return the number of images at which all rows of a table can be compared: that of its smallest row."""
    dataset = plan.table(table).dataset
    sizes = [plan.run(dataset, row.method).sampling.n_samples for row in plan.rows(table) if row.method]
    return min(sizes, default=None)


def scores(plan: Plan, dataset: str) -> tuple[str, ...]:
    """Return the scores that the profile's tables on a data set show."""
    return scores_of(tuple(name for spec in plan.tables.values() if spec.dataset == dataset for name in spec.columns))


def sizes(plan: Plan, dataset: str, method: str) -> tuple[int, ...]:
    """Return the numbers of images, below its own, at which a run is compared with others."""
    found = {
        common_n(plan, name)
        for name, spec in plan.tables.items()
        if spec.dataset == dataset
        and any(column(c).derived == "common" for c in spec.columns)
        and any(row.method == method for row in plan.rows(name))
    }
    return tuple(sorted(n for n in found if n is not None))


def metrics_digest(plan: Plan, dataset: str, method: str) -> str:
    """Return the digest of what defines the metrics of a run, besides its samples and the reference."""
    nominal = plan.run(dataset, method).sampling.nominal
    return digest([plan.metrics_code(), scores(plan, dataset), sizes(plan, dataset, method), nominal])


def table_digest(plan: Plan, table: str) -> str:
    """Return the digest of what defines a table besides its metrics files."""
    return digest([plan.table_digest(table), plan.table(table).columns, common_n(plan, table)])
