"""Collect all metrics files in one long table: one line per run, NFE and seed.

A metrics file with a missing or impossible entry is refused, not repaired, so that no number in a table is a guess.
"""

from __future__ import annotations

import math
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from hkd.settings.columns import ALWAYS, FID_DIGESTS, Column, at, column, of_ranges
from hkd.store.artifacts import read_json
from hkd.store.records import check_digest, record_path
from hkd.store.refusals import ArtifactError

SCHEMA = 2
LARGEST, LARGEST_FLOAT = 1 << 53, int(sys.float_info.max)  # beyond, no table can hold a number exactly, or at all
COUNTS = ("seed", "nfe", "n_generated", "n_reference")  # whole numbers; every other fact is a text
BUDGET = ("params", "train_images", "network_evals", "train_seconds")
COSTS = ("train_cpu_seconds", "train_gpu_seconds")  # absent where a training was recorded without them
FACTS = (
    *("dataset", "method", "title", "seed", "nfe", "route", "scale", "data_kind", "n_generated", "n_reference"),
    *("extractor", "extractor_digest", "settings_digest", "samples_sha256", "commit"),
)
RECORDED = ("device", "wall_seconds", "cpu_seconds", "peak_memory_mib")
LAST = ("codes", "start", "selected", "versions", "protocols", "file")
COLUMNS = (*FACTS, *ALWAYS, "scores", *BUDGET, *COSTS, *RECORDED, *LAST)


class ReportError(ArtifactError):
    """Metrics that must not be put into a table. The message names the file, the key and the remedy."""


def collect(paths: Iterable[Path | str]) -> pd.DataFrame:
    """Return one line per metrics file, in the order given, with `COLUMNS`.

    `method` is the run as group/name; `scores` and `protocols` are mappings from score to number and to protocol;
    `RECORDED` are facts about the scoring from the record beside the file, empty without one; `file` is the source of
    the line. An unknown budget entry is null in the file and empty here; a score is always a finite number.

    Raises:
        ArtifactError: a file is missing, damaged or no JSON.
        ReportError: a file has another schema, lacks a key, holds a NaN, is of a training that diverged, or repeats
            a run, NFE and seed.
    """
    lines = [_line(Path(path)) for path in paths]
    _check_repeats(lines)
    return pd.DataFrame(lines, columns=list(COLUMNS))


def without_diverged(paths: Iterable[Path | str]) -> tuple[list[Path], dict[tuple[str, int], str]]:
    """Return the metrics files that hold scores, and of the others (method, NFE) -> which seeds diverged at which step.

    Raises:
        ArtifactError: a file is missing, damaged or no JSON.
    """
    scored, lost = [], dict[tuple[str, int], list[str]]()
    for path in map(Path, paths):
        check_digest(path, "metrics")
        content = read_json(path, "metrics")
        if not isinstance(content, Mapping) or content.get("diverged_at") is None:
            scored.append(path)
            continue
        run = _fact(content, "method", path), _fact(content, "nfe", path)
        lost.setdefault(run, []).append(f"seed {_fact(content, 'seed', path)} at step {content['diverged_at']}")
    return scored, {run: f"its training diverged: {', '.join(seeds)}" for run, seeds in lost.items()}


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


def mixed_codes(frame: pd.DataFrame) -> list[tuple[str, str]]:
    """Return a remark, as (row, text), on every row whose training went on under other code than it began with."""
    found = {}
    for line in frame.to_dict("records"):
        if len(line["codes"]) > 1:
            codes = ", ".join(code[:8] for code in line["codes"])
            text = f"trained by {len(line['codes'])} versions of the code, one after the other ({codes})"
            found[f"{line['title']}, seed {line['seed']}"] = text
    return list(found.items())


def other_starts(frame: pd.DataFrame) -> list[tuple[str, str]]:
    """Return a remark, as (row, text), on every row whose training started from other weights than its source's."""
    found = {}
    for line in frame.to_dict("records"):
        start = line["start"]
        if start and start["weights"] != start["source"]:
            text = f"starts from the {start['weights']} weights of {start['base']}, where its source takes the"
            found[line["title"]] = f"{text} {start['source']} ones: the base was given, and has no others"
    return list(found.items())


def chosen_by_the_score(frame: pd.DataFrame) -> list[tuple[str, str]]:
    """Return a remark, as (row, text), on every row that its own score made or chose: it compares with no other."""
    found = {line["title"]: line["selected"] for line in frame.to_dict("records") if line["selected"]}
    return [(title, f"selected, and so beside no other row: {why}") for title, why in found.items()]


def score(line: Mapping[str, Any], asked: Column, n_common: int | None) -> tuple[float, Mapping[str, Any]]:
    """Return the number of a column in a line of `collect`, with its protocol.

    It is the score of all images or of the first `n_common`, or the spread over ranges.

    Raises:
        ReportError: the file holds no such score.
    """
    key = asked.score
    if asked.derived == "common" and n_common not in (None, line["n_generated"]):
        key = at(key, int(n_common or 0))
    elif asked.derived in ("range_sd", "range_min"):
        key = of_ranges(key, asked.derived.removeprefix("range_"))
        if key not in line["scores"]:
            raise ReportError(f"{line['file']}: {asked.name} needs disjoint ranges; set sampling.ranges to 3 or more")
    if key not in line["scores"]:
        held = ", ".join(line["scores"])
        raise ReportError(f"{line['file']}: holds no score '{key}' (it holds {held}); run `hkd metrics` again")
    return line["scores"][key], line["protocols"][key]


def below(line: Mapping[str, Any], n_common: int | None) -> bool:
    """Whether a line has fewer images than the number at which rows are compared, and so no number."""
    return n_common is not None and bool(line["n_generated"] < n_common)


def shown_distance(line: Mapping[str, Any], n_common: int | None) -> tuple[float | None, int | None]:
    """Return a line's FDn, and the number of images if they are too few for more than an estimate.

    Both are None where the line has fewer images than the number at which rows are compared: a picture, and no number.
    """
    if below(line, n_common):
        return None, None
    return line["fdn"], line["n_generated"] if line["protocols"]["fdn"]["estimate"] else None


def check_protocols(metrics: pd.DataFrame, columns: Sequence[str], n_common: int | None = None) -> None:
    """Refuse lines whose numbers may not share a column, because extractor, preprocessing, reference or count differ.

    The number of images is part of a protocol. Rows with different numbers may stand in one table if one of its
    columns compares them at `n_common` images; the others then show each row's own number.

    Raises:
        ReportError: naming the two files, the column and what differs.
    """
    if metrics.empty:
        return
    lines = lines_of(metrics)
    first, *others = [line for line in lines if not below(line, n_common)] or lines
    chosen = [column(name) for name in columns]
    own_n = any(item.derived == "common" for item in chosen)
    _check_minima(metrics, chosen)
    for other in others:
        for key in ("dataset", "extractor", "extractor_digest", "n_reference"):
            if first[key] != other[key]:
                raise ReportError(_mixed(first, other, "a column", f"{key} is {first[key]} and {other[key]}"))
        if first["n_generated"] != other["n_generated"] and not own_n:
            differing = f"n_generated is {first['n_generated']} and {other['n_generated']}"
            remedy = "add the column fdn_common, which compares them at the smallest number"
            raise ReportError(_mixed(first, other, "a column", differing, remedy))
        for item in chosen:
            (_, mine), (_, theirs) = (score(line, item, n_common) for line in (first, other))
            differing = _difference(mine, theirs, () if item.derived == "common" else ("n_generated",))
            if differing:
                raise ReportError(_mixed(first, other, item.name, differing))


def _check_minima(metrics: pd.DataFrame, chosen: Sequence[Column]) -> None:
    """Refuse a minimum over seeds where rows have different numbers of seeds: the more seeds, the lower it is."""
    seeds = Counter(zip(metrics["method"], metrics["nfe"], strict=True)).most_common()
    for item in chosen:
        if item.derived in ("min", "range_min") and seeds[0][1] != seeds[-1][1]:
            found = " and ".join(f"{count} of {method} at {nfe} NFE" for (method, nfe), count in (seeds[0], seeds[-1]))
            raise ReportError(
                f"{item.name} would mix minima over different numbers of seeds ({found});"
                " run the same seeds for every row, or leave the column out"
            )


def check_seeds(lines: pd.DataFrame) -> None:
    """Refuse the lines of one run and NFE as seeds of one row when more than the seed differs.

    Raises:
        ReportError: naming the first key that differs and its values.
    """
    for key in ("settings_digest", "route", "scale", "data_kind", "n_generated"):
        if lines[key].nunique() > 1:
            values = ", ".join(f"{f}: {v}" for f, v in zip(lines["file"], lines[key], strict=True))
            raise ReportError(f"{key} differs between the seeds of one row ({values}); run all seeds with one setting")


def lines_of(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the lines of a table as mappings from column to value; None where there is none."""
    return [{str(key): _present(value) for key, value in line.items()} for line in frame.to_dict("records")]


def _present(value: Any) -> Any:
    return None if pd.api.types.is_scalar(value) and pd.isna(value) else value


def _line(path: Path) -> dict[str, Any]:
    """Return the line of one metrics file, with every entry checked."""
    check_digest(path, "metrics")
    content = read_json(path, "metrics")
    if not isinstance(content, Mapping):
        raise ReportError(f"{path}: holds no mapping; delete it and run `hkd metrics` again")
    schema = _take(content, "schema", path)
    if schema != SCHEMA:
        raise ReportError(f"{path}: schema = {schema!r}, this version reads {SCHEMA}; run `hkd metrics` again")
    if content.get("diverged_at") is not None:
        raise ReportError(f"{path}: of a training that diverged at step {content['diverged_at']}; train it otherwise")
    line = {key: _fact(content, key, path) for key in FACTS} | {"versions": _mapping(content, "versions", path)}
    if "/" not in line["method"]:
        raise ReportError(f"{path}: method = {line['method']!r} is no group/name such as methods/hkd")
    if line["extractor"] == "FID" and line["extractor_digest"] not in FID_DIGESTS:
        raise ReportError(f"{path}: called FID, but its weights are not the published Inception's; name it FD-...")
    scores, budget, protocols = (_mapping(content, key, path) for key in ("metrics", "budget", "protocols"))
    line |= {key: _finite(_take(scores, key, path, "metrics."), f"metrics.{key}", path) for key in ALWAYS}
    line["scores"] = {key: _finite(value, f"metrics.{key}", path) for key, value in scores.items()}
    line |= {key: _known(_take(budget, key, path, "budget."), f"budget.{key}", path) for key in BUDGET}
    line |= {key: _known(budget.get(key), f"budget.{key}", path) for key in COSTS}
    for key in scores:
        _estimates(_mapping(protocols, key, path, "protocols."), f"protocols.{key}", path)
    codes, start = content.get("codes", []), content.get("start") or {}
    if not isinstance(codes, list) or not all(isinstance(code, str) for code in codes):
        raise ReportError(f"{path}: codes = {_told(codes)} is no list of texts; run `hkd metrics` again")
    if not isinstance(start, dict) or not all(isinstance(value, str) for value in start.values()):
        raise ReportError(f"{path}: start = {_told(start)} is no start of a training; run `hkd metrics` again")
    selected = content.get("selected", "")
    if not isinstance(selected, str):
        raise ReportError(f"{path}: selected = {_told(selected)} is no text; run `hkd metrics` again")
    facts = {"codes": codes, "start": start, "selected": selected}
    return line | _recorded(path) | facts | {"protocols": dict(protocols), "file": str(path)}


def _recorded(path: Path) -> dict[str, Any]:
    """Return device, times and memory of the scoring from the record beside a metrics file."""
    if not record_path(path).exists():
        return dict.fromkeys(RECORDED)
    content = read_json(record_path(path), "metrics")
    return {key: content.get(key) for key in RECORDED}


def _take(section: Mapping[str, Any], key: str, path: Path, prefix: str = "") -> Any:
    if key not in section:
        raise ReportError(f"{path}: key '{prefix}{key}' is missing; run `hkd metrics` again")
    return section[key]


def _fact(content: Mapping[str, Any], key: str, path: Path) -> Any:
    """Return a fact, which is a text, or a whole number of those in COUNTS."""
    value = _take(content, key, path)
    if key in COUNTS:
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < LARGEST:
            raise ReportError(f"{path}: {key} = {_told(value)} is no count; run `hkd metrics` again")
    elif not isinstance(value, str):
        raise ReportError(f"{path}: {key} = {_told(value)} is no text; run `hkd metrics` again")
    return value


def _mapping(section: Mapping[str, Any], key: str, path: Path, prefix: str = "") -> Mapping[str, Any]:
    value = _take(section, key, path, prefix)
    if not isinstance(value, Mapping):
        raise ReportError(f"{path}: {prefix}{key} = {_told(value)} is no mapping; run `hkd metrics` again")
    return value


def _estimates(protocol: Mapping[str, Any], key: str, path: Path) -> None:
    found = protocol.get("estimate", [])
    if not isinstance(found, list | tuple) or not all(isinstance(reason, str) for reason in found):
        raise ReportError(f"{path}: {key}.estimate = {_told(found)} is no list of texts; run `hkd metrics` again")


def _told(value: Any) -> str:
    """Return a value as text that keeps to its line."""
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:40]}…"


def _finite(value: Any, key: str, path: Path) -> float:
    known = isinstance(value, int | float) and not isinstance(value, bool)
    if not known or not abs(value) < math.inf or abs(value) > LARGEST_FLOAT:
        raise ReportError(
            f"{path}: {key} = {_told(value)} is no finite number; look at the samples, then score them again"
        )
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


def _difference(one: Mapping[str, Any], two: Mapping[str, Any], ignore: Sequence[str] = ()) -> str:
    """Return the differences of two protocols as text, without versions and remarks; empty where there are none."""
    apart = {"versions", "estimate", *ignore}
    keys = [key for key in (*one, *two) if key not in apart and one.get(key) != two.get(key)]
    return "; ".join(f"{key} is {one.get(key)} and {two.get(key)}" for key in dict.fromkeys(keys))


def _mixed(
    one: Mapping[str, Any],
    two: Mapping[str, Any],
    where: str,
    differing: str,
    remedy: str = "score both the same way, or put them in tables of their own",
) -> str:
    return f"{one['file']} and {two['file']}: {where} would mix protocols ({differing}); {remedy}"
