"""Spectra of finished runs held against one another: those of two seeds, or of operators that started elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from hkd.koopman.spectrum import OrderBy, agreement_test, spectra
from hkd.seeding import stream
from hkd.studies.interpretability.starts import hkd_network

if TYPE_CHECKING:
    from hkd.studies.interpretability.plan import Pair

Watch = Callable[[Sequence["Pair"]], Iterable["Pair"]]


def agreements(
    pairs: Sequence[Pair], orders: Sequence[OrderBy], draws: int, watch: Watch = iter
) -> list[dict[str, Any]]:
    """Return a line for every pair of spectra and every order: how alike both order modes, beside a permutation null.

    Args:
        pairs: of weights files, each with its run's config beside it.
        draws: permutations, drawn from a stream of each pair's own, the same for all orders.
        watch: passes the pairs on one by one, as a progress bar does.
    """
    weights = dict.fromkeys(path for pair in pairs for path in (pair.first, pair.second))
    found = {path: spectra(hkd_network(Path(path), torch.device("cpu"))) for path in weights}
    lines = []
    for number, pair in enumerate(watch(pairs)):
        for order in orders:
            draw = stream(number, "agreement")
            test = agreement_test(found[pair.first], found[pair.second], order, generator=draw, draws=draws)
            lines.append({**vars(pair), "order_by": order, **test._asdict(), "null": test.null.tolist()})
    return lines
