"""Inception Score: how sure a classifier is of each image, and how evenly its classes are used.

    IS = exp E_x KL(p(y | x) || p(y))

Source: Salimans et al. (2016). Programs differ in splits and shuffling; the defaults are torch-fidelity's.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hkd.metrics.features.inputs import MetricError, check_features


@dataclass(frozen=True)
class InceptionScore:
    """Mean and standard deviation over the splits."""

    mean: float
    sd: float
    splits: int
    n: int


def inception_score(logits: np.ndarray, *, splits: int = 10, shuffle_seed: int | None = 2020) -> InceptionScore:
    """Return the score of class logits (N, classes), without the bias of the last layer as in the published code.

    Args:
        shuffle_seed: seed of the permutation before splitting; None keeps the order, which biases samples that are
            sorted by class.
    Raises:
        MetricError: see `check_features`; also for fewer images than splits.
    """
    rows = check_features(logits, name="logits")
    if len(rows) < splits:
        raise MetricError(f"inception score: {len(rows)} images in {splits} splits; lower splits or sample more")
    n = len(rows)
    order = np.arange(n) if shuffle_seed is None else np.random.RandomState(shuffle_seed).permutation(n)
    scores = np.array([_score(rows[order[i * n // splits : (i + 1) * n // splits]]) for i in range(splits)])
    return InceptionScore(float(scores.mean()), float(scores.std()), splits, n)


def _score(logits: np.ndarray) -> float:
    exact = logits.astype(np.float64)
    # log-softmax with the largest logit at 0, so that no exponential overflows
    exact -= exact.max(axis=1, keepdims=True)
    log_p = exact - np.log(np.exp(exact).sum(axis=1, keepdims=True))
    p = np.exp(log_p)
    marginal = np.log(np.maximum(p.mean(axis=0), np.finfo(np.float64).tiny))
    return float(np.exp((p * (log_p - marginal)).sum(axis=1).mean()))
