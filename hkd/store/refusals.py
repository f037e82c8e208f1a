"""What the system refuses, as one line that names the file and what to do."""

from __future__ import annotations

import errno
from pathlib import Path

from hkd.store.lines import printable


class ArtifactError(RuntimeError):
    """A file that a stage needs is missing, damaged or cannot be written. The message names the remedy."""


class Refused(ArtifactError):
    """What the system or another program refuses now and may allow another time."""


FULL = "the disk is full; free some space and run the same command again"
CHANGED = "it or its folder is not there, or no more; see that both are, and run the same command again"
MANY = "too many files are open; raise the limit (ulimit -n), or end other programs"
BUSY = "another program uses it; end that program and run the same command again"
LINKS = "a link that leads back to itself, or one where none may be; remove the link"
NO_LOCKS = "the disk does not know what is asked of it, such as locks; choose a folder on another disk"

REMEDIES = {
    errno.ENOSPC: FULL,
    errno.EDQUOT: FULL,
    errno.EFBIG: "larger than a file may be here; raise the limit (ulimit -f) or choose another disk",
    errno.EIO: "the disk reports an error; check the disk or the network behind it, then run the same command again",
    errno.ESTALE: CHANGED,
    errno.ENOENT: CHANGED,
    errno.ENXIO: "no file, and nothing answers there; move it away",
    errno.ENODEV: "its disk is gone; connect it and run the same command again",
    errno.EXDEV: "its folder spans two disks; choose one that does not",
    errno.ENAMETOOLONG: "the name is too long; choose a shorter name, or a folder nearer to the root",
    errno.EISDIR: "a folder stands where a file should be; move the folder away",
    errno.ENOTEMPTY: "a folder stands where a file should be; move the folder away",
    errno.ELOOP: LINKS,
    errno.EMFILE: MANY,
    errno.ENFILE: MANY,
    errno.EBUSY: BUSY,
    errno.ETXTBSY: BUSY,
    errno.ETIMEDOUT: "its disk does not answer; check the network behind it, then run the same command again",
    errno.EHOSTDOWN: "its disk does not answer; check the network behind it, then run the same command again",
    errno.ENOLCK: NO_LOCKS,
    errno.ENOTSUP: NO_LOCKS,
    errno.ENOSYS: NO_LOCKS,
    errno.EINVAL: "the disk does not take a file of this name or kind; choose another name or another disk",
}


# as torch says that a device, the host or a library on the device has no memory left
NO_MEMORY = (
    "CUDA error: out of memory",
    "can't allocate memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
)


def of_memory(error: BaseException) -> bool:
    """Return whether an error says that a device or this machine has no memory left; torch is not loaded for it."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in NO_MEMORY)


def refusal(error: OSError, path: Path | str, doing: str = "write") -> ArtifactError | None:
    """Return the one-line error of what the system refused at `path`; None for what only a fault of ours explains.

    Args:
        doing: what was tried: `write`, or another verb where nothing need be written.
    """
    shown = printable(str(path))
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        remedy = f"make {Path(shown).parent} writable" if doing == "write" else "change its permissions"
        return ArtifactError(f"{shown}: cannot {doing} here ({error.strerror}); {remedy}")
    if error.errno in (errno.ENOTDIR, errno.EEXIST):
        return ArtifactError(f"{shown}: cannot {doing} here ({error.strerror}); a file stands where a folder should be")
    if error.errno not in REMEDIES:
        return None
    return Refused(f"{shown}: {REMEDIES[error.errno]} ({error.strerror})")
