"""Anonymous memory of the passes that `hkd features` makes, through a random Inception, at several numbers of images.

    python benchmarks/features_memory.py [--images 400 1600] [--side 128] [--warm 130] [--chunk 1024]

The images lie in an `.npz` as `hkd sample` leaves it, and their features of class A go into one as `hkd features` does.
What is mapped from files is not counted (RssAnon of /proc/self/status, every two milliseconds). Beforehand so many
images pass as load what any pass needs. Features of a chunk are held while those of the next are made, so memory may
grow up to two chunks and a half; with a smaller `--chunk` fewer images show what it does then. An image takes 0.16 CPU
seconds of one thread.
"""

from __future__ import annotations

import argparse
import tempfile
import threading
from pathlib import Path

import numpy as np
import torch

from hkd.metrics.features import cache
from hkd.metrics.features.inception import extractor
from hkd.metrics.measure import sample_arrays
from hkd.settings.sections import PublishedExtractor
from hkd.store.artifacts import map_arrays, save_arrays
from hkd.store.large_arrays import Joined


def anonymous() -> float:
    """Return the megabytes of this process that are mapped from no file."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith("RssAnon:"))


def passed(folder: Path, count: int, side: int) -> float:
    """Return the most megabytes while so many random images pass."""
    drawn, shape = np.random.default_rng(count), (3, side, side)
    pieces = lambda: (drawn.integers(0, 256, (1, *shape), np.uint8) for _ in range(count))  # noqa: E731
    save_arrays(folder / "samples.npz", {"images": Joined((count, *shape), np.dtype(np.uint8), pieces)})
    seen, done = [anonymous()], threading.Event()

    def look() -> None:
        while not done.wait(0.002):
            seen.append(anonymous())

    watching = threading.Thread(target=look)
    watching.start()
    images = map_arrays(folder / "samples.npz", "sample")["images"]
    save_arrays(folder / "features.npz", sample_arrays(images, NETWORK, ["fid_own"], {}, scratch=folder))
    done.set()
    watching.join()
    return max(seen)


parser = argparse.ArgumentParser()
parser.add_argument("--images", type=int, nargs="+", default=[400, 1600])
parser.add_argument("--side", type=int, default=128)
parser.add_argument("--warm", type=int, default=130)
parser.add_argument("--chunk", type=int, default=cache.CHUNK)
options = parser.parse_args()
cache.CHUNK = options.chunk
torch.set_num_threads(1)
NETWORK = {"own": extractor(PublishedExtractor(title="random", kind="random-inception"), "cpu")}
with tempfile.TemporaryDirectory() as made:
    passed(Path(made), options.warm, options.side)
    for number in options.images:
        print(f"{number} images: {passed(Path(made), number, options.side):.0f} MB")
