"""One chain from pixels to tables: whether what a command reads is what the plan says, and of what is there now.

Every input of the pipeline has a record that names its stage, the values of its wildcards, the digest of its settings
and the digests of what it was made from. They are compared with the work that the plan describes for that path, back to
the images, so that no file of another run, split, seed or setting, and none of an earlier input, passes for it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from hkd.plan.runs import Plan
from hkd.plan.stages import STAGES
from hkd.plan.work import Stage, Work
from hkd.store.paths import METHOD
from hkd.store.records import check_digest, main_file, read_record, record_path
from hkd.store.refusals import ArtifactError

WILDCARD = re.compile(r"\\{(\w+)\\}")  # in a pattern that was escaped
NUMBERS = ("seed", "nfe", "shard")


def check(plan: Plan, paths: Iterable[Path | str]) -> None:
    """Compare files of the pipeline, and the records of all that they were made from, with what the plan describes.

    A file that no stage makes is passed over, and so is one further back that was deleted.

    Raises:
        ArtifactError: naming the first file that is damaged, is of another work, or was made from other inputs than
            those that are there, and the command that makes it.
    """
    chain = Chain(plan)
    for path in dict.fromkeys(map(str, paths)):
        chain.check(path)


class Chain:
    """The records of a results folder, each read and compared once."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._makers: dict[str, Work | None] = {}
        self._digests: dict[str, str] = {}

    def check(self, path: str) -> None:
        """Compare a file with its record, and its record with the plan; `ArtifactError` if they disagree."""
        made = self.maker(path)
        if made is None:
            return
        beside = [made.outputs[name] for name in made.files.beside]
        for one in dict.fromkeys((path, *(other for other in beside if Path(other).exists()))):
            self._recorded(one, made)
            check_digest(main_file(one), made.command)

    def maker(self, path: str) -> Work | None:
        """Return the work whose output a path is, or None where no stage makes it."""
        if path not in self._makers:
            self._makers[path] = self._described(path)
        return self._makers[path]

    def _described(self, path: str) -> Work | None:
        for pattern, stage in self._patterns:
            if found := pattern.fullmatch(path):
                values: dict[str, Any] = dict(found.groupdict())
                if {"group", "method"} <= values.keys():
                    values["method"] = METHOD.format(**{key: values.pop(key) for key in ("group", "method")})
                return stage.work(self._plan, **values)
        return None

    @cached_property
    def _patterns(self) -> list[tuple[re.Pattern[str], Stage]]:
        parts = [part for study in self._plan.studies.values() for part in study.parts]
        found = []
        for stage in (*STAGES.values(), *parts):
            files = stage.files(self._plan.layout)
            found += [(_pattern(files.outputs[name]), stage) for name in (*files.recorded, *files.folders)]
        # the fewer wildcards, the surer: `{table}.csv` is a pattern of every table's name
        return sorted(found, key=lambda pair: pair[0].groups)

    def _recorded(self, path: str, made: Work) -> str:
        """Return the digest that a file's record gives, once the record and those behind it agree with the plan."""
        if path not in self._digests:
            file = main_file(path)
            record = read_record(file, made.command)
            _same_work(file, record, made)
            self._same_inputs(file, record, made)
            self._digests[path] = record["sha256"]
        return self._digests[path]

    def _same_inputs(self, file: Path, record: Mapping[str, Any], made: Work) -> None:
        """Compare the inputs in a record with those that the plan names, each with the file that lies there now."""
        named = {self._place(path): path for path in made.inputs()}
        spare = made.inputs(*made.definition.spare) if made.definition.spare else []
        found = self._by_place(record["inputs"], named)
        for place, path in named.items():
            if place not in found and path in spare:
                continue
            if place not in found or self._now(path, found[place]) != found[place]:
                raise _made_otherwise(file, path, made)
        for place in found.keys() - named.keys():
            raise _made_otherwise(file, place, made)

    def _now(self, path: str, recorded: str) -> str:
        """Return the digest of an input; of one from elsewhere, or deleted since, only what was recorded is known."""
        behind = self.maker(path)
        there = behind is not None and record_path(main_file(path)).exists()
        return self._recorded(path, behind) if behind is not None and there else recorded

    def _place(self, path: str) -> str:
        """Return where a file lies in the results folder, which may be moved as a whole and named in several ways."""
        return path.removeprefix(f"{self._plan.layout.root}/")

    def _by_place(self, inputs: Mapping[str, str], places: Iterable[str]) -> dict[str, str]:
        """Return recorded digests by place; a path in none of these places, or in one that is taken, stays as it is."""
        free, found = set(places), {}
        for path, digest in inputs.items():
            parts = path.split("/")
            ends = ("/".join(parts[start:]) for start in range(len(parts)))
            place = next((end for end in ends if end in free), path)
            free.discard(place)
            found[place] = digest
        return found


def _made_otherwise(file: Path, path: str, made: Work) -> ArtifactError:
    return ArtifactError(
        f"{file}: was made from another {path} than the one that is there; "
        f"run `hkd {made.command}` again, or `snakemake --cores all {file}`"
    )


def _same_work(file: Path, record: Mapping[str, Any], made: Work) -> None:
    """Refuse a record of another stage, other values of its wildcards or other settings."""
    pairs: list[tuple[str, Any, Any]] = [("stage", record["stage"], made.command)]
    pairs += [(name, record["of"].get(name), value) for name, value in made.of.items()]
    if "seed" in made.of:
        pairs.append(("seed", record["seed"], int(made.of["seed"])))
    pairs.append(("settings", record["settings_digest"], made.settings_digest))
    for name, found, asked in pairs:
        if found != asked:
            raise ArtifactError(
                f"{file}: its record says {name} {found!r}, the plan {asked!r}; it is of other work or another "
                f"benchmark: run `hkd {made.command}` again, or `snakemake --cores all {file}`"
            )


def _pattern(path: str) -> re.Pattern[str]:
    """Return the expression of an output's pattern; a wildcard is one part of the path, and has one value."""
    seen: set[str] = set()

    def wildcard(found: re.Match[str]) -> str:
        name = found.group(1)
        if name in seen:
            return f"(?P={name})"
        seen.add(name)
        return f"(?P<{name}>{'[0-9]+' if name in NUMBERS else '[^/]+'})"

    return re.compile(WILDCARD.sub(wildcard, re.escape(path)))
