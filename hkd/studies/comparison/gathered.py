"""What lies in a results folder for a claim: metrics files of its run, or a cell of a study's table.

Nothing here refuses a whole comparison. A file that is missing, belongs to another run, or was edited since it was
written is named, and the claim that needs it is incomplete.
"""

from __future__ import annotations

import csv
import io
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hkd.report.collect import ReportError, check_seeds, collect, lines_of
from hkd.store.artifacts import read_json
from hkd.store.records import check_digest, read_record, record_path
from hkd.store.refusals import ArtifactError
from hkd.studies.comparison.said import LEARNED, Cell

TOO_FEW = "is not above the feature dimension"  # of `uncertainty.why_estimate`: such a distance says nothing
LARGEST = 8 << 20  # bytes of a study's table; those of the studies here have some tens of thousands


@dataclass(frozen=True)
class RunFile:
    """Where one seed of a run was measured: the metrics file, and the weights that it was measured of.

    `given`: weights from elsewhere, which somebody named; those need no record.
    """

    seed: int
    metrics: Path
    weights: Path
    given: bool = False


@dataclass(frozen=True)
class Found:
    """What was measured of a run.

    Attributes:
        lines: of `hkd.report.collect`, one per seed.
        missing: files that are not there; refused: one line on each that is there and was not used.
        unrecorded: files without a record beside them, whose origin nobody can check.
        selected: why checkpoint or keys were chosen by the score, where a record says so.
        checkpoints: which checkpoint the weights of each training are, as its record says; "" where it does not.
        settings: of each training, as its record has them; codes: which versions of the code trained.
        files: all that were read and used.
    """

    lines: tuple[Mapping[str, Any], ...] = ()
    missing: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()
    unrecorded: tuple[str, ...] = ()
    selected: tuple[str, ...] = ()
    checkpoints: tuple[tuple[str, str], ...] = ()
    settings: tuple[Mapping[str, Any], ...] = ()
    codes: tuple[str, ...] = ()
    files: tuple[str, ...] = ()

    @property
    def gaps(self) -> str:
        """What is not whole, in words; empty where nothing is missing but everything."""
        parts = list(self.refused)
        if self.missing and (self.lines or self.refused):
            parts.append(f"not there: {', '.join(self.missing)}")
        return "; ".join(parts)

    def doubts(self, key: str) -> tuple[str, ...]:
        """Return why a score is an estimate, as its files say it, each reason once."""
        said = (line.get("protocols", {}).get(key, {}).get("estimate", ()) for line in self.lines)
        return tuple(dict.fromkeys(text for reasons in said for text in reasons))

    def says_nothing(self, key: str) -> bool:
        """Whether a score is of fewer images than a distance needs: it is not to be shown as a number."""
        return any(text.startswith("generated") and TOO_FEW in text for text in self.doubts(key))


def of_run(files: Sequence[RunFile], dataset: str, run: str, nfe: int) -> Found:
    """Return what was measured of a run, from its metrics files and the records of its weights."""
    import pandas as pd

    lines, missing, refused, unrecorded = [], [], [], []
    selected, kept, settings, read = [], [], [], []
    for file in files:
        if not os.path.lexists(file.metrics):  # a link to nowhere, or in a ring, is there and refused
            missing.append(str(file.metrics))
            continue
        try:
            (line,) = lines_of(collect([file.metrics]))
            _belongs(line, dataset, run, nfe, file)
            about = _record(file)
            _same_weights(file, about)
        except ArtifactError as error:
            refused.append(str(error))
            continue
        if not record_path(file.metrics).exists():
            unrecorded.append(str(file.metrics))
        if file.weights.exists() and not file.given and not record_path(file.weights).exists():
            unrecorded.append(str(file.weights))  # of unknown training
        if about.get("selected"):
            selected.append(f"{file.weights}: chosen by the score ({about['selected']})")
        if about:
            kept.append((str(file.weights), str(about.get("checkpoint") or "")))
        settings.append(_settings(about))
        lines.append(line)
        read.append(str(file.metrics))
    if len(lines) > 1:
        try:
            check_seeds(pd.DataFrame(lines))
        except ReportError as error:
            refused.append(str(error))
    codes = dict.fromkeys(code for line in lines for code in line["codes"])
    facts = (lines, missing, refused, unrecorded, selected, kept, settings, codes, read)
    return Found(*(tuple(fact) for fact in facts))


def of_cell(path: Path, cell: Cell) -> Found:
    """Return the cell of a study's file, as one line with `cell` (its text) and the other columns of its row."""
    if not os.path.lexists(path):
        return Found(missing=(str(path),))
    try:
        line = _value(path, cell) if path.suffix == ".json" else _cell(path, cell)
    except ArtifactError as error:
        return Found(refused=(str(error),))  # not among the files that were used: its record may not be readable either
    if line is None or not line["cell"].strip():  # a line without its number: the training has not come so far
        return Found(missing=(f"{path}: {cell.column} of a line with {_words(cell)}",), files=(str(path),))
    unrecorded = () if record_path(path).exists() else (str(path),)
    return Found(lines=(line,), unrecorded=unrecorded, files=(str(path),))


def numbers(text: str, where: str) -> tuple[float, ...]:
    """Return the numbers of a cell, one per seed.

    Raises:
        ReportError: something in it is no finite number.
    """
    found = []
    for word in text.split():
        try:
            value = float(word)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise ReportError(f"{where}: '{word}' is no finite number; make the table again")
        found.append(value)
    if not found:
        raise ReportError(f"{where}: the cell is empty; make the table again")
    return tuple(found)


def _belongs(line: Mapping[str, Any], dataset: str, run: str, nfe: int, file: RunFile) -> None:
    """Refuse the metrics of another run, which a copied file is."""
    expected = {"dataset": dataset, "method": run, "seed": file.seed, "nfe": nfe}
    for key, value in expected.items():
        if line[key] != value:
            raise ReportError(f"{file.metrics}: {key} is {line[key]!r}, not {value!r}: of another run; remove it")


def _record(file: RunFile) -> Mapping[str, Any]:
    """Return the record of a run's weights, unless somebody edited it; nothing where it has none."""
    about = record_path(file.weights)
    if not os.path.lexists(about):
        return {}
    try:
        found = read_record(file.weights, "train")
    except ArtifactError:
        if not file.given:
            raise
        raise ReportError(f"{about}: not the record of these weights, or edited; without it they need none") from None
    if not isinstance(found.get("settings", {}), Mapping):
        raise ReportError(f"{about}: no record of a training; train the run again")
    return found


def _same_weights(file: RunFile, about: Mapping[str, Any]) -> None:
    """Refuse weights that the metrics were not measured of: their record would tell of another training."""
    if not about or file.given or not record_path(file.metrics).exists():
        return
    inputs = read_record(file.metrics, "metrics")["inputs"]
    measured = {digest for path, digest in inputs.items() if Path(path).name == file.weights.name}
    if measured and about["sha256"] not in measured:
        raise ReportError(
            f"{file.weights}: its record is of other weights than {file.metrics} was measured of; "
            "bring back those weights and their record, or measure these again"
        )


def _settings(about: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the settings of a training, with those of the trajectories that it learned from; none if not recorded."""
    learned = {LEARNED: about[LEARNED]} if LEARNED in about else {}
    return {**about["settings"], **learned} if about.get("settings") else {}


def _value(path: Path, cell: Cell) -> dict[str, Any]:
    """Return the text under the keys of a JSON file that a study wrote."""
    found = read_json(path, path.stem)
    for key in cell.column.split("."):
        if not isinstance(found, Mapping) or key not in found:
            raise ReportError(f"{path}: has no key '{cell.column}'; run the study again")
        found = found[key]
    if not isinstance(found, str):
        raise ReportError(f"{path}: {cell.column} is no text; run the study again")
    return {"cell": found, "file": str(path)}


def _cell(path: Path, cell: Cell) -> dict[str, Any] | None:
    """Return the one line of a table that a cell stands in; None where the study has not made it yet."""
    check_digest(path, path.stem)
    if path.stat().st_size > LARGEST:
        raise ReportError(f"{path}: larger than {LARGEST:,} bytes, which no study's table is; remove it")
    try:
        reader = csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"), newline=""))
        lines, columns = list(reader), list(reader.fieldnames or ())
    except (UnicodeDecodeError, csv.Error, OSError) as error:
        raise ReportError(f"{path}: unreadable ({error}); make the table again") from None
    for key in (cell.column, *cell.where, *cell.must):
        if key not in columns:
            raise ReportError(f"{path}: has no column '{key}'; make the table again")
    fitting = [line for line in lines if all(line[key] == value for key, value in cell.where.items())]
    if len(fitting) > 1:
        raise ReportError(f"{path}: {len(fitting)} lines with {_words(cell)}, where one was expected; make it again")
    return {**fitting[0], "cell": fitting[0][cell.column] or "", "file": str(path)} if fitting else None


def _words(cell: Cell) -> str:
    return ", ".join(f"{key} = {value}" for key, value in cell.where.items())
