"""Atomic reading and writing of every file that a stage leaves, with its provenance.

A file is written under a temporary name in its own folder and renamed when it is complete, so a reader sees the
old file, the new file, or none. Beside each result lies a record `<result>.record.json`: what made it, from which
inputs, with which settings, versions and commit, and how long it took. Readers compare the digest in the record with
that of the file, so that a damaged input is named before it is used.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import torch

Arrays = dict[str, "np.ndarray"]
PACKAGES = ("torch", "numpy", "scipy", "torch-fidelity", "clean-fid", "lpips", "snakemake")


class ArtifactError(RuntimeError):
    """A file that a stage needs is missing, damaged or cannot be written. The message names the remedy."""


@contextmanager
def atomic_path(path: Path | str) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it to `path` when the block ends without an error.

    Raises:
        ArtifactError: the folder cannot be written or the disk is full. Nothing half-written stays behind.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        clear_leftovers(path.parent, path.name)
        yield temporary
        # the bytes must be on the disk before the name is: after a power cut, a rename without them would leave an
        # empty file under the final name
        with open(temporary, "rb") as file:
            os.fchmod(file.fileno(), 0o666 & ~_umask())  # some writers make files that only their owner can read
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise refusal(error, path) or error from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def clear_leftovers(folder: Path, name: str = "*") -> None:
    """Remove the half-written files of `name` that killed writers left in a folder."""
    # the number in the name is the writer's process; a file of a living one is still being written
    for leftover in folder.glob(f".{name}.*.tmp"):
        writer = leftover.suffixes[-2].removeprefix(".")
        if writer.isdigit() and int(writer) != os.getpid() and not Path(f"/proc/{writer}").exists():
            leftover.unlink(missing_ok=True)


def refusal(error: OSError, path: Path | str) -> ArtifactError | None:
    """Return the one-line error for a full disk or a folder that cannot be written; None for any other error."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return ArtifactError(f"{path}: the disk is full; free some space and run the same command again")
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return ArtifactError(f"{path}: cannot write here ({error.strerror}); make {Path(path).parent} writable")
    if error.errno in (errno.ENOTDIR, errno.EEXIST):
        return ArtifactError(f"{path}: cannot write here ({error.strerror}); a file stands where a folder should be")
    return None


def _umask() -> int:
    """Return the process's mask of permissions, which can only be read by setting it."""
    mask = os.umask(0)
    os.umask(mask)
    return mask


def write_bytes(path: Path | str, content: bytes) -> None:
    """Write `content` to `path` atomically."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: Path | str, content: str) -> None:
    """Write `content` to `path` atomically, as UTF-8."""
    write_bytes(path, content.encode())


def write_json(path: Path | str, content: Any) -> None:
    """Write `content` to `path` atomically, keys in the order given."""
    write_text(path, json.dumps(content, indent=2) + "\n")


def read_json(path: Path | str, stage: str) -> Any:
    """Return the content of a JSON file that `stage` wrote.

    Raises:
        ArtifactError: the file is missing or is no JSON; the message names the stage to run again.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ArtifactError(f"{path}: missing; run `hkd {stage}`, or `snakemake --cores all {path}`") from None
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ArtifactError(f"{path}: not valid JSON ({error}); delete it and run `hkd {stage}` again") from error


def sha256(path: Path | str) -> str:
    """Return the hexadecimal SHA-256 of a file, read in pieces."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def save_weights(path: Path | str, state: Mapping[str, torch.Tensor], about: Mapping[str, Any] | None = None) -> None:
    """Write named tensors to a safetensors file atomically; `about` goes into its header as JSON."""
    from safetensors.torch import save

    # one tensor may stand under two names (shared networks); the file holds each name's own copy
    tensors = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in state.items()}
    # as bytes through our own writer, which names a full disk and leaves no half-written file behind
    write_bytes(path, save(tensors, metadata={"about": json.dumps(about or {}, sort_keys=True)}))


def load_weights(path: Path | str, stage: str = "train") -> dict[str, torch.Tensor]:
    """Return the named tensors of a safetensors file, on the CPU.

    Raises:
        ArtifactError: the file is missing, damaged, or not the one its record describes.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    check_digest(path, stage)
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise ArtifactError(f"{path}: not a readable safetensors file ({error}); run `hkd {stage}` again") from error


def weights_about(path: Path | str) -> dict[str, Any]:
    """Return the facts `about` the file that `save_weights` wrote into its header."""
    from safetensors import safe_open

    with safe_open(path, framework="numpy") as file:
        return json.loads((file.metadata() or {}).get("about", "{}"))


def record_path(path: Path | str) -> Path:
    """Return where the record of a result lies."""
    path = Path(path)
    return path.with_name(path.name + ".record.json")


def check_digest(path: Path | str, stage: str) -> None:
    """Compare a file with the digest in its record, if it has one.

    Raises:
        ArtifactError: the file is missing or its bytes are not those that were recorded.
    """
    path = Path(path)
    if not path.exists():
        raise ArtifactError(f"{path}: missing; run `hkd {stage}`, or `snakemake --cores all {path}`")
    if record_path(path).exists():
        recorded = read_json(record_path(path), stage)["sha256"]
        if recorded != sha256(path):
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
    started: float = field(default_factory=time.time)

    def __post_init__(self) -> None:
        self._cpu_start = time.process_time()
        self._wall_start = time.monotonic()

    def write(self, path: Path | str, **facts: Any) -> dict[str, Any]:
        """Write and return the record of the finished file `path`; `facts` are what the stage measured."""
        content: dict[str, Any] = {
            "stage": self.stage,
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
            "machine": platform.machine(),
            "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
            "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self.started)),
            "wall_seconds": round(time.monotonic() - self._wall_start, 3),
            "cpu_seconds": round(time.process_time() - self._cpu_start, 3),
            "peak_memory_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
            **facts,
        }
        write_json(record_path(path), content)
        return content


def save_arrays(path: Path, arrays: Arrays) -> None:
    """Write named arrays to an .npz file atomically."""
    import numpy as np

    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]


def identity(made_by: str, inputs: Sequence[Path | str]) -> str:
    """Return what names unfinished work: what makes it, and the bytes of what it reads."""
    read = hashlib.sha256(" ".join(recorded_digest(path) for path in inputs).encode()).hexdigest()[:16]
    return f"{made_by}-{read}"


def recorded_digest(path: Path | str) -> str:
    """Return the digest of an input: from its record when it has one, else from its bytes."""
    if record_path(path).exists():
        return str(read_json(record_path(path), "prepare")["sha256"])
    return sha256(path)


def read_arrays(path: Path | str, stage: str) -> dict[str, np.ndarray]:
    """Return the arrays of an .npz that `stage` wrote."""
    from zipfile import BadZipFile

    import numpy as np

    check_digest(path, stage)
    try:
        with np.load(path, allow_pickle=False) as file:
            return dict(file)
    except (OSError, ValueError, EOFError, BadZipFile) as error:
        raise ArtifactError(f"{path}: unreadable ({error}); delete it and run `hkd {stage}` again") from None
