"""Time and accuracy of the Fréchet distance at 2048 dimensions against torch-fidelity, clean-fid and pytorch-fid.

    OMP_NUM_THREADS=1 python benchmarks/metrics_frechet.py [--n 4096 512] [--dim 2048] [--repeats 3]

Every program gets the same features in memory and returns one number. `from features` includes mean and covariance;
`from statistics` starts from each program's own (for ours with n <= dim the features are the statistics, because no
covariance is ever formed). CPU time, one process, interleaved, minimum over the repeats. The exact value is the nuclear
norm of the product of two factors, by singular values of the triangular QR factors where rank is full.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np

from hkd.metrics.features.libraries import LIBRARIES, Library
from hkd.metrics.scores.frechet import frechet, frechet_from_features
from hkd.metrics.scores.moments import gaussian_of


def features(n: int, dim: int, seed: int) -> np.ndarray:
    """Rectified, correlated features with a decaying spectrum, as a network's are."""
    rng = np.random.default_rng([n, dim, seed])
    scale = (1.0 + np.arange(dim)) ** -0.5
    mixing = np.linalg.qr(np.random.default_rng(dim).standard_normal((dim, dim)))[0]
    return np.maximum((rng.standard_normal((n, dim)) * scale) @ mixing + 0.02 * (1 + seed), 0.0).astype(np.float32)


def exact_distance(x: np.ndarray, y: np.ndarray) -> float:
    """Return the distance by singular values of a product of factors, float64."""
    factors = []
    for rows in (x.astype(np.float64), y.astype(np.float64)):
        centred = (rows - rows.mean(0)) / np.sqrt(len(rows) - 1)
        factors.append(centred if len(rows) <= rows.shape[1] else np.linalg.qr(centred, mode="r"))
    root = np.linalg.svd(factors[0] @ factors[1].T, compute_uv=False).sum()
    difference = x.mean(0, dtype=np.float64) - y.mean(0, dtype=np.float64)
    return float(difference @ difference + sum((f * f).sum() for f in factors) - 2 * root)


def cpu_seconds(call: Callable[[], float]) -> tuple[float, float]:
    start = time.process_time()
    value = call()
    return time.process_time() - start, value


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, nargs="+", default=[4096, 512], help="rows in either set")
    parser.add_argument("--dim", type=int, default=2048)
    parser.add_argument("--repeats", type=int, default=2)
    settings = parser.parse_args()
    for n in settings.n:
        x, y = features(n, settings.dim, 0), features(n, settings.dim, 1)
        wide = {"pytorch_fid": (x.astype(np.float64), y.astype(np.float64))}  # its own reader returns float64
        times = {key: [np.inf, np.inf] for key in ("hkd", *LIBRARIES)}
        values: dict[str, float] = {}
        for _ in range(settings.repeats):
            for key, found in times.items():
                seconds, values[key] = ours(x, y) if key == "hkd" else theirs(LIBRARIES[key], *wide.get(key, (x, y)))
                times[key] = [min(pair) for pair in zip(found, seconds, strict=True)]
        exact = exact_distance(x, y)
        print(f"\nn = {n}, dim = {settings.dim}, exact distance {exact:.10g}, minimum of {settings.repeats}")
        print(
            f"{'program':<16}{'from features':>16}{'ratio':>8}{'from statistics':>18}{'ratio':>8}{'relative error':>17}"
        )
        for key, (whole, part) in times.items():
            ratios = [mine / base for mine, base in zip((whole, part), times["hkd"], strict=True)]
            error = abs(values[key] - exact) / exact
            print(f"{key:<16}{whole:>14.3f} s{ratios[0]:>8.1f}{part:>16.3f} s{ratios[1]:>8.1f}{error:>17.1e}")


def ours(x: np.ndarray, y: np.ndarray) -> tuple[tuple[float, float], float]:
    """Return CPU seconds (from features, from statistics) and the distance."""
    if len(x) <= x.shape[1]:
        seconds, value = cpu_seconds(lambda: frechet_from_features(x, y).distance)
        return (seconds, seconds), value
    start = time.process_time()
    statistics = gaussian_of(x), gaussian_of(y)
    before = time.process_time() - start
    seconds, value = cpu_seconds(lambda: frechet(*statistics).distance)
    return (before + seconds, seconds), value


def theirs(library: Library, x: np.ndarray, y: np.ndarray) -> tuple[tuple[float, float], float]:
    """Return CPU seconds (from features, from statistics) and the library's distance."""
    start = time.process_time()
    statistics = library.statistics(x), library.statistics(y)
    before = time.process_time() - start
    seconds, value = cpu_seconds(lambda: library.distance(*statistics))
    return (before + seconds, seconds), value


if __name__ == "__main__":
    main()
