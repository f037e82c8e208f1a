"""All metrics files to one long table: one line per run, NFE and seed.

A metrics file is refused rather than repaired: a table with a guessed number is worse than no table.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from hkd.artifacts import ArtifactError, check_digest, read_json, record_path

SCHEMA = 1
METRICS = ("fid_own", "fid_torch_fidelity", "fid_clean_fid", "fdn")
BUDGET = ("params", "train_images", "network_evals", "train_seconds")
FACTS = (
    *("dataset", "method", "title", "seed", "nfe", "route", "scale", "data_kind", "n_generated", "n_reference"),
    *("extractor", "extractor_digest", "settings_digest", "samples_sha256", "commit"),
)
RECORDED = ("device", "wall_seconds", "cpu_seconds", "peak_memory_mib")
COLUMNS = (*FACTS, *METRICS, *BUDGET, *RECORDED, "versions", "protocols", "file")


class ReportError(ArtifactError):
    """Metrics that must not stand in a table. The message names the file, the key and the remedy."""


def collect(paths: Iterable[Path | str]) -> pd.DataFrame:
    """Return one line per metrics file, in the order given, with `COLUMNS`.

    `method` is the run as group/name, `protocols` a mapping from metric to protocol, `RECORDED` what the record
    beside the file says of the scoring (empty without one), `file` where the line comes from. A budget entry that
    nobody knows is null in the file and empty here; a metric is always a finite number.

    Raises:
        ArtifactError: a file is missing, damaged or no JSON.
        ReportError: a file has another schema, lacks a key, holds a NaN, is of a training that diverged, or repeats
            a run, NFE and seed.
    """
    lines = [_line(Path(path)) for path in paths]
    _check_repeats(lines)
    return pd.DataFrame(lines, columns=list(COLUMNS))


def records(paths: Iterable[Path | str]) -> pd.DataFrame:
    """Return one line per run record (`*.record.json`): stage, file, seed, device, times, memory, commit.

    Raises:
        ArtifactError: a record is missing or no JSON.
        ReportError: a record lacks a key.
    """
    keys = ("stage", "file", "sha256", "settings_digest", "seed", "started", *RECORDED, "commit")
    lines = []
    for path in paths:
        content = read_json(path, "report")
        lines.append({key: _take(content, key, Path(path)) for key in keys} | {"record": str(path)})
    return pd.DataFrame(lines, columns=[*keys, "record"])


def check_protocols(metrics: pd.DataFrame) -> None:
    """Refuse lines whose numbers may not share a column: another extractor, preprocessing, reference or count.

    Raises:
        ReportError: naming the two files, the metric and what differs.
    """
    if metrics.empty:
        return
    first, *others = lines_of(metrics)
    for other in others:
        for key in ("dataset", "extractor", "extractor_digest", "n_generated", "n_reference"):
            if first[key] != other[key]:
                raise ReportError(_mixed(first, other, "a column", f"{key} is {first[key]} and {other[key]}"))
        for name in first["protocols"]:
            differing = _difference(first["protocols"][name], other["protocols"].get(name, {}))
            if differing:
                raise ReportError(_mixed(first, other, name, differing))


def check_seeds(lines: pd.DataFrame) -> None:
    """Refuse the lines of one run and NFE as seeds of one row when more than the seed differs.

    Raises:
        ReportError: naming the first key that differs and its values.
    """
    for key in ("settings_digest", "route", "scale", "data_kind"):
        if lines[key].nunique() > 1:
            values = ", ".join(f"{f}: {v}" for f, v in zip(lines["file"], lines[key], strict=True))
            raise ReportError(f"{key} differs between the seeds of one row ({values}); run all seeds with one setting")


def lines_of(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the lines of a table as mappings from column to value."""
    return [{str(key): value for key, value in line.items()} for line in frame.to_dict("records")]


def _line(path: Path) -> dict[str, Any]:
    check_digest(path, "metrics")
    content = read_json(path, "metrics")
    if not isinstance(content, Mapping):
        raise ReportError(f"{path}: holds no mapping; delete it and run `hkd metrics` again")
    schema = _take(content, "schema", path)
    if schema != SCHEMA:
        raise ReportError(f"{path}: schema = {schema!r}, this version reads {SCHEMA}; run `hkd metrics` again")
    if content.get("diverged_at") is not None:
        raise ReportError(f"{path}: of a training that diverged at step {content['diverged_at']}; train it otherwise")
    line = {key: _take(content, key, path) for key in (*FACTS, "versions")}
    if "/" not in line["method"]:
        raise ReportError(f"{path}: method = {line['method']!r} is no group/name such as methods/hkd")
    scores, budget = _take(content, "metrics", path), _take(content, "budget", path)
    protocols = _take(content, "protocols", path)
    line |= {key: _finite(_take(scores, key, path, "metrics."), f"metrics.{key}", path) for key in METRICS}
    line |= {key: _known(_take(budget, key, path, "budget."), f"budget.{key}", path) for key in BUDGET}
    for key in METRICS[:3]:
        _take(protocols, key, path, "protocols.")
    return line | _recorded(path) | {"protocols": dict(protocols), "file": str(path)}


def _recorded(path: Path) -> dict[str, Any]:
    if not record_path(path).exists():
        return dict.fromkeys(RECORDED)
    content = read_json(record_path(path), "metrics")
    return {key: content.get(key) for key in RECORDED}


def _take(section: Mapping[str, Any], key: str, path: Path, prefix: str = "") -> Any:
    if key not in section:
        raise ReportError(f"{path}: key '{prefix}{key}' is missing; run `hkd metrics` again")
    return section[key]


def _finite(value: Any, key: str, path: Path) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ReportError(f"{path}: {key} = {value} is no finite number; look at the samples, then score them again")
    return float(value)


def _known(value: Any, key: str, path: Path) -> float | None:
    return None if value is None else _finite(value, key, path)


def _check_repeats(lines: list[dict[str, Any]]) -> None:
    seen: dict[tuple[Any, ...], str] = {}
    for line in lines:
        key = (line["dataset"], line["method"], line["nfe"], line["seed"])
        if key in seen:
            raise ReportError(f"{line['file']}: same run, nfe and seed as {seen[key]}; give each file once")
        seen[key] = line["file"]


def _difference(one: Mapping[str, Any], two: Mapping[str, Any]) -> str:
    """Return what differs between two protocols, versions apart, or an empty text."""
    keys = [key for key in (*one, *two) if key != "versions" and one.get(key) != two.get(key)]
    return "; ".join(f"{key} is {one.get(key)} and {two.get(key)}" for key in dict.fromkeys(keys))


def _mixed(one: Mapping[str, Any], two: Mapping[str, Any], column: str, differing: str) -> str:
    return (
        f"{one['file']} and {two['file']}: {column} would mix protocols ({differing}); "
        "score both the same way, or put them in tables of their own"
    )
