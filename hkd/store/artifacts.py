"""What stages leave and read: JSON, weights, arrays; written whole, held against their records, within bounds."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeVar, cast

from hkd.store import bounded, bounded_arrays
from hkd.store.atomic import atomic_path, write_bytes
from hkd.store.finite import unwritable
from hkd.store.large_arrays import Joined
from hkd.store.records import RECORD, check_digest, read_record, record_path
from hkd.store.refusals import ArtifactError

if TYPE_CHECKING:
    import numpy as np
    import torch

Arrays = dict[str, "np.ndarray"]
T = TypeVar("T")


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


def save_weights(
    path: Path | str,
    state: Mapping[str, torch.Tensor] | Mapping[str, np.ndarray],
    about: Mapping[str, Any] | None = None,
    *,
    finite: bool = True,
) -> None:
    """Write named tensors to a safetensors file atomically; `about` goes into its header as JSON.

    Args:
        state: tensors, or arrays, as shipped weights are read: these take no start of torch.
        finite: False for states of a training, and for weights of one that diverged.
    Raises:
        ArtifactError: a tensor holds NaN or infinity.
    """
    import numpy as np

    arrays = {name: array for name, array in state.items() if isinstance(array, np.ndarray)}
    if len(arrays) == len(state):
        save_weight_arrays(path, arrays, about)
        return
    from safetensors.torch import save

    # one tensor may stand under two names (shared networks); the file holds each name's own copy
    given = cast("Mapping[str, torch.Tensor]", state)
    tensors = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in given.items()}
    if finite:
        check_weights(path, tensors)
    # as bytes through our own writer, which names a full disk and leaves no half-written file behind
    write_bytes(path, save(tensors, metadata=_header(about)))


def save_weight_arrays(path: Path | str, state: Arrays, about: Mapping[str, Any] | None = None) -> None:
    """Write named arrays to the file that `save_weights` makes of them as tensors, without a start of torch.

    Raises:
        ArtifactError: an array holds NaN or infinity.
    """
    from safetensors.numpy import save

    _check_weight_arrays(path, state)
    write_bytes(path, save(state, metadata=_header(about)))


def _header(about: Mapping[str, Any] | None) -> dict[str, str]:
    return {"about": json.dumps(about or {}, sort_keys=True)}


def check_weights(path: Path | str, tensors: Mapping[str, torch.Tensor]) -> None:
    """Refuse weights that are not finite.

    Raises:
        ArtifactError: naming the first tensor that holds NaN or infinity.
    """
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
            raise ArtifactError(_diverged(path, name))


def _check_weight_arrays(path: Path | str, arrays: Arrays) -> None:
    import numpy as np

    for name, array in arrays.items():
        if np.issubdtype(array.dtype, np.floating) and not np.isfinite(array).all():
            raise ArtifactError(_diverged(path, name))


def _diverged(path: Path | str, name: str) -> str:
    return (
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


def load_weight_arrays(path: Path | str, stage: str = "train") -> Arrays:
    """Return the tensors of a safetensors file as numpy's arrays, without a start of torch.

    Raises:
        ArtifactError: the file is missing, damaged, not the one its record describes, or holds NaN or infinity.
    """
    path = Path(path)
    check_digest(path, stage)
    arrays, _ = _read(path, stage, lambda: bounded.read_tensors(path, arrays=True))
    _check_weight_arrays(path, arrays)
    return arrays


def weights_about(path: Path | str, stage: str = "extractor") -> dict[str, Any]:
    """Return the facts `about` the file that `save_weights` wrote into its header.

    Raises:
        ArtifactError: the file is missing or damaged.
    """
    path = Path(path)
    return _read(path, stage, lambda: bounded.tensors_about(path))


def save_arrays(path: Path, arrays: Mapping[str, np.ndarray | Joined], *, undefined: bool = False) -> None:
    """Write named arrays to an .npz file atomically, byte for byte as `numpy.savez` does; no joined one is held whole.

    Args:
        undefined: whether NaN may stand for a number that does not exist.
    Raises:
        ArtifactError: an array holds NaN or infinity.
    """
    import numpy as np

    for name, array in arrays.items():
        if not isinstance(array, Joined):
            _check_writable(path, name, undefined, array)
    with atomic_path(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                if isinstance(array, Joined):
                    _write_joined(file, array, partial(_check_writable, path, name, undefined))
                else:
                    np.lib.format.write_array(file, np.asanyarray(array), allow_pickle=False)


def _write_joined(file: IO[bytes], array: Joined, check: Callable[[np.ndarray], None]) -> None:
    import numpy as np

    described = {"descr": np.lib.format.dtype_to_descr(array.dtype), "fortran_order": False, "shape": array.shape}
    np.lib.format.write_array_header_1_0(file, described)
    for piece in array.pieces():
        check(piece)
        file.write(piece.tobytes())


def _check_writable(path: Path, name: str, undefined: bool, array: np.ndarray) -> None:
    import numpy as np

    if (broken := unwritable(np.asanyarray(array), undefined)) is not None:
        raise ArtifactError(f"{path}: not written, {name!r} holds {broken}; look at what it was made from")


def read_arrays(path: Path | str, stage: str) -> dict[str, np.ndarray]:
    """Return the arrays of an .npz that `stage` wrote.

    Raises:
        ArtifactError: the file is missing, damaged, or not the one its record describes.
    """
    path = Path(path)
    check_digest(path, stage)
    return _read(path, stage, lambda: bounded_arrays.read_npz(path))


def map_arrays(path: Path | str, stage: str) -> dict[str, np.ndarray]:
    """Return the arrays of an .npz that `stage` wrote, the large ones mapped into memory; see `bounded_arrays.map_npz`.

    Raises:
        ArtifactError: the file is missing, damaged, or not the one its record describes.
    """
    path = Path(path)
    check_digest(path, stage)
    return _read(path, stage, lambda: bounded_arrays.map_npz(path))
