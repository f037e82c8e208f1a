"""The rows of tables: what a paper printed, and the run that answers it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from hkd.plan.runs import Plan, named_base
from hkd.settings.benchmark import Table
from hkd.settings.merge import SHIPPED
from hkd.settings.origins import ConfigError, nearest, read_yaml
from hkd.store.shipped import read_card

ANCHORS = "Anchors"  # category of rows that say where a scale begins; a table with one has real images beside it
LIVE = "{}, trained in this run"  # a row beside its shipped sibling


@dataclass(frozen=True)
class Row:
    """One row of a table: what a paper printed, and the run that answers it (None: no such run yet)."""

    category: str
    label: str
    nfe: int
    method: str | None
    fid: float | None
    note: str = ""


def rows(plan: Plan, name: str) -> list[Row]:
    """Return the rows of a table in the paper's order, then our extra ones.

    A row that takes shipped weights is followed by one of the same method trained here, if the table asks for it.
    """
    table = plan.table(name)
    found = []
    for row in (*_printed_rows(plan, table), *_extra_rows(plan, table)):
        taken = answering(plan, table, row.method) if row.method else None
        found.append(replace(row, method=taken))
        if taken != row.method and row.method in table.live:
            found.append(Row(row.category, LIVE.format(row.label), row.nfe, row.method, None))
    return found


def answering(plan: Plan, table: Table, method: str) -> str:
    """Return the run that answers a row of `method`: one with shipped weights, where the table takes them."""
    return plan.student(table.dataset, method) if table.students else method


def trainings(plan: Plan, name: str) -> list[tuple[str, int, list[float]]]:
    """Return (run, NFE, FDn of every known training) of a table's rows with shipped weights, the shipped one first.

    None of a row that draws another number of images than its card was made of.
    """
    dataset, found = plan.table(name).dataset, []
    for method in dict.fromkeys(row.method for row in rows(plan, name) if row.method):
        weights = plan.shipped(dataset, method) if method.startswith(f"{SHIPPED}/") else None
        card = read_card(weights, method) if weights else {"quality": {}}
        if card.get("recipe", {}).get("sampling", {}).get("n_samples") != plan.run(dataset, method).sampling.n_samples:
            continue  # FDn of so many images says nothing of other numbers
        for nfe in plan.run(dataset, method).sampling.nfe:
            if (key := f"fdn_nfe{nfe}") in card["quality"]:
                found.append((method, nfe, [card["quality"][key], *card.get("further", {}).get(key, [])]))
    return found


def spent(plan: Plan, name: str) -> dict[str, float]:
    """Return the CPU-seconds that a table's shipped weights took, by run, where their card says it beside its budget.

    Cards whose budget holds them need no second look: the metrics of such a run have them from there.
    """
    dataset, found = plan.table(name).dataset, {}
    for method in dict.fromkeys(row.method for row in rows(plan, name) if row.method):
        card = read_card(weights, method) if (weights := plan.shipped(dataset, method)) else {}
        if "cpu_seconds" in card and "train_cpu_seconds" not in card.get("budget", {}):
            found[method] = float(card["cpu_seconds"])
    return found


def teachers(plan: Plan, name: str) -> list[str]:
    """Return a sentence on every row of a table that others of its rows start from or learn from."""
    table = plan.table(name)
    known = [row for row in (*_printed_rows(plan, table), *_extra_rows(plan, table)) if row.method]
    labels = {str(row.method): row.label for row in known}
    found: dict[str, list[str]] = {}
    for method, label in labels.items():
        for base in _bases(plan, table.dataset, answering(plan, table, method)):
            if base in labels and label not in found.setdefault(labels[base], []):
                found[labels[base]].append(label)
    most = sorted(found.items(), key=lambda item: -len(item[1]))
    return [f"{label}: teacher or starting point of {'; '.join(names)}." for label, names in most if names]


def _bases(plan: Plan, dataset: str, method: str) -> list[str]:
    """Return the runs that a run starts from, is taught by, or has its trajectories from."""
    run = plan.run(dataset, method)
    kind, _, feed = run.feed.partition("/")
    solved = plan.trajectory_set(dataset, feed).teacher if kind == "trajectories" else None
    return [named_base(base)[0] for base in (run.init, run.teacher, solved) if base]


def row_title(plan: Plan, table: Table, method: str) -> str:
    """Return how a figure of a table's rows calls a run: by its title, and as trained here where a sibling is not."""
    title = plan.title(table.dataset, method)
    beside = answering(plan, table, method) != method and method in table.live
    return LIVE.format(title) if beside else title


def notes(plan: Plan, name: str) -> list[tuple[str, str]]:
    """Return (row, remark) of every printed row that carries a remark; resolves no run."""
    return [(f"{row.label}, {row.nfe:,} NFE", row.note) for row in _printed_rows(plan, plan.table(name)) if row.note]


def cells(plan: Plan, name: str) -> Iterator[tuple[Row, list[str]]]:
    """Yield each row of a table with the metrics files, one per seed, that answer it."""
    dataset = plan.table(name).dataset
    for row in rows(plan, name):
        seeds = plan.seeds if row.method else []
        yield row, [plan.layout.run(dataset, str(row.method), seed).metrics(row.nfe) for seed in seeds]


def metrics(plan: Plan, name: str) -> list[str]:
    """Return every metrics file that a table needs."""
    return list(dict.fromkeys(path for _, paths in cells(plan, name) for path in paths))


def first_seeds(plan: Plan, name: str) -> list[tuple[str, str]]:
    """Return samples and metrics of the first seed of every row, for a figure that shows rows side by side."""
    dataset = plan.table(name).dataset
    runs = [(plan.layout.run(dataset, row.method, 0), row.nfe) for row in rows(plan, name) if row.method]
    return list(dict.fromkeys((run.samples(nfe), run.metrics(nfe)) for run, nfe in runs))


def shown(plan: Plan, *printed: str) -> str | None:
    """Return the table whose rows a figure shows: the benchmark's first that answers one of these printed tables."""
    answering = {spec.rows: name for name, spec in reversed(plan.tables.items())}
    return next((answering[rows] for rows in printed if rows in answering), None)


def printed_side(plan: Plan, name: str) -> list[Any]:
    """Return what stands in a table or figure that was not measured: titles, printed rows, the paper."""
    table = plan.table(name)
    found = rows(plan, name)
    titles = [row_title(plan, table, row.method) for row in found if row.method]
    return [[vars(row) for row in found], titles, reported(plan, table), plan.dataset(table.dataset).title]


def reported(plan: Plan, table: Table) -> dict[str, Any]:
    """Return the file of configs/reported that holds a table's printed numbers."""
    return read_yaml(plan.configs / f"reported/{table.reported}.yaml").values


def printed(plan: Plan, table: Table) -> list[dict[str, Any]]:
    """Return the rows of a table as the paper printed them.

    Raises:
        ConfigError: the file of printed numbers has no such table.
    """
    tables = reported(plan, table).get("tables", {})
    if table.rows not in tables:
        path = plan.configs / f"reported/{table.reported}.yaml"
        raise ConfigError(f"{path}: no table '{table.rows}'. {nearest(table.rows, list(tables))}")
    return list(tables[table.rows]["rows"])


def _printed_rows(plan: Plan, table: Table) -> list[Row]:
    found = []
    for item in printed(plan, table):
        asked = table.run is None or item["run"] in table.run
        method = item["run"] if asked and (plan.configs / f"{item['run']}.yaml").exists() else None
        found.append(Row(item["category"], item["method"], item["nfe"], method, item["fid"], item.get("note", "")))
    return found


def _extra_rows(plan: Plan, table: Table) -> list[Row]:
    found = []
    for method in table.extra:
        run = plan.run(table.dataset, method)
        found += [Row(run.category, run.title, nfe, method, None) for nfe in run.sampling.nfe]
    return found
