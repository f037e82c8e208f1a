"""Whether a measured number may be compared with a printed one, and if not, the reasons."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hkd.settings.origins import ConfigError, nearest, read_yaml

BUDGET_TOLERANCE = 0.01  # printed lengths are rounded to whole steps and batches


@dataclass(frozen=True)
class Paper:
    """The conditions under which a printed table was measured.

    Attributes:
        title: the table's name.
        dataset, dataset_title, n_reference: the data set whose training images, all of them, are the reference.
        extractor, n_generated: the metric's feature network and the number of samples.
        train_images: for each run, the training length behind its printed number; None where it is not stated.
        note: remark on the whole table.
    """

    title: str
    dataset: str
    dataset_title: str
    n_reference: int
    extractor: str
    n_generated: int
    train_images: Mapping[str, int | None]
    note: str = ""

    @classmethod
    def read(cls, path: Path | str, table: str) -> Paper:
        """Return the conditions of `table` from a file of configs/reported.

        Raises:
            ConfigError: the file has no such table, or lacks a key.
        """
        values = read_yaml(Path(path)).values
        tables = values.get("tables", {})
        if table not in tables:
            raise ConfigError(f"{path}: no table '{table}'. {nearest(table, list(tables))}")
        try:
            dataset = values["dataset"]
            protocol = values["protocol"]
            printed = tables[table]
            return cls(
                title=printed["title"],
                dataset=dataset["name"],
                dataset_title=dataset["title"],
                n_reference=dataset["images"],
                extractor=protocol["extractor"],
                n_generated=protocol["n_generated"],
                train_images={row["run"]: row.get("train_images") for row in printed["rows"]},
                note=printed.get("note", ""),
            )
        except KeyError as error:
            raise ConfigError(f"{path}: key {error} is missing; add it") from None


def why_not(line: Mapping[str, Any], paper: Paper, reported: float | None) -> list[str]:
    """Return all reasons against comparing a line of `collect` with the printed number; without any, they compare."""
    reasons = [
        _no_number(reported),
        _extractor(line, paper),
        _images(line, paper),
        _count(line["n_generated"], paper.n_generated, "generated images"),
        _count(line["n_reference"], paper.n_reference, "reference images"),
        _budget(line, paper),
    ]
    return [reason for reason in reasons if reason]


def _no_number(reported: float | None) -> str:
    return "no number printed for it" if reported is None else ""


def _extractor(line: Mapping[str, Any], paper: Paper) -> str:
    if line["extractor"] == paper.extractor:
        return ""
    if line["data_kind"] == "shapes":
        return "embedded extractor, not Inception"
    return f"extractor {line['extractor']}, not Inception"


def _images(line: Mapping[str, Any], paper: Paper) -> str:
    if line["data_kind"] == "shapes":
        return f"procedural images, not {paper.dataset_title}"
    if line["dataset"] != paper.dataset:
        return f"data set '{line['dataset']}', not {paper.dataset_title}"
    return ""


def _count(found: int, expected: int, what: str) -> str:
    return "" if found == expected else f"{found:,} {what}, not {expected:,}"


def _budget(line: Mapping[str, Any], paper: Paper) -> str:
    """Return the reason why training budgets differ, or an empty text.

    Published weights have the paper's budget by definition; ours must have seen as many images.
    """
    if line["route"] == "released":
        return ""
    if line["scale"] != "paper":
        return f"training budget of scale '{line['scale']}', not the paper's"
    expected, found = paper.train_images.get(line["method"]), line["train_images"]
    if expected is None:
        return "training length not stated in the paper"
    if found is None:
        return "training length not recorded"
    if abs(found - expected) > BUDGET_TOLERANCE * expected:
        return f"{found:,.0f} training images, not {expected:,}"
    return ""
