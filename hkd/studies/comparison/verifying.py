"""One claim, judged by weights that are measured again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hkd import job
from hkd.experiment.record import read_run
from hkd.experiment.remeasure import RELEASED, UNKNOWN, remeasure
from hkd.plan.runs import Plan
from hkd.report.verdicts import NOT_USABLE, exit_code
from hkd.settings.origins import ConfigError
from hkd.store.artifacts import read_json
from hkd.store.atomic import write_json
from hkd.store.paths import RunFiles
from hkd.store.records import Record
from hkd.store.refusals import ArtifactError
from hkd.studies.comparison.claims import Claim
from hkd.studies.comparison.judging import answering, numbers_of, run_files, stands_for
from hkd.studies.comparison.line import Line
from hkd.studies.comparison.pairs import SCORE
from hkd.studies.comparison.said import Number as Said
from hkd.studies.comparison.table import cells

if TYPE_CHECKING:
    import torch


def again(files: RunFiles, nfe: int) -> str:
    """Return where the second measurement of a run lies."""
    return files.of(f"verified/nfe{nfe}.json")


def measure_again(
    plan: Plan,
    claim: Claim,
    claims: Mapping[str, Claim],
    weights: Path | None,
    to: torch.device,
    tick: Callable[[int], None],
) -> Iterator[str]:
    """Measure every finished run that a claim rests on again, and yield what was found beside what is recorded.

    Runs without weights are left out; the verdict then says that they are not there. Claims that a study answers have
    nothing to measure.

    Raises:
        ConfigError: weights from elsewhere are not there, are of another method than the claim's run, or were given
            for a claim that is not about one run.
        ArtifactError: a reference or an extractor is missing or damaged.
    """
    numbers = numbers_of(claim, claims)
    if weights and len(numbers) != 1:
        raise ConfigError(f"--weights {weights}: '{claim.id}' rests on {len(numbers)} runs, not on one; leave it out")
    for number in numbers:
        said = number.said
        if not isinstance(said, Said) or (dataset := stands_for(plan, said.reported)) is None:
            continue
        run, nfe = answering(plan, said, str(number.run)), int(number.nfe or 1)
        if weights:
            _check_given(weights, plan.run(dataset, run).target, run)
        for file in run_files(plan, dataset, run, nfe, again, weights):
            file.metrics.unlink(missing_ok=True)  # of weights that may be gone by now
            if not file.weights.exists():
                continue
            about, computed = {"claim": claim.id}, job.settled(to)
            record = Record("verify", about, seed=file.seed, inputs=[file.weights], device=str(to), compute=computed)
            unrecorded = RELEASED if file.given else UNKNOWN
            content = remeasure(plan, dataset, run, file.weights, unrecorded, seed=file.seed, nfe=nfe, to=to, tick=tick)
            write_json(file.metrics, content)
            record.write(file.metrics)
            yield _beside(plan, dataset, run, nfe, file.seed, content)


def _check_given(weights: Path, target: str, run: str) -> None:
    """Refuse weights from elsewhere that are not there, or that another method than the run's has made."""
    if not weights.is_file():
        raise ConfigError(f"--weights {weights}: no such file; give a weights.safetensors with config.yaml beside it")
    config = weights.with_name("config.yaml")
    if (made := read_run(config)[0].target) != target:
        raise ConfigError(f"{config}: run.target = {made}, where {run} is {target}; give weights of that method")


@dataclass(frozen=True)
class Outcome:
    """What verifying a claim ends with: its line, the exit code by verdict and marks, and why that is bypassed."""

    line: Line
    strict: bool
    bypass: str | None

    @property
    def judged(self) -> int:
        """The exit code that the claim deserves."""
        if self.strict and self.line.marks:
            return NOT_USABLE
        return exit_code(self.line.verdict, strict=self.strict)

    @property
    def code(self) -> int:
        """The exit code that the command leaves with."""
        return 0 if self.bypass else self.judged

    def said(self) -> list[str]:
        """Return it as lines for a terminal."""
        line = self.line
        text = [f"{line.claim.id}: {line.verdict}"]
        text += [f"  {key}: {value}" for key, value in cells(line, "").items() if key in SHOWN and value != ""]
        text += [f"  bypassed ({self.bypass}): exit code 0 in place of {self.judged}"] if self.bypass else []
        return text

    def content(self, frozen: str) -> dict[str, Any]:
        """Return what is recorded of it."""
        facts = {"strict": self.strict, "exit_code": self.code, "judged": self.judged, "bypass": self.bypass}
        return {**cells(self.line, frozen), **facts}


SHOWN = (
    *(
        "quote",
        "citation",
        "seeds",
        "measured_as",
        "reproduced",
        "expected",
        "difference",
        "low",
        "high",
        "margin",
        "detectable",
    ),
    *("resolved_by", "reasons", "gaps", "marks"),
)


def _beside(plan: Plan, dataset: str, run: str, nfe: int, seed: int, content: Mapping[str, Any]) -> str:
    """Return what was found beside what the workflow recorded."""
    name = f"{run}, seed {seed}, {nfe} NFE"
    if content["diverged_at"] is not None:
        return f"{name}: its training diverged"
    found, stored = content["metrics"][SCORE], Path(plan.layout.run(dataset, run, seed).metrics(nfe))
    try:
        known = read_json(stored, "metrics")["metrics"][SCORE] if stored.exists() else None
        before = "not recorded" if known is None else f"recorded {float(known):.6g}"
    except (ArtifactError, KeyError, TypeError, ValueError):
        before = f"{stored} is unreadable"
    return f"{name}: measured again {found:.6g}, {before}"
