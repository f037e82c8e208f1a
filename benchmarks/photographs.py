"""What the network for photographs sees: a class probe, and known damage under the columns that are made with it.

    OMP_NUM_THREADS=1 python benchmarks/photographs.py SOURCE [--n 600] [--resolution R]

SOURCE is a zip, folder or archive of CIFAR-10, as of `hkd prepare`; the probe needs its labels. Images are shuffled;
the first n are damaged, each in one way, also as by `hkd calibrate`, and compared with all others. The probe is ridge
regression on the features of one half of the images, scored on the other. `random` is the same network with seeded
random weights.
"""

from __future__ import annotations

import argparse
import io
import sys
import time
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageFilter

from hkd.data import DataError
from hkd.data.sources import open_source
from hkd.metrics.features.extract import Extractor, extract
from hkd.metrics.features.photographs import extractor
from hkd.metrics.scores.components import principal_components
from hkd.metrics.scores.frechet import frechet_from_features
from hkd.metrics.scores.kid import kid
from hkd.metrics.scores.moments import gaussian_of
from hkd.seeding import numpy_stream, permutation
from hkd.settings.columns import COMPONENTS, SEEN_AS
from hkd.settings.sections import PublishedExtractor
from hkd.store.refusals import ArtifactError
from hkd.studies.calibration.corruptions import CORRUPTIONS

Damage = Callable[[np.ndarray], np.ndarray]


def each(change: Callable[[Image.Image], Image.Image]) -> Damage:
    """A damage (N, 3, H, W) of a change of single pictures."""

    def damage(images: np.ndarray) -> np.ndarray:
        changed = [np.asarray(change(Image.fromarray(image.transpose(1, 2, 0)))) for image in images]
        return np.stack(changed).transpose(0, 3, 1, 2)

    return damage


def jpeg(picture: Image.Image) -> Image.Image:
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=30)
    return Image.open(file).convert("RGB")


def noisy(images: np.ndarray) -> np.ndarray:
    drawn = numpy_stream(0, "noise").standard_normal(images.shape)
    return (images + 16.0 * drawn).round().clip(0, 255).astype(np.uint8)


def shuffled(images: np.ndarray) -> np.ndarray:
    """Each image cut into 4 x 4 patches that change places."""
    n, channels, side, _ = images.shape
    patch = side // 4
    cut = images[:, :, : 4 * patch, : 4 * patch].reshape(n, channels, 4, patch, 4, patch).transpose(0, 2, 4, 1, 3, 5)
    cut = cut.reshape(n, 16, channels, patch, patch)
    rng = numpy_stream(0, "patches")
    cut = np.stack([image[rng.permutation(16)] for image in cut]).reshape(n, 4, 4, channels, patch, patch)
    return cut.transpose(0, 3, 1, 4, 2, 5).reshape(n, channels, 4 * patch, 4 * patch)


DAMAGES: dict[str, Damage] = {
    "none": lambda images: images,
    "blur, sd 0.8 pixels": each(lambda picture: picture.filter(ImageFilter.GaussianBlur(0.8))),
    "noise, sd 16 levels": noisy,
    "JPEG 30": each(jpeg),
    "colours swapped": lambda images: images[:, ::-1],
    "patches shuffled": shuffled,
    "collapse: a tenth, 10 times": lambda images: np.concatenate([images[: len(images) // 10]] * 10),
}


def probe(features: np.ndarray, labels: np.ndarray) -> float:
    """Accuracy of ridge regression on one half of the images, scored on the other."""
    half = len(features) // 2
    known = features[:half]
    rows = (features - known.mean(axis=0)) / (known.std(axis=0) + 1e-6)
    rows = np.concatenate((rows, np.ones((len(rows), 1))), axis=1)
    due = np.eye(labels.max() + 1)[labels[:half]]
    weights = np.linalg.solve(rows[:half].T @ rows[:half] + half * np.eye(rows.shape[1]), rows[:half].T @ due)
    return float((np.argmax(rows[half:] @ weights, axis=1) == labels[half:]).mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source")
    parser.add_argument("--n", type=int, default=600)
    parser.add_argument("--resolution", type=int)
    asked = parser.parse_args()
    items = list(open_source(asked.source, resolution=asked.resolution).items())
    order = permutation(0, "photographs", 0, len(items))
    images = np.stack([items[k][0] for k in order])
    labels = [items[k][1] for k in order]
    made = {name: extractor(PublishedExtractor(title=name, kind=kind), "cpu") for name, kind in NETWORKS.items()}
    started = time.process_time()
    features = extract(images, made["trained"], SEEN_AS)
    cost = 1e3 * (time.process_time() - started) / len(images)
    print(f"{len(images)} images of {images.shape[-1]} pixels; {cost:.1f} ms of CPU an image")
    if all(label is not None for label in labels):
        seen = {
            name: extract(images, network, SEEN_AS) if name == "random" else features for name, network in made.items()
        }
        known = np.array(labels, np.int64)
        chance = np.bincount(known[len(known) // 2 :]).max() / len(known[len(known) // 2 :])
        print("class probe:", ", ".join(f"{name} {probe(found, known):.3f}" for name, found in seen.items()), end="")
        print(f", guessing {chance:.3f}")
    shown = None if any(label is None for label in labels) else np.array(labels[: asked.n], np.int64)
    _corruptions(images[: asked.n], shown, features[asked.n :], made["trained"])


NETWORKS = {"trained": "effnet", "random": "random-effnet"}


def _corruptions(images: np.ndarray, labels: np.ndarray | None, reference: np.ndarray, network: Extractor) -> None:
    fitted = principal_components(gaussian_of(reference), COMPONENTS)
    kept = fitted.variances.sum() / gaussian_of(reference).covariance.trace()
    print(f"{len(images)} against {len(reference)} images; {COMPONENTS} components hold {kept:.0%} of the variance\n")
    print("| damage | KID × 1000 | FD on components | FD on all features |\n| --- | --- | --- | --- |")
    damaged = {name: damage(images) for name, damage in DAMAGES.items()}
    for name, corrupted in CORRUPTIONS.items():
        if name != "none" and (labels is not None or name != "one class dropped"):
            damaged[name] = corrupted(images, labels, 0)
    for name, changed in damaged.items():
        rows = extract(np.ascontiguousarray(changed), network, SEEN_AS)
        numbers = (
            1e3 * kid(rows, reference),
            fitted.frechet(rows).distance,
            frechet_from_features(rows, reference).distance,
        )
        print(f"| {name} | {' | '.join(f'{number:.3g}' for number in numbers)} |", flush=True)


if __name__ == "__main__":
    try:
        main()
    except (ArtifactError, DataError) as error:
        sys.exit(f"photographs.py: {error}")
