"""torch-fidelity, clean-fid and pytorch-fid, called offline on any extractor, as independent checks of our numbers.

Each library reads the images itself, resizes them with its own code to the extractor's size, and turns features into
a number with its own arithmetic. It holds all images that it is given at once, so that the caller gives it a part of a
set that `check_images` has passed. The libraries cache nothing and download nothing here, and need no GPU. Statistics
of a reference are computed once per library and stored as plain arrays, from which the library makes its number.
"""

from __future__ import annotations

import contextlib
import io
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from hkd.metrics.features.extract import Extractor, features_of_levels, full_float32
from hkd.metrics.features.preprocess import CLASSES, Preprocessing

Statistics = Mapping[str, np.ndarray]  # "mu" (D,), "sigma" (D, D), in the library's own types


@dataclass(frozen=True)
class Library:
    """A library as three functions: images to features, features to statistics, two statistics to its number."""

    key: str
    implementation: str
    features: Callable[..., np.ndarray]
    statistics: Callable[[np.ndarray], dict[str, np.ndarray]]
    distance: Callable[[Statistics, Statistics], float]


def torch_fidelity_features(images: np.ndarray, extractor: Extractor, *, batch: int = 64) -> np.ndarray:
    """Return torch-fidelity's float32 features (N, D) of uint8 images (N, 3, H, W); class A resize inside."""
    from torch_fidelity.utils import create_feature_extractor, extract_featuresdict_from_input_id

    options = {"cuda": False, "cache": False, "save_cpu_ram": True, "verbose": False, "batch_size": batch}
    with _quiet(), full_float32():
        network = create_feature_extractor(torch_fidelity_name(extractor), ["features"], **options)
        found = extract_featuresdict_from_input_id(1, network, input1=_ByteImages(images), **options)
    return found["features"].numpy()


def torch_fidelity_name(extractor: Extractor) -> str:
    """Return the name under which torch-fidelity knows the extractor, registering it on first use."""
    from torch_fidelity.feature_extractor_base import FeatureExtractorBase
    from torch_fidelity.interpolate_compat_tensorflow import interpolate_bilinear_2d_like_tensorflow1x
    from torch_fidelity.registry import FEATURE_EXTRACTORS_REGISTRY, register_feature_extractor

    # the library looks extractors up by name and loads them itself, so each one gets a class of its own
    name = f"hkd {extractor.name} {extractor.digest[:16]} {extractor.device}"
    if name in FEATURE_EXTRACTORS_REGISTRY:
        return name

    class Driven(FeatureExtractorBase):
        def __init__(self, name: str, features_list: list[str], **unused: Any) -> None:
            super().__init__(name, features_list)

        @staticmethod
        def get_provided_features_list() -> tuple[str, ...]:
            return ("features",)

        @staticmethod
        def get_default_feature_layer_for_metric(metric: str) -> str:
            return "features"

        @staticmethod
        def can_be_compiled() -> bool:
            return False

        @staticmethod
        def get_dummy_input_for_compile() -> Tensor:
            return torch.zeros(1, 3, extractor.input_size, extractor.input_size, dtype=torch.uint8)

        def forward(self, images: Tensor) -> tuple[Tensor]:
            size = (extractor.input_size, extractor.input_size)
            levels = interpolate_bilinear_2d_like_tensorflow1x(images.float(), size=size, align_corners=False)
            return (torch.from_numpy(features_of_levels(extractor, levels, CLASSES["A"])),)

    register_feature_extractor(name, Driven)
    return name


def torch_fidelity_statistics(features: np.ndarray) -> dict[str, np.ndarray]:
    """Return torch-fidelity's mean (float32) and covariance of features (N, D)."""
    from torch_fidelity.metric_fid import fid_features_to_statistics

    return fid_features_to_statistics(torch.from_numpy(np.ascontiguousarray(features)))


def torch_fidelity_distance(generated: Statistics, reference: Statistics) -> float:
    """Return torch-fidelity's number for two sets of its statistics."""
    from torch_fidelity.metric_fid import KEY_METRIC_FID, fid_statistics_to_metric

    return float(fid_statistics_to_metric(dict(generated), dict(reference), verbose=False)[KEY_METRIC_FID])


def clean_fid_features(images: np.ndarray, extractor: Extractor, *, mode: str = "clean", batch: int = 64) -> np.ndarray:
    """Return clean-fid's float32 features (N, D) of uint8 images (N, 3, H, W).

    Args:
        mode: clean (Pillow bicubic, class C), legacy_pytorch (class B) or legacy_tensorflow (class A, resized
            inside the extractor because the library then leaves it to the network).
    Raises:
        KeyError: for another mode.
    """
    from cleanfid.fid import get_model_features
    from cleanfid.resize import make_resizer

    kind = CLASSES[{"clean": "C", "legacy_pytorch": "B", "legacy_tensorflow": "A"}[mode]]
    size = (extractor.input_size, extractor.input_size)
    library, kernel = ("PyTorch", "bilinear") if mode == "legacy_pytorch" else ("PIL", "bicubic")
    batch = min(batch, len(images))  # the library rounds the number of images up to whole batches
    with _quiet(), full_float32():
        return get_model_features(
            _padded_batches(images, batch),
            _levels_to_features(extractor, kind, inside=mode == "legacy_tensorflow"),
            mode=mode,
            z_dim=1,
            num_gen=len(images),
            batch_size=batch,
            device=torch.device("cpu"),
            verbose=False,
            custom_fn_resize=make_resizer(library, False, kernel, size),
        )


def clean_fid_statistics(features: np.ndarray) -> dict[str, np.ndarray]:
    """Return mean and covariance of features as clean-fid forms them before its distance (float32 mean)."""
    return {"mu": np.mean(features, axis=0), "sigma": np.cov(features, rowvar=False)}


def clean_fid_distance(generated: Statistics, reference: Statistics) -> float:
    """Return clean-fid's number for two sets of its statistics."""
    from cleanfid import fid

    with _quiet(), _roots(fid):
        return float(fid.frechet_distance(generated["mu"], generated["sigma"], reference["mu"], reference["sigma"]))


def pytorch_fid_features(images: np.ndarray, extractor: Extractor, *, batch: int = 50) -> np.ndarray:
    """Return pytorch-fid's float64 features (N, D) of uint8 images (N, 3, H, W), handed over as PNG files in memory."""
    from PIL import Image
    from pytorch_fid.fid_score import get_activations

    files = []
    for image in images:
        files.append(io.BytesIO())
        Image.fromarray(np.ascontiguousarray(image.transpose(1, 2, 0))).save(files[-1], format="PNG", compress_level=1)
    network = _UnitRangeNetwork(extractor)
    with _quiet(), contextlib.redirect_stderr(io.StringIO()), full_float32():  # its progress bar has no switch
        return get_activations(files, network, batch_size=batch, dims=extractor.dim, device="cpu", num_workers=0)


def pytorch_fid_statistics(features: np.ndarray) -> dict[str, np.ndarray]:
    """Return mean and covariance of features as pytorch-fid forms them (float64)."""
    return {"mu": np.mean(features, axis=0), "sigma": np.cov(features, rowvar=False)}


def pytorch_fid_distance(generated: Statistics, reference: Statistics) -> float:
    """Return pytorch-fid's number for two sets of its statistics."""
    from pytorch_fid import fid_score

    with _quiet(), _roots(fid_score):
        sides = (generated["mu"], generated["sigma"], reference["mu"], reference["sigma"])
        return float(fid_score.calculate_frechet_distance(*sides))


LIBRARIES: dict[str, Library] = {
    library.key: library
    for library in (
        Library(
            "torch_fidelity",
            "torch-fidelity",
            torch_fidelity_features,
            torch_fidelity_statistics,
            torch_fidelity_distance,
        ),
        Library("clean_fid", "clean-fid", clean_fid_features, clean_fid_statistics, clean_fid_distance),
        *(
            Library(
                f"clean_fid_{mode}",
                f"clean-fid-{mode.replace('_', '-')}",
                partial(clean_fid_features, mode=mode),
                clean_fid_statistics,
                clean_fid_distance,
            )
            for mode in ("legacy_pytorch", "legacy_tensorflow")
        ),
        Library("pytorch_fid", "pytorch-fid", pytorch_fid_features, pytorch_fid_statistics, pytorch_fid_distance),
    )
}


class _ByteImages(torch.utils.data.Dataset[Tensor]):
    """A data set whose items are single uint8 tensors, the form that torch-fidelity accepts in memory."""

    def __init__(self, images: np.ndarray) -> None:
        self._images = images

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: int) -> Tensor:
        return torch.from_numpy(np.array(self._images[index]))


class _UnitRangeNetwork(torch.nn.Module):
    """The extractor with the interface of pytorch-fid: [0, 1] in, resized inside, a list of (B, D, 1, 1) out."""

    def __init__(self, extractor: Extractor) -> None:
        super().__init__()
        self._extractor = extractor

    def forward(self, images: Tensor) -> list[Tensor]:
        size = (self._extractor.input_size, self._extractor.input_size)
        levels = 255.0 * F.interpolate(images, size=size, mode="bilinear", align_corners=False)
        return [torch.from_numpy(features_of_levels(self._extractor, levels, CLASSES["B"]))[:, :, None, None]]


def _levels_to_features(extractor: Extractor, kind: Preprocessing, *, inside: bool) -> Callable[[Tensor], Tensor]:
    """Return the extractor with the interface of clean-fid; `inside`, it resizes the images itself."""

    def features(levels: Tensor) -> Tensor:
        resized = kind(levels, extractor.input_size) if inside else levels
        return torch.from_numpy(features_of_levels(extractor, resized.float(), kind))

    return features


def _padded_batches(images: np.ndarray, batch: int) -> Callable[[Tensor], Tensor]:
    """Return a `generator` that hands out the images in order, the last batch filled up with the final image."""
    starts: Iterator[int] = iter(range(0, len(images), batch))

    def generator(latents: Tensor) -> Tensor:
        start = next(starts)
        indices = np.minimum(np.arange(start, start + len(latents)), len(images) - 1)
        return torch.from_numpy(images[indices]).float()

    return generator


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Send the libraries' prints to standard error, and hide their warnings and changes of warning filters."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(sys.stderr), torch.no_grad():
        warnings.simplefilter("ignore")
        yield


@contextlib.contextmanager
def _roots(library: ModuleType) -> Iterator[None]:
    """Give a library, as its `linalg`, scipy's matrix root under the arguments that scipy < 1.18 took."""
    from scipy import linalg

    def root(matrix: np.ndarray, disp: bool = True) -> Any:
        found = linalg.sqrtm(matrix)
        return found if disp else (found, None)  # the second was an estimate of its error, which nobody reads

    library.linalg, before = SimpleNamespace(sqrtm=root), library.linalg  # type: ignore[attr-defined]
    try:
        yield
    finally:
        library.linalg = before  # type: ignore[attr-defined]
