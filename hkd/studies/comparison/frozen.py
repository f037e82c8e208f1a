"""What is fixed before any run: claims with margins, rules, printed protocols, readings of HKD, lengths that no
source states.

It lies in one file, configs/claims/frozen.json, whose digest every comparison prints. `hkd claims --freeze` writes it;
what has changed since is named beside every verdict.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from hkd.plan.runs import Plan
from hkd.report.compare import Paper
from hkd.settings.origins import ConfigError, Section, digest
from hkd.settings.sections import Run
from hkd.store.atomic import write_json
from hkd.studies.comparison.claims import Claim
from hkd.studies.comparison.rules import Comparison
from hkd.studies.comparison.said import LEARNED, Number, Ordering

FILE = "claims/frozen.json"
HKD = "hkd.methods.hkd.HKD"
READ = (
    *("network", "params", "training", "perceptual", "perceptual_backbone", "perceptual_resize"),
    *("init", "init_weights", "feed"),
)
NO_READING = ("milestones",)  # when quality is looked at, which changes no weight


@dataclass(frozen=True)
class Frozen:
    """The frozen file, and what differs from it now.

    Attributes:
        content: rules, claims, readings and lengths, as they were frozen.
        changed: paths of values that are others now, such as `claims.t1-hkd.margin`.
    """

    content: Mapping[str, Any]
    changed: tuple[str, ...]

    @cached_property
    def digest(self) -> str:
        """What names the file by its content."""
        return digest(self.content)

    def changed_of(self, claim: Claim, claims: Mapping[str, Claim]) -> list[str]:
        """Return what has changed of all that a claim rests on: the rules, itself, its sides, and their runs."""
        every = dict.fromkeys((claim.id, *claim.sides))
        starts = ["rules", *(start for name in every for start in self._rests_on(claims[name]))]
        return [path for path in self.changed if any(f"{path}.".startswith(f"{start}.") for start in starts)]

    def _rests_on(self, claim: Claim) -> list[str]:
        """Return the paths of the frozen file that one claim rests on, none of them a part of another's name."""
        said, own = claim.said, f"claims.{claim.id}"
        if isinstance(said, Number):
            run = f"{said.reported}/{claim.run}"
            printed = [f"protocols.{said.reported}", f"train_images.{said.reported}/{said.conditions}/{claim.run}"]
            return [own, *printed, f"readings.{run}", f"lengths.{run}"]
        if isinstance(said, Ordering):
            return [own]
        runs = [run for run in self.content["readings"] if run.endswith(f"/{said.cell.where.get('run')}")]
        return [own, *(f"readings.{run}" for run in runs)]

    def reading(self, dataset: str, run: str) -> Mapping[str, Any]:
        """Return the settings that a run must have to be the frozen reading of HKD; none for other methods."""
        found: Mapping[str, Any] = self.content["readings"].get(f"{dataset}/{run}", {})
        return found

    def length(self, dataset: str, run: str) -> int | None:
        """Return the training images that stand for a length which no source states."""
        found = self.content["lengths"].get(f"{dataset}/{run}")
        return None if found is None else int(found)


def content(plan: Plan, claims: Mapping[str, Claim], rules: Comparison) -> dict[str, Any]:
    """Return what is to be frozen, as JSON values."""
    full = Plan.load(str(plan.configs / "benchmarks/embedded.yaml"), {"scale": "paper"}, plan.configs)
    runs = dict.fromkeys(
        (claim.said.reported, claim.run)
        for claim in claims.values()
        if claim.said.kind == "number" and claim.run and not claim.said.cell
    )
    readings, lengths = {}, {}
    for dataset, run in runs:
        values = full.run(dataset, str(run)).model_dump(mode="json")  # as the record of a training has them
        lengths[f"{dataset}/{run}"] = values["training"]["steps"] * values["training"]["batch"]
        if values["target"] == HKD:
            reading = {key: values[key] for key in READ}
            reading["training"] = {k: v for k, v in values["training"].items() if k not in NO_READING}
            reading[LEARNED] = full.learned_from(dataset, str(run))
            readings[f"{dataset}/{run}"] = reading
    judged_by = rules.model_dump(mode="json", exclude={"dataset", "selected"})
    frozen = {
        "rules": judged_by,
        "claims": {name: _frozen_claim(claim) for name, claim in claims.items()},
        **_printed(plan.configs, claims),
        "readings": readings,
        "lengths": lengths,
    }
    plain: dict[str, Any] = json.loads(json.dumps(frozen))
    return plain


def freeze(configs: Path, now: Mapping[str, Any]) -> str:
    """Write the frozen file, and return what names it and where it lies, in words."""
    path = configs / FILE
    write_json(path, now)
    return f"{path}: frozen as {digest(now)}; commit it before anything is run"


def read_frozen(configs: Path, now: Mapping[str, Any]) -> Frozen:
    """Return the frozen file, and what differs from it now.

    Raises:
        ConfigError: there is none, or it is no such file.
    """
    path = configs / FILE
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path}: missing; `hkd claims --freeze` writes it, before anything is run") from None
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: unreadable ({error}); restore it from the repository") from None
    kept = isinstance(stored, dict) and all(isinstance(stored.get(key), dict) for key in now)
    if not kept:
        raise ConfigError(f"{path}: lacks one of {', '.join(now)}; restore it from the repository")
    before, after = dict(_leaves(stored)), dict(_leaves(now))
    changed = [path for path in (*before, *after) if before.get(path) != after.get(path)]
    return Frozen(stored, tuple(dict.fromkeys(changed)))


def differences(reading: Mapping[str, Any], settings: Mapping[str, Any]) -> list[str]:
    """Return where the settings of a run, as its record has them, depart from a frozen reading or do not say.

    What a record of an older version leaves out was at its default.
    """
    own, left_out = (dict(_leaves(json.loads(json.dumps(one)))) for one in (settings, dict(_defaults(Run))))
    known = {**left_out, **own}
    return [
        f"{path} = {own[path]!r}, frozen {value!r}" if path in own else f"{path} not recorded, frozen {value!r}"
        for path, value in _leaves(reading)
        if path not in known or known[path] != value
    ]


def _defaults(section: type[Section], path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """Yield path and value of every key that may be left out of a section, or of one within it."""
    for name, field in section.model_fields.items():
        if not field.is_required():
            yield ".".join((*path, name)), field.default
        elif isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            yield from _defaults(field.annotation, (*path, name))


def _printed(configs: Path, claims: Mapping[str, Claim]) -> dict[str, Any]:
    """Return what makes a protocol the exact one: how printed numbers were measured, and after how much training."""
    protocols: dict[str, Any] = {}
    lengths: dict[str, int | None] = {}
    numbers = [claim.said for claim in claims.values() if isinstance(claim.said, Number) and not claim.said.cell]
    for reported, table in dict.fromkeys((said.reported, said.conditions) for said in numbers):
        paper = Paper.read(configs / f"reported/{reported}.yaml", table)
        measured = {"dataset": paper.dataset, "images": paper.n_reference}
        protocols[reported] = {"extractor": paper.extractor, "n_generated": paper.n_generated, **measured}
        lengths |= {f"{reported}/{table}/{run}": count for run, count in paper.train_images.items()}
    return {"protocols": protocols, "train_images": lengths}


def _frozen_claim(claim: Claim) -> dict[str, Any]:
    found: dict[str, Any] = {"kind": claim.kind, "citation": claim.citation}
    values = {"value": claim.value, "margin": claim.margin, "run": claim.run, "nfe": claim.nfe}
    found |= {key: value for key, value in values.items() if value is not None}
    return found | claim.said.model_dump(mode="json", exclude_defaults=True, exclude={"kind", "cite", "value", "note"})


def _leaves(node: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    if isinstance(node, Mapping) and node:
        for key, value in node.items():
            yield from _leaves(value, (*path, str(key)))
    else:
        yield ".".join(path), node
