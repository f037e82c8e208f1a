"""A results folder made by hand: metrics files as `hkd metrics` writes them, with values that a test plants."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from hkd.plan.runs import Plan
from hkd.report.csv import to_csv
from hkd.settings.columns import FID_DIGESTS
from hkd.store.atomic import write_json, write_text
from hkd.store.records import Record
from hkd.studies.comparison.claims import Claim
from hkd.studies.comparison.frozen import Frozen
from hkd.studies.comparison.judging import judge_of
from hkd.studies.comparison.line import Line
from hkd.studies.comparison.plan import claims, frozen, settings

EXACT = {"scale": "paper", "data_kind": "images", "extractor": "FID", "n_generated": 50_000, "n_reference": 50_000}
TOY = {"scale": "embedded", "data_kind": "shapes", "extractor": "FD-tiny", "n_generated": 1000, "n_reference": 10_000}


class Tree:
    """A results folder of a benchmark whose tables 1 and 3 are on one data set.

    `scale` is paper, where planted runs follow the printed protocol on CIFAR-10, or embedded.
    """

    def __init__(self, root: Path, scale: str, seeds: int, **overrides: Any) -> None:
        self.dataset = "cifar10" if scale == "paper" else "shapes16"
        table = {"dataset": self.dataset}
        changes = {"tables": {"table1": table, "table3": table}, "dataset": self.dataset}
        self.overrides = {"results": str(root), "scale": scale, "seeds": seeds, "students": "train"}
        self.overrides |= {**changes, **overrides}
        self.plan = Plan.load("configs/benchmarks/embedded.yaml", self.overrides)
        self.root, self._facts = root, EXACT if scale == "paper" else TOY

    def options(self) -> list[str]:
        """The same benchmark on a command line."""
        keys = (word for key, value in self.overrides.items() for word in ("--config", f"{key}={json.dumps(value)}"))
        return ["--benchmark", "configs/benchmarks/embedded.yaml", *keys]

    def plant(self, run: str, nfe: int, values: Sequence[float], images: int = 0, **changes: Any) -> list[Path]:
        """Write one metrics file per value, of seeds 0, 1, ...; return them."""
        return [self.one(run, nfe, seed, value, images, **changes) for seed, value in enumerate(values)]

    def one(self, run: str, nfe: int, seed: int, value: float, images: int = 0, **changes: Any) -> Path:
        """Write the metrics file of one seed, with its record."""
        scores = {"fid_own": value, "fdn": value / 2, **changes.pop("scores", {})}
        facts = {**self._facts, **changes}
        protocol = {"n_generated": facts["n_generated"], "extractor": facts["extractor"], "estimate": [], "ranges": 1}
        protocol |= changes.pop("protocol", {})
        facts.pop("protocol", None)
        content = {
            "schema": 2,
            "dataset": self.dataset,
            "method": run,
            "title": run,
            "seed": seed,
            "nfe": nfe,
            "route": "train",
            "extractor_digest": next(iter(FID_DIGESTS)),
            "settings_digest": "0123456789abcdef",
            "samples_sha256": "5" * 64,
            "commit": "unknown",
            "versions": {},
            "metrics": scores,
            "protocols": {name: {**protocol, **_size(name)} for name in scores},
            "budget": {"params": 7, "train_images": images, "network_evals": 1000, "train_seconds": 1.0},
            **facts,
        }
        path = Path(self.plan.layout.run(self.dataset, run, seed).metrics(nfe))
        write_json(path, content)
        Record("metrics").write(path)
        return path

    def trained(self, run: str, seed: int, **facts: Any) -> None:
        """Write weights that are none, and their record."""
        path = Path(self.plan.layout.run(self.dataset, run, seed).weights)
        write_text(path, "")
        settings = dict(facts.pop("settings", {}))
        facts |= {"trajectories": settings.pop("trajectories")} if settings else {}  # as `hkd train` records them
        Record("train", settings).write(path, **{"checkpoint": "last", **facts})

    def study(self, file: str, lines: Sequence[dict[str, Any]]) -> Path:
        """Write the table of a study, with its record."""
        path = self.root / file
        write_text(path, to_csv(lines, list(lines[0])))
        Record("study").write(path)
        return path

    def judged(self, claim: str) -> Line:
        """Return the line of a claim."""
        known, fixed = _known(json.dumps(self.overrides.get("studies", {})))
        return judge_of(self.plan, settings(self.plan), fixed).line(known[claim], known)


@cache
def _known(studies: str) -> tuple[dict[str, Claim], Frozen]:
    """Return claims and what is frozen of them: neither depends on what lies in a results folder."""
    plan = Plan.load("configs/benchmarks/embedded.yaml", {"studies": json.loads(studies)})
    return claims(plan), frozen(plan)


def _size(score: str) -> dict[str, int]:
    """Return what the name of a score says of its number of images."""
    return {"n_generated": int(score.partition("@")[2])} if "@" in score else {}
