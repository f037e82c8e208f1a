"""The score of HKD before training, under one reading of what the paper leaves open: the teacher's weights alone.

Before training the network is the teacher's, cut in two, with A at its start. What its images score depends on the
noise level that the decoder is told, on what wraps its output, and on where A starts, and on nothing that is trained.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from hkd.data.image_shape import ImageShape
from hkd.experiment.build import Parts, method
from hkd.experiment.finished import base
from hkd.experiment.sample import in_batches, sample_images
from hkd.metrics.features.extract import Extractor, extract
from hkd.metrics.scores.frechet import Frechet, frechet_from_features
from hkd.settings.sections import Run
from hkd.store.refusals import ArtifactError

LARGEST = 4 << 30  # bytes; the largest of EDM's networks has a quarter of this


@dataclass(frozen=True)
class Reading:
    """One reading: values of HKD's settings of the same names."""

    decoder_sigma: str
    output_wrapper: str
    operator_init: float

    def of(self, run: Run) -> Run:
        """Return a run with this reading."""
        return run.model_copy(update={"params": {**run.params, **asdict(self)}})


@torch.no_grad()
def score(
    reading: Reading,
    run: Run,
    shape: ImageShape,
    teacher: Mapping[str, Tensor],
    extractor: Extractor,
    reference: np.ndarray,
    *,
    seed: int,
    images: int,
    to: torch.device,
    tick: Callable[[int], object] = lambda count: None,
) -> Frechet:
    """Return the distance of the images that a run of HKD makes before its training.

    Args:
        teacher: weights of the denoiser that it starts from, by EDM's names.
        reference: features of the reference images (N, D), of preprocessing class A.
        tick: called with the number of images of each batch.
    """
    own = reading.of(run)
    built = method(own, shape, seed=seed, parts=Parts(init=teacher)).eval().requires_grad_(False).to(to)

    def made(span: range) -> Tensor:
        tick(len(span))
        return sample_images(built, own, shape, span, seed=seed, nfe=1, to=to)

    pixels = in_batches(made, images, own.sampling.batch)
    return frechet_from_features(extract(pixels, extractor, "A"), reference)


def weights_of_run(weights: Path) -> dict[str, Tensor]:
    """Return the weights of a finished denoiser of this workflow, by EDM's names."""
    found: dict[str, Tensor] = base(weights).student.state_dict()
    return found


def released_weights(path: Path) -> dict[str, Tensor]:
    """Return the weights of a file in the layout of EDM's released networks: their names behind `model.`.

    The file is a safetensors file, which holds numbers alone. EDM's own pickles run code when they are read, so they
    are converted beforehand, with EDM's code: configs/benchmarks/fingerprint.yaml says how.

    Raises:
        ArtifactError: it is missing, too large, no such file, or holds other names or kinds of numbers.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        if path.stat().st_size > LARGEST:
            raise ArtifactError(f"{path}: larger than {LARGEST >> 30} GiB, so no network of EDM's")
        state = load_file(path)
    except (OSError, SafetensorError, ValueError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ArtifactError(f"{path}: no readable safetensors file ({reason}); convert EDM's pickle again") from None
    for name, value in state.items():
        if not name.startswith("model."):
            raise ArtifactError(f"{path}: '{name}' is no name of EDM's; save the state_dict of the network `ema`")
        if not value.is_floating_point() or not bool(torch.isfinite(value).all()):
            raise ArtifactError(f"{path}: '{name}' holds other things than finite numbers; convert EDM's pickle again")
    return {name: value.float() for name, value in state.items()}
