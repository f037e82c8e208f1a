"""Weights that need no training, put where one would leave them: shipped with the package, or released by others."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hkd import interrupt
from hkd.data.image_shape import ImageShape
from hkd.experiment.trained import hand_over, named, set_others_aside
from hkd.plan.chain import Chain
from hkd.plan.stages import EXTRACTOR, TRAIN
from hkd.settings.merge import SHIPPED
from hkd.store.artifacts import save_weight_arrays
from hkd.store.shipped import shipped_weights
from hkd.training.milestones import Milestones

if TYPE_CHECKING:
    from hkd.plan.work import Work
    from hkd.store.records import Record

Begin = Callable[..., "Record"]  # of a piece of work and a seed, as `hkd.job.record` does


def adopt(work: Work, begin: Begin) -> None:
    """Put the weights that are given for a training, or for that of a feature network, where it would leave them.

    Raises:
        ArtifactError: they are missing or damaged, or do not fit the benchmark.
    """
    with interrupt.only_writer(work.out().parent):
        _adopt(work, begin)


def take_up(work: Work, *names: str, begin: Begin) -> None:
    """Adopt the weights that a command by hand reads and that are missing, if all of these are given; else do nothing.

    Args:
        names: of the inputs that it reads.
    Raises:
        ArtifactError: as `adopt`.
    """
    chain = Chain(work.plan)
    missing = [path for path in work.inputs(*names) if not Path(path).exists()]
    makers = [chain.maker(path) for path in missing]
    if not all(maker is not None and _is_given(maker) for maker in makers):
        return
    for path, maker in zip(missing, makers, strict=True):
        assert maker is not None
        with interrupt.only_writer(maker.out().parent):
            if not Path(path).exists():  # another command may have taken them up meanwhile
                _adopt(maker, begin)


def _is_given(work: Work) -> bool:
    """Whether a piece of work takes given weights; where rows are to be trained in the run, those of no shipped row."""
    if work.stage == EXTRACTOR.name:
        return bool(work.plan.shipped(work.of["dataset"], _network(work)))
    if work.stage != TRAIN.name or not work.plan.given(work.of["dataset"], work.of["method"]):
        return False
    return work.plan.benchmark.students == "shipped" or not work.of["method"].startswith(f"{SHIPPED}/")


def _network(work: Work) -> str:
    return f"extractors/{work.of['role']}"


def _adopt(work: Work, begin: Begin) -> None:
    if work.stage == EXTRACTOR.name:
        _adopt_network(work, begin(work))
        return
    record = begin(work, seed=int(work.of["seed"]))  # before torch is loaded: nothing is computed with it
    state, shape, facts = _given(work)
    names = named(work)
    set_others_aside(work, names)
    kept = Milestones(work.out().parent, "", ())  # nobody kept any
    hand_over(work, names, (state, state), kept, shape, record, facts | {"diverged_at": None, "codes": []})


def _adopt_network(work: Work, record: Record) -> None:
    from hkd.experiment.suitable import check_network

    what, dataset = _network(work), work.of["dataset"]
    name = str(work.plan.shipped(dataset, what))
    _tell(work, what, f"adopting the shipped weights {name}")
    arrays, card = shipped_weights(name, what)
    save_weight_arrays(work.out(), arrays, check_network(work.plan, dataset, what, name, arrays, card))
    record.write(work.out(), route="shipped", quality=card["quality"], name=card["name"])


def _given(work: Work) -> tuple[dict[str, Any], ImageShape, dict[str, Any]]:
    """Return the weights that need no training, the shape of their images, and what a record says of them."""
    plan, dataset, method = work.plan, work.of["dataset"], work.of["method"]
    if path := plan.released(dataset, method):
        from hkd.experiment.importing import released, said_of

        _tell(work, method, f"taking the released weights {path}")
        state, card = released(Path(path), plan.run(dataset, method), dataset=dataset, method=method)
        return state, ImageShape(**card["shape"]), {"route": "released", **said_of(card)}
    from hkd.experiment.suitable import check_run

    name = str(plan.shipped(dataset, method))
    _tell(work, method, f"adopting the shipped weights {name}")
    arrays, card = shipped_weights(name, method)
    shape = check_run(plan, dataset, method, name, arrays, card)
    said = [key for key in ("budget", "checkpoint", "start", "trajectories") if key in card]
    return arrays, shape, {"route": "shipped"} | {key: card[key] for key in said}


def _tell(work: Work, what: str, doing: str) -> None:
    print(f"{what} on {work.of['dataset']}: {doing}, as {work.out().parent}", file=sys.stderr)
