"""Beside each result lies its record: what made it, from what, with which settings, versions and commit, in what time.

Readers compare the digest in the record with that of the file, and the record with its digest of itself, so that a
damaged or edited input is named before it is used.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any

from hkd.store import bounded
from hkd.store.atomic import sha256, write_json
from hkd.store.refusals import ArtifactError
from hkd.store.waiting import agrees_soon

RECORD = ".record.json"


RECORD_FIELDS: dict[str, Any] = {  # those that readers use of every record
    "stage": str,
    "of": dict,
    "file": str,
    "sha256": str,
    "settings_digest": str,
    "seed": (int, type(None)),
    "inputs": dict,
    "record_sha256": str,
}


# CPU-seconds of this process before it began: of the one in whose place it was forked, and of the one that forked it
process_start: dict[str, Any] = {"cpu_seconds": 0.0}

PACKAGES = ("torch", "numpy", "scipy", "torch-fidelity", "clean-fid", "lpips", "snakemake")


def record_path(path: Path | str) -> Path:
    """Return where the record of a result lies."""
    path = Path(path)
    return path.with_name(path.name + RECORD)


def read_record(path: Path | str, stage: str) -> dict[str, Any]:
    """Return the record of a result that `stage` made.

    Raises:
        ArtifactError: it is missing, damaged, was edited, or is of another file or of an older version.
    """
    path, about = Path(path), record_path(path)
    try:
        found = bounded.check_fields(_parsed_record(about), RECORD_FIELDS)
        if found["record_sha256"] != seal(found):
            raise bounded.Damaged("its digest of itself is another, so it was damaged or edited")
        if found["file"] != path.name:
            raise bounded.Damaged(f"it is the record of {found['file']!r}")
    except FileNotFoundError:
        again = f"run `hkd {stage}`, or `snakemake --cores all {path}`"
        if not path.exists():
            raise ArtifactError(f"{path}: missing; {again}") from None
        raise ArtifactError(f"{about}: missing, so nothing says what {path.name} is; {again}") from None
    except bounded.Damaged as error:
        raise ArtifactError(f"{about}: {error}; delete {path.name} and run `hkd {stage}` again") from None
    return found


def refuse_to_replace(*targets: Path, given: Sequence[Path] = ()) -> None:
    """Refuse to write over what a command was given, or over a file that is not as a record of ours says.

    Raises:
        ArtifactError: naming the file.
    """
    for target in targets:
        if any(target.exists() and own.exists() and target.samefile(own) for own in given):
            raise ArtifactError(f"{target}: is read by this command, and would be lost; name another --out")
        there = [path for path in (target, record_path(target)) if os.path.lexists(path)]
        if there and not _recorded(target):
            raise ArtifactError(
                f"{there[0]}: is there, and no record says that hkd wrote it so; name another --out, or move it away"
            )


def _recorded(path: Path) -> bool:
    try:
        found = read_record(path, "")
        return not path.exists() or (path.is_file() and found["sha256"] == sha256(path))
    except ArtifactError:
        return False


def _parsed_record(path: Path) -> Any:
    found = bounded.parse_json(bounded.read_bytes(path, bounded.JSON_BYTES))
    if isinstance(found, dict) and "record_sha256" not in found:
        raise bounded.Damaged("no digest of itself, as an older version of hkd wrote it")
    return found


def seal(record: Mapping[str, Any]) -> str:
    """Return the digest of a record's content, without the digest itself."""
    content = {key: value for key, value in record.items() if key != "record_sha256"}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def check_digest(path: Path | str, stage: str) -> None:
    """Compare a file with the digest in its record, if it has one.

    Raises:
        ArtifactError: the file is missing, its bytes are not those that were recorded, or its record is damaged.
    """
    path = Path(path)
    if not path.is_file():
        found = "a folder or a device where a file should be" if path.exists() else "missing"
        raise ArtifactError(f"{path}: {found}; run `hkd {stage}`, or `snakemake --cores all {path}`")
    if record_path(path).exists():
        recorded = read_record(path, stage)["sha256"]
        if recorded != sha256(path) and not agrees_soon(path, record_path(path), sha256):
            raise ArtifactError(
                f"{path}: damaged, its digest is not the recorded {recorded[:12]}…; "
                f"delete it and run `hkd {stage}`, or `snakemake --cores all {path}`"
            )


@lru_cache(maxsize=1)
def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that results depend on."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "absent"
    return found


@lru_cache(maxsize=1)
def commit() -> str:
    """Return the commit of the source tree, with `+changes` when it was edited, or `unknown`."""
    here = Path(__file__).resolve().parent
    git = ["git", "-C", str(here)]
    try:
        head = subprocess.run(
            [*git, "rev-parse", "HEAD"], capture_output=True, encoding="utf-8", errors="replace", timeout=10
        )
        edited = subprocess.run([*git, "status", "--porcelain", "--", str(here)], capture_output=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"
    if head.returncode:
        return "unknown"
    return head.stdout.strip() + ("+changes" if edited.stdout else "")


@dataclass
class Record:
    """The provenance of one result: created when a stage starts, written when its result is in place."""

    stage: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    settings_digest: str = ""
    seed: int | None = None
    inputs: Sequence[Path | str] = ()
    device: str = "cpu"
    code: str = ""
    of: Mapping[str, str] = field(default_factory=dict)
    compute: Mapping[str, Any] = field(default_factory=dict)
    started: float = field(default_factory=time.time)

    def __post_init__(self) -> None:
        # both ask other programs and take a while: not between a finished file and its record
        commit(), versions()
        self._cpu_start = time.process_time()
        self._wall_start = time.monotonic()

    def write(self, path: Path | str, **facts: Any) -> dict[str, Any]:
        """Write and return the record of the finished file `path`; `facts` are what the stage measured.

        It ends with a digest of itself: readers take facts from it, so it is protected as the file is.
        """
        content: dict[str, Any] = {
            "stage": self.stage,
            "of": dict(self.of),
            "file": Path(path).name,
            "sha256": sha256(path),
            "settings_digest": self.settings_digest,
            "code": self.code,
            "settings": dict(self.settings),
            "seed": self.seed,
            "inputs": {str(i): recorded_digest(i) for i in self.inputs},
            "commit": commit(),
            "versions": versions(),
            "device": self.device,
            "compute": dict(self.compute),
            "visible_devices": os.environ.get("CUDA_VISIBLE_DEVICES"),  # which of a machine's GPUs `cuda:0` was
            "machine": platform.machine(),
            "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
            "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self.started)),
            "wall_seconds": round(time.monotonic() - self._wall_start, 3),
            "cpu_seconds": round(time.process_time() - self._cpu_start, 3),
            # before the clock: of the interpreter, of imports and of reading settings
            "process_start": {**process_start, "cpu_seconds": round(process_start["cpu_seconds"] + self._cpu_start, 3)},
            "peak_memory_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
            **facts,
        }
        content = json.loads(json.dumps(content))  # as it will be read: tuples are lists, and keys are text
        content["record_sha256"] = seal(content)
        write_json(record_path(path), content)
        return content


def identity(made_by: str, inputs: Sequence[Path | str]) -> str:
    """Return what names unfinished work: what makes it, and the bytes of what it reads."""
    read = hashlib.sha256(" ".join(recorded_digest(path) for path in inputs).encode()).hexdigest()[:16]
    return f"{made_by}-{read}"


def recorded_digest(path: Path | str) -> str:
    """Return the digest of an input: from its record when it has one, else from its bytes; of a folder, its manifest's.

    Raises:
        ArtifactError: its record is damaged.
    """
    path = main_file(path)
    if record_path(path).exists():
        return str(read_record(path, "prepare")["sha256"])
    return sha256(path)


def main_file(path: Path | str) -> Path:
    """Return the file that stands for a result: the manifest of a folder, or the result itself."""
    path = Path(path)
    return path / "manifest.json" if path.is_dir() else path
