"""What commands on single images work with: a finished run of HKD, and images from files, noise or the data set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hkd.plan.runs import Plan
from hkd.settings.origins import ConfigError
from hkd.store.artifacts import Record, atomic_path, write_bytes, write_json
from hkd.studies.applications import ApplicationPlan

if TYPE_CHECKING:
    import numpy as np
    import torch
    from torch import Tensor

    from hkd.data.images import ImageShape
    from hkd.koopman.hierarchy import HKDNet
    from hkd.settings.sections import Run


ImageOption = Annotated[
    list[Path] | None,
    typer.Option(help="A picture of yours (.png, or .npy in uint8 or [-1, 1]), as large as the run's; repeatable."),
]
OutOption = Annotated[Path, typer.Option(help="What to write: .png shows the results, .npz holds all arrays.")]


@dataclass(frozen=True)
class Finished:
    """A finished run whose network is HKD's."""

    net: HKDNet
    run: Run
    shape: ImageShape
    weights: Path
    seed: int
    device: torch.device

    def noise(self, indices: Sequence[int], purpose: str = "sample-noise") -> Tensor:
        """Return unit noise (B, C, H, W); by default that from which the run's samples start."""
        from hkd.seeding import ImageStreams

        return ImageStreams(self.seed, indices, purpose).randn(self.shape.chw).to(self.device)

    def labels(self, indices: Sequence[int]) -> Tensor | None:
        """Return the classes of generated images, one-hot, or None for an unconditional run."""
        from hkd.experiment.sample import classes

        dim = self.shape.label_dim
        return classes(self.seed, indices, dim).to(self.device) if self.run.conditional else None

    def pictures(self, files: Sequence[Path]) -> Tensor:
        """Return the user's pictures (B, C, H, W) in [-1, 1]."""
        import torch

        from hkd.data.pictures import read_picture

        size = {"resolution": self.shape.resolution, "channels": self.shape.channels}
        return torch.stack([read_picture(file, **size) for file in files]).to(self.device)


def finished(chosen: Plan, dataset: str, method: str, seed: int, device: str) -> Finished:
    """Return a finished run.

    Raises:
        ArtifactError: its weights are missing or damaged.
        ConfigError: it has no Koopman operator.
    """
    from hkd.experiment import build
    from hkd.experiment.record import read_run
    from hkd.koopman.hierarchy import HKDNet

    weights = Path(chosen.layout.run(dataset, method, seed)) / "weights.safetensors"
    run, shape, _ = read_run(weights.with_name("config.yaml"))
    to = build.device(device)
    net = getattr(build.base(weights), "student", None)
    if not isinstance(net, HKDNet):
        raise ConfigError(f"{method}: has no Koopman operator; name a run of methods/hkd or of one of its ablations")
    return Finished(net.to(to), run, shape, weights, seed, to)


def perceptual_distance(chosen: Plan, dataset: str, about: Finished) -> Any:
    """Return the perceptual distance of two batches, (B,), that the run was trained with."""
    from hkd.experiment.build import perceptual

    measure = perceptual(about.run, Path(chosen.layout.extractor(dataset, "perceptual"))).to(about.device)
    return lambda images, other: measure(images, measure.features(other))


def only_one_of(**given: object) -> None:
    """Refuse options that exclude each other.

    Raises:
        ConfigError: more than one was given.
    """
    names = [f"--{name}" for name, value in given.items() if value]
    if len(names) > 1:
        raise ConfigError(f"{' and '.join(names)}: give one of them")


def check_suffix(out: Path) -> None:
    """Refuse an output that is neither a picture nor arrays, before anything is computed."""
    if out.suffix not in (".png", ".npz"):
        raise ConfigError(f"--out {out}: expected .png (a picture) or .npz (arrays)")


def write_result(out: Path, arrays: Mapping[str, np.ndarray], shown: np.ndarray) -> None:
    """Write all arrays to an .npz, or the uint8 images `shown` (N, C, H, W) side by side to a .png."""
    import numpy as np

    from hkd.data.pictures import write_row

    if out.suffix == ".png":
        write_bytes(out, write_row(shown))
        return
    with atomic_path(out) as temporary, open(temporary, "wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]


def stored_images(chosen: Plan, source: str, dataset: str, about: Finished, numbers: Any) -> Tensor | None:
    """Return images of the data set, or None: they are to be generated.

    Raises:
        ConfigError: the data set has fewer images.
    """
    if source == "generated":
        return None
    from hkd.data.images import ImageSet

    stored, indices = ImageSet(ApplicationPlan(chosen).images(dataset)), list(numbers)
    for index in indices:
        if not 0 <= index < len(stored):
            raise ConfigError(f"image {index} is not in 0..{len(stored) - 1} of {stored.folder}; name one that is")
    return stored.batch(indices, about.device).clean


def start_state(about: Finished, real: Tensor | None, numbers: Any, sigma: float) -> tuple[Tensor, float]:
    """Return what is encoded, and its noise level: T n for a generated image, y + sigma n for a real one."""
    if real is None:
        return about.net.settings.sigma_max * about.noise(numbers), about.net.settings.sigma_max
    return real + sigma * about.noise(numbers, "picture-noise"), sigma


def leave(out: Path, arrays: dict[str, Any], shown: Any, record: Record, facts: dict[str, Any]) -> None:
    """Write the result, what was measured, and the record, in this order."""
    write_result(out, arrays, shown)
    write_json(out.with_suffix(".json"), facts)
    for path in (out, out.with_suffix(".json")):
        record.write(path)
