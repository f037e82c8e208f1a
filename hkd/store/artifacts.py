"""Atomic reading and writing of every file that a stage leaves, with its provenance.

A file is written under a temporary name in its own folder and renamed when it is complete and on the disk, so a reader
sees the old file, the new file, or none, also after the power went. Beside each result lies a record
`<result>.record.json`: what made it, from which inputs, with which settings, versions and commit, and how long it took.
Readers compare the digest in the record with that of the file, so that a damaged input is named before it is used.
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
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from hkd.store import bounded
from hkd.store.finite import first_beyond, unwritable
from hkd.store.refusals import ArtifactError as ArtifactError
from hkd.store.refusals import refusal as refusal
from hkd.store.temporary import clear_leftovers as clear_leftovers
from hkd.store.temporary import make_folder, settle, settle_folder, temporary_file
from hkd.store.waiting import agrees_soon

if TYPE_CHECKING:
    import numpy as np
    import torch

Arrays = dict[str, "np.ndarray"]
T = TypeVar("T")
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
PACKAGES = ("torch", "numpy", "scipy", "torch-fidelity", "clean-fid", "lpips", "snakemake")


@contextmanager
def atomic_path(path: Path | str) -> Iterator[Path]:
    """Yield a temporary path beside `path`, where an empty file lies; rename it to `path` when the block ends well.

    Bytes and name are on the disk afterwards: what is written next, such as a record, never outlives this file.

    Raises:
        ArtifactError: the folder cannot be written or the disk refuses. Nothing half-written stays behind.
    """
    path = Path(path)
    try:
        make_folder(path.parent)
        clear_leftovers(path.parent, path.name)
        with temporary_file(path) as temporary:
            with _named(path, temporary):
                yield temporary
            # the bytes must be on the disk before the name is: after a power cut, a rename without them would leave an
            # empty file under the final name
            settle(temporary)
            os.replace(temporary, path)
            settle_folder(path.parent)
    except OSError as error:
        raise refusal(error, path) or error from error


@contextmanager
def _named(path: Path, temporary: Path) -> Iterator[None]:
    """Turn what the system refuses while a file is written into one line; a file that was read meanwhile is named."""
    try:
        yield
    except OSError as error:
        other = error.filename
        if not isinstance(other, str | Path) or Path(other) in (path, temporary):
            raise refusal(error, path) or error from error
        raise refusal(error, other, "open") or error from error


def write_bytes(path: Path | str, content: bytes) -> None:
    """Write `content` to `path` atomically."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: Path | str, content: str) -> None:
    """Write `content` to `path` atomically, as UTF-8."""
    write_bytes(path, content.encode())


def write_json(path: Path | str, content: Any, *, undefined: bool = False) -> None:
    """Write `content` to `path` atomically, keys in the order given.

    Args:
        undefined: whether NaN may stand for a number that does not exist.
    Raises:
        ArtifactError: a number is not finite; the message names its key.
    """
    if (key := first_beyond(content, undefined)) is not None:
        raise ArtifactError(f"{path}: not written, {key} is NaN or infinity; look at what it was made from")
    write_text(path, json.dumps(content, indent=2) + "\n")


def read_json(path: Path | str, stage: str, *, undefined: bool = False) -> Any:
    """Return the content of a JSON file that `stage` wrote.

    Args:
        undefined: whether NaN may stand for a number that does not exist.
    Raises:
        ArtifactError: the file is missing, not the one its record describes, or no JSON of finite numbers; the message
            names the stage to run again.
    """
    path = Path(path)
    if not path.name.endswith(RECORD):
        check_digest(path, stage)
    read = lambda: bounded.parse_json(bounded.read_bytes(path, bounded.JSON_BYTES), undefined=undefined)  # noqa: E731
    return _read(path, stage, read)


def _read(path: Path, stage: str, read: Callable[[], T]) -> T:
    """Return what `read` makes of a file; what is wrong with it is said with the file and the stage."""
    try:
        return read()
    except FileNotFoundError:
        raise ArtifactError(f"{path}: missing; run `hkd {stage}`, or `snakemake --cores all {path}`") from None
    except bounded.Damaged as error:
        raise ArtifactError(f"{path}: {error}; delete it and run `hkd {stage}` again") from None


def sha256(path: Path | str) -> str:
    """Return the hexadecimal SHA-256 of a file, read in pieces."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def save_weights(
    path: Path | str, state: Mapping[str, torch.Tensor], about: Mapping[str, Any] | None = None, *, finite: bool = True
) -> None:
    """Write named tensors to a safetensors file atomically; `about` goes into its header as JSON.

    Args:
        finite: False for states of a training, and for weights of one that diverged.
    Raises:
        ArtifactError: a tensor holds NaN or infinity.
    """
    from safetensors.torch import save

    # one tensor may stand under two names (shared networks); the file holds each name's own copy
    tensors = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in state.items()}
    if finite:
        check_weights(path, tensors)
    # as bytes through our own writer, which names a full disk and leaves no half-written file behind
    write_bytes(path, save(tensors, metadata={"about": json.dumps(about or {}, sort_keys=True)}))


def check_weights(path: Path | str, tensors: Mapping[str, torch.Tensor]) -> None:
    """Refuse weights that are not finite.

    Raises:
        ArtifactError: naming the first tensor that holds NaN or infinity.
    """
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
            raise ArtifactError(
                f"{path}: its weights {name!r} hold NaN or infinity, so their training diverged; "
                "lower training.optimizer.lr or set training.clip, and train again"
            )


def load_weights(path: Path | str, stage: str = "train") -> dict[str, torch.Tensor]:
    """Return the named tensors of a safetensors file, on the CPU.

    Raises:
        ArtifactError: the file is missing, damaged, not the one its record describes, or holds NaN or infinity and is
            not of a training whose divergence is its result.
    """
    path = Path(path)
    check_digest(path, stage)
    tensors, _ = _read(path, stage, lambda: bounded.read_tensors(path))
    diverged = record_path(path).exists() and read_record(path, stage).get("diverged_at") is not None
    if not diverged:
        check_weights(path, tensors)
    return tensors


def weights_about(path: Path | str, stage: str = "extractor") -> dict[str, Any]:
    """Return the facts `about` the file that `save_weights` wrote into its header.

    Raises:
        ArtifactError: the file is missing or damaged.
    """
    path = Path(path)
    return _read(path, stage, lambda: bounded.tensors_about(path))


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
            "visible_devices": os.environ.get("CUDA_VISIBLE_DEVICES"),  # which of a machine's GPUs `cuda:0` was
            "machine": platform.machine(),
            "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
            "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self.started)),
            "wall_seconds": round(time.monotonic() - self._wall_start, 3),
            "cpu_seconds": round(time.process_time() - self._cpu_start, 3),
            "peak_memory_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
            **facts,
        }
        content = json.loads(json.dumps(content))  # as it will be read: tuples are lists, and keys are text
        content["record_sha256"] = seal(content)
        write_json(record_path(path), content)
        return content


def save_arrays(path: Path, arrays: Arrays, *, undefined: bool = False) -> None:
    """Write named arrays to an .npz file atomically.

    Args:
        undefined: whether NaN may stand for a number that does not exist.
    Raises:
        ArtifactError: an array holds NaN or infinity.
    """
    import numpy as np

    for name, array in arrays.items():
        if (broken := unwritable(array, undefined)) is not None:
            raise ArtifactError(f"{path}: not written, {name!r} holds {broken}; look at what it was made from")
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]


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


def read_arrays(path: Path | str, stage: str) -> dict[str, np.ndarray]:
    """Return the arrays of an .npz that `stage` wrote.

    Raises:
        ArtifactError: the file is missing, damaged, or not the one its record describes.
    """
    path = Path(path)
    check_digest(path, stage)
    return _read(path, stage, lambda: bounded.read_npz(path))
