"""What a training leaves: milestones, config, raw and averaged weights, in the place of what others have made."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from hkd.experiment.record import run_document
from hkd.plan.lengths import bound
from hkd.plan.superseding import check_replacing, others
from hkd.settings.origins import to_yaml
from hkd.store.artifacts import save_weights
from hkd.store.atomic import write_text
from hkd.store.records import Record, identity
from hkd.store.superseded import CHECKPOINTS, keep, set_aside

if TYPE_CHECKING:
    from hkd.data.image_shape import ImageShape
    from hkd.plan.work import Work
    from hkd.training.milestones import Milestones


class Names(NamedTuple):
    """What names the results of a training, and its states on the way: settings, code and inputs of each."""

    results: str
    states: str


def named(work: Work) -> Names:
    """Return what names the results of a training, and its states on the way, by the inputs that are there now."""
    return Names(identity(work.digest, work.inputs()), identity(work.states_digest, work.inputs()))


def set_others_aside(work: Work, names: Names) -> None:
    """Move what others made out of the way, if that was asked for where it must be.

    Raises:
        ConfigError: it would have to be, and was not asked for.
    """
    plan, folder, method = work.plan, work.out().parent, work.of["method"]
    run = plan.run(work.of["dataset"], method)
    check_replacing(plan, others(folder, *names, run.training.steps))
    moved = set_aside(folder, *names, run.training.steps)
    for place in moved:
        print(f"what other settings, code or inputs made of {method} lies in {place} now", file=sys.stderr)
    if any(place.name.startswith(CHECKPOINTS) for place in moved) and (why := bound(run)):
        print(f"{method}: a longer training begins anew too, because of {why}", file=sys.stderr)


def hand_over(
    work: Work,
    names: Names,
    weights: tuple[Mapping[str, Any], Mapping[str, Any]],
    milestones: Milestones,
    shape: ImageShape,
    record: Record,
    facts: dict[str, Any],
) -> None:
    """Write milestones, config, raw and averaged weights, each with its record, the averaged weights last.

    Args:
        names: as `named` gave them before the training.
        weights: the averaged and the raw ones.
        facts: of the training, for the records of weights.
    """
    plan, dataset, method = work.plan, work.of["dataset"], work.of["method"]
    run, folder, (averaged, raw) = plan.run(dataset, method), work.out().parent, weights
    steps = run.training.steps if facts["route"] == "train" else 0
    kept = milestones.hand_over(work.out("milestones"), record, steps)
    record.settings = run.model_dump(mode="json")
    document = run_document(
        run,
        shape,
        dataset=dataset,
        method=method,
        seed=record.seed,
        scale=plan.benchmark.scale,
        route=facts["route"],
        train_digest=record.settings_digest,
    )
    write_text(work.out("config"), to_yaml(document))
    record.write(work.out("config"))
    finite = facts["diverged_at"] is None  # of a training that diverged, the last weights are its result as they are
    for output, state in (("raw", raw), ("weights", averaged)):
        save_weights(work.out(output), state, finite=finite)
        record.write(work.out(output), **facts)
    keep(folder, [*kept, *(work.out(output) for output in ("config", "raw", "weights"))], *names)
