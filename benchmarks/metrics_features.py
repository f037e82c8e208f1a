"""Time and accuracy of Inception features against torch-fidelity, clean-fid and pytorch-fid, same weights, same images.

    OMP_NUM_THREADS=1 python benchmarks/metrics_features.py IMAGES [--n 64] [--repeats 5]

IMAGES is a zip, folder, npz or npy of images. Weights are seeded random ones in the published layout, given to every
library in its own file format. Each library resizes and reads the same bytes with its own code, in memory; ours is
timed in the class of each. CPU time, one process and one thread, interleaved, minimum over the repeats; the error is
the relative L2 difference between our features and the library's.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from hkd.data.foreign import load_images
from hkd.metrics.features.extract import extract
from hkd.metrics.features.inception import random_inception, random_state
from hkd.metrics.features.libraries import _ByteImages, _padded_batches, _quiet
from hkd.store.published import WEIGHTS

Program = Callable[[], np.ndarray]


def torch_fidelity_program(images: np.ndarray, weights: Path, batch: int) -> Program:
    from torch_fidelity.utils import create_feature_extractor, extract_featuresdict_from_input_id

    options = {"cuda": False, "cache": False, "save_cpu_ram": True, "verbose": False, "batch_size": batch}
    path = {"feature_extractor_weights_path": str(weights)}
    network = create_feature_extractor("inception-v3-compat", ["2048"], **options, **path)
    data = _ByteImages(images)
    return lambda: extract_featuresdict_from_input_id(1, network, input1=data, **options)["2048"].numpy()


def clean_fid_program(images: np.ndarray, mode: str, network: Callable[..., torch.Tensor], batch: int) -> Program:
    from cleanfid.fid import get_model_features

    def call() -> np.ndarray:
        with _quiet():
            return get_model_features(
                _padded_batches(images, batch),
                network,
                mode=mode,
                z_dim=1,
                num_gen=len(images),
                batch_size=batch,
                device=torch.device("cpu"),
                verbose=False,
            )

    return call


def clean_fid_network(folder: Path, weights: Path) -> Callable[..., torch.Tensor]:
    """Return clean-fid's wrapper around a scripted network; the scripted layers are torch-fidelity's modules."""
    from cleanfid.inception_torchscript import InceptionV3W
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    source = FeatureExtractorInceptionV3("layers", ["2048"], feature_extractor_weights_path=str(weights))
    names = [name for name, _ in source.named_children() if name != "fc"]
    layers = torch.nn.Sequential(*(getattr(source, name) for name in names))

    class Scripted(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = torch.jit.trace(layers, torch.zeros(1, 3, 299, 299))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.layers(x)

    torch.jit.save(torch.jit.script(Scripted()), str(folder / "inception-2015-12-05.pt"))
    return InceptionV3W(str(folder), download=False, resize_inside=False)


def pytorch_fid_program(images: np.ndarray, batch: int) -> Program:
    from pytorch_fid.inception import InceptionV3

    network = InceptionV3().eval()

    def call() -> np.ndarray:
        with torch.no_grad():
            parts = [
                network(torch.from_numpy(images[i : i + batch]).float() / 255.0)[0][:, :, 0, 0]
                for i in range(0, len(images), batch)
            ]
        return torch.cat(parts).numpy()

    return call


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", type=Path)
    parser.add_argument("--n", type=int, default=64)
    parser.add_argument("--batch", type=int, default=64, help="the libraries' batch (torch-fidelity's default)")
    parser.add_argument("--repeats", type=int, default=4)
    settings = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    images = load_images(settings.images).pixels[: settings.n]
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["TORCH_HOME"] = scratch  # where pytorch-fid and clean-fid look for the published file's name
        weights = Path(scratch) / "hub" / "checkpoints" / WEIGHTS["inception"].filename
        weights.parent.mkdir(parents=True)
        torch.save(random_state(0), weights)
        ours = random_inception(0)
        from cleanfid.features import build_feature_extractor

        legacy = build_feature_extractor("legacy_pytorch", torch.device("cpu"), use_dataparallel=False)
        clean = clean_fid_network(Path(scratch), weights)
        programs: dict[str, tuple[str, Program]] = {
            "torch-fidelity": ("A", torch_fidelity_program(images, weights, settings.batch)),
            "pytorch-fid": ("B", pytorch_fid_program(images, settings.batch)),
            "clean-fid legacy_pytorch": ("B", clean_fid_program(images, "legacy_pytorch", legacy, settings.batch)),
            "clean-fid clean": ("C", clean_fid_program(images, "clean", clean, settings.batch)),
        }
        for kind in ("A", "B", "C"):
            programs[f"hkd {kind}"] = (kind, lambda kind=kind: extract(images, ours, kind, batch=8))
        times: dict[str, list[float]] = {key: [] for key in programs}
        found: dict[str, np.ndarray] = {}
        for _ in range(settings.repeats):
            for key, (_, call) in programs.items():
                start = time.process_time()
                found[key] = call()
                times[key].append(time.process_time() - start)
    best = {key: min(values) for key, values in times.items()}
    print(f"{len(images)} images of {images.shape[2]} px, torch {torch.__version__}, minimum of {settings.repeats}")
    print(f"{'program':<28}{'class':<8}{'CPU ms/image':>14}{'ratio to hkd':>15}{'relative L2':>14}")
    for key, (kind, _) in programs.items():
        mine = found[f"hkd {kind}"]
        error = np.linalg.norm(found[key] - mine) / np.linalg.norm(mine)
        ratio = best[key] / best[f"hkd {kind}"]
        print(f"{key:<28}{kind:<8}{1000 * best[key] / len(images):>14.1f}{ratio:>15.2f}{error:>14.1e}")
    libraries = min(value for key, value in best.items() if not key.startswith("hkd"))
    slowest = max(value for key, value in best.items() if key.startswith("hkd"))
    print(f"best library / our slowest class: {libraries / slowest:.2f}")


if __name__ == "__main__":
    main()
