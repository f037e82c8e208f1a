"""What the Snakefile needs: the plan, the one lookup of its rules, the environment of jobs, locks left by dead runs."""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from hkd import devices, owner
from hkd.plan import targets
from hkd.plan.asked import most_processes
from hkd.plan.check import check_old_results, check_settings
from hkd.plan.rows import printed
from hkd.plan.runs import Plan
from hkd.plan.stages import STAGES
from hkd.plan.work import Stage, Work
from hkd.settings.merge import CONFIGS, DEFAULT, RUN_GROUPS, SHIPPED, handed_on
from hkd.settings.origins import ConfigError, Layers, from_mapping
from hkd.store.atomic import write_json, write_text
from hkd.store.paths import METHOD
from hkd.store.refusals import ArtifactError

# Tensors of some tens of megabytes come and go at every step; without these glibc returns their pages to the
# kernel each time and faults them in again, which costs several times the arithmetic.
ENVIRONMENT = {"MALLOC_MMAP_THRESHOLD_": "1073741824", "MALLOC_TRIM_THRESHOLD_": "1073741824"}

ENVIRONMENTS = Path(".snakemake/hkd-environments")
MAX_NOTE_BYTES = 1 << 16
FORGOTTEN = 3600.0  # seconds after which a note of another machine that holds no lock goes


def configs(rules: str) -> Path:
    """Return the folder of settings that belongs to a folder of rules, which need not be where the workflow runs."""
    found = Path(rules).parent / CONFIGS.name
    return CONFIGS if found.resolve() == CONFIGS.resolve() else found


def plan(
    config: Mapping[str, Any], files: Sequence[str | Path] = (), settings: Path = CONFIGS, *, module: bool = False
) -> Plan:
    """Return the plan of the workflow's merged config, all of whose runs are checked.

    Args:
        config: what Snakemake made of `--configfile` and `--config`; of a module, what its user states.
        files: of `--configfile`.
        settings: the folder of settings.
        module: whether another workflow uses this one: its config then names the benchmark that it inherits.
    Raises:
        WorkflowError: the config cannot be used; Snakemake prints it without a traceback.
    """
    from snakemake.exceptions import WorkflowError

    try:
        _check_own_folder()
        if module:
            made = check_settings(Plan.load(json.dumps({"inherits": DEFAULT, **config}), configs=settings))
        else:
            made = check_settings(Plan.of(config, [Path(file) for file in files], settings))
        check_old_results(made)
    except (ConfigError, ArtifactError) as error:
        raise WorkflowError(str(error)) from None
    return made


def _check_own_folder(folder: Path = Path(".snakemake")) -> None:
    """Refuse a folder that Snakemake cannot write its notes to, as it must for a dry run too, in one line.

    Raises:
        ArtifactError: naming the folder, whose it is and what to do.
    """
    there = folder if folder.exists() else folder.absolute().parent
    if not os.access(there, os.W_OK | os.X_OK):
        raise ArtifactError(
            f"{there.absolute()}: of user {owner.user(there.stat().st_uid)}, and you cannot write here, as Snakemake "
            "must; work in a folder of your own: snakemake -s SNAKEFILE --directory PATH, with --config results=PATH "
            "for results that lie elsewhere"
        )


class Rules:
    """The lookup of every rule: what a stage, or a part of a study, reads, leaves, is defined by and asks for.

    `stage` is a name; `fixed` are values that the rule does not take from wildcards.

    Args:
        environment: the file that every job sources.
        prefixed: what Snakemake makes of a path; the `prefix:` of a module is laid before it.
    """

    def __init__(self, plan: Plan, environment: str = "", prefixed: Callable[[str], str] = str) -> None:
        self._plan, self.environment, self._prefixed = plan, environment, prefixed
        parts = {part.name: part for study in plan.studies.values() for part in study.parts}
        self.stages: dict[str, Stage] = {**STAGES, **parts}
        self.groups = (*RUN_GROUPS, SHIPPED, *(study.name for study in plan.studies.values() if study.runs))
        self._work = cache(self._described)

    def outputs(self, stage: str, **fixed: Any) -> dict[str, Any]:
        """Return the output patterns of a rule, by name."""
        from snakemake.io import directory

        files = self.stages[stage].files(self._plan.layout, **fixed)
        return {name: directory(path) if name in files.folders else path for name, path in files.declared().items()}

    def log(self, stage: str, **fixed: Any) -> str:
        """Return where the log of a rule lies."""
        return f"{self.stages[stage].files(self._plan.layout, **fixed).log}.log"

    def benchmark(self, stage: str, **fixed: Any) -> str:
        """Return where Snakemake notes time and memory of a rule's jobs."""
        return f"{self.stages[stage].files(self._plan.layout, **fixed).log}.jsonl"

    def inputs(self, stage: str, **fixed: Any) -> Callable[[Any], list[str]]:
        """Return the input function of a rule."""
        return lambda wildcards: self._of(stage, wildcards, fixed).inputs()

    def digest(self, stage: str, **fixed: Any) -> Callable[[Any], str]:
        """Return the function of what defines the results of a rule: another digest makes them again."""
        return lambda wildcards: self._of(stage, wildcards, fixed).digest

    def dataset(self, stage: str) -> str:
        """Return the data set of the study that a part belongs to."""
        study = next(study for study in self._plan.studies.values() if stage in {part.name for part in study.parts})
        own = [getattr(self._plan.study(name, kind), "dataset", None) for name, kind in study.sections.items()]
        return self._plan.study_dataset(next(iter(own), None))

    def resources(self, stage: str, **fixed: Any) -> dict[str, Callable[..., int] | str]:
        """Return the functions of what a job asks of the machine, and the environment that its command sources.

        No job is made again for another environment, as it would be for another parameter. Memory grows with each
        attempt; time does where an attempt begins anew: others go on and lose nothing.
        """
        if self.stages[stage].local:
            return {"environment": self.environment}
        resumes = self.stages[stage].resumes
        needs = lambda wildcards: self._of(stage, wildcards, fixed).definition.needs  # noqa: E731
        return {
            "environment": self.environment,
            "gpu": lambda wildcards: needs(wildcards).gpu,
            "mem_mb": lambda wildcards, attempt: needs(wildcards).mem_mb * attempt,
            "runtime": lambda wildcards, attempt: needs(wildcards).minutes * (1 if resumes else attempt),
        }

    def finished_tables(self) -> list[str]:
        """Return the tables of the benchmark that are made."""
        files = [self._prefixed(f"{self._plan.layout.table(name)}.csv") for name in self._plan.tables]
        return [file for file in files if Path(file).exists()]

    def reproduces(self) -> bool:
        """Return whether anything was printed of a table that the benchmark makes."""
        return any(printed(self._plan, table) for table in self._plan.tables.values())

    def table_targets(self) -> list[str]:
        """Return every table that the benchmark makes, those of studies among them."""
        return [str(work.out()) for work in targets.tables(self._plan)]

    def figure_targets(self) -> list[str]:
        """Return every figure that the benchmark makes, those of studies among them."""
        return [str(work.out()) for work in targets.figures(self._plan)]

    def figure_table(self, figure: str) -> str:
        """Return the table whose rows a figure shows; where there is none, the one of which it would."""
        return targets.figure_table(self._plan, figure)

    def _of(self, stage: str, wildcards: Any, fixed: Mapping[str, Any]) -> Work:
        values = {**dict(wildcards.items()), **fixed}
        if {"group", "method"} <= values.keys():
            values["method"] = METHOD.format(**{key: values.pop(key) for key in ("group", "method")})
        return self._work(stage, tuple(sorted(values.items())))

    def _described(self, stage: str, values: tuple[tuple[str, Any], ...]) -> Work:
        return self.stages[stage].work(self._plan, **dict(values))


def environment(
    plan: Plan, prefixed: Callable[[str], str] = str, *, remote: bool = False, submits: bool = False
) -> str:
    """Return the file that every job's command sources: this interpreter's `hkd` first, and the merged benchmark.

    The benchmark travels in the environment and not in the command, so that a change of an unrelated key reruns
    nothing: what a job depends on is in the digest that it is given. The file is named by its content, so that
    workflows side by side, or two instances of one module, never read each other's.

    Args:
        prefixed: what Snakemake makes of a path; the `prefix:` of a module is laid before it.
        remote: whether this is the Snakemake within a job that was submitted to a cluster.
        submits: whether it may submit its jobs, which then take none of this machine's devices.
    Raises:
        WorkflowError: the jobs of this machine cannot take the devices that are listed.
    """
    roots = {key: prefixed(getattr(plan.benchmark, key)) for key in ("results", "figures")}
    handed = plan.layers
    if roots["results"] != plan.benchmark.results:
        handed = Layers(dict(handed.values), dict(handed.origins)).put(from_mapping(roots, "the module's prefix"))
    values = {**ENVIRONMENT, "HKD_BENCHMARK": handed_on(handed), "HKD_CONFIGS": str(plan.configs)}
    values |= _devices(plan, remote=remote, submits=submits)
    lines = [f"export {name}={shlex.quote(value)}" for name, value in values.items()]
    if remote and "HKD_DEVICES" not in values:  # what its user exported came along, and says nothing here
        lines.append("unset HKD_DEVICES HKD_GPUS")
    lines.append(f"export PATH={shlex.quote(str(Path(sys.executable).parent))}:$PATH")
    lines.append("export HKD_WORKFLOW_PID=$PPID  # the Snakemake that started this shell")
    text = "".join(f"{line}\n" for line in lines)
    file = ENVIRONMENTS / f"{hashlib.sha256(text.encode()).hexdigest()[:16]}.sh"
    if not file.exists():
        with suppress(OSError, ArtifactError):  # a folder that cannot be written runs no job either
            write_text(file, text)
    return str(file)


def _devices(plan: Plan, *, remote: bool, submits: bool) -> dict[str, str]:
    """Return what jobs are told of devices: on which to compute, and which they may take where they run."""
    from snakemake.exceptions import WorkflowError

    # jobs side by side would share one GPU unasked, and one that asks for a GPU would do without unsaid
    told = {"HKD_DEVICE": os.environ.get("HKD_DEVICE", "cuda" if plan.gpus else "cpu")}
    if not plan.gpus or not (found := devices.given() if remote else devices.present()):
        return told
    if not submits and not remote:
        try:
            devices.check(found, most_processes(plan))
        except ValueError as error:
            raise WorkflowError(str(error)) from None
    return {**told, "HKD_DEVICES": found, "HKD_GPUS": str(plan.gpus)}


def clear_stale_lock(folder: Path | str = ".snakemake", *, main: bool = True) -> bool:
    """Remove the workflow's locks if every process that may have taken them is dead; note that we may take some.

    A workflow that was killed leaves its locks, and Snakemake cannot tell them from those of a running one. Several
    may run side by side on different files, and locks do not say whose they are. So each start leaves a note of who it
    is; locks are removed only when all who left one are gone from this machine. Returns whether any were.

    Args:
        main: False in the processes that a running workflow starts for single jobs: they take no locks.
    """
    if not main:
        return False
    folder = Path(folder)
    try:
        locks = list((folder / "locks").glob("*.lock"))
        noted = dict(_notes(folder / "hkd-holders"))
    except OSError:  # another user's, which we may not see: what cannot be known is not removed
        return False
    living = {path: holder for path, holder in noted.items() if holder is None or owner.may_live(holder)}
    stale = bool(locks and noted and not living)
    if stale:
        for lock in locks:
            with suppress(OSError):  # another user's: Snakemake then says that it is locked
                lock.unlink(missing_ok=True)
        said = "; ".join(owner.described(holder) for holder in noted.values() if holder)
        print(f"removed the lock of a workflow that was killed ({said})", file=sys.stderr)
    elif locks and living:
        said = "; ".join(_described(path, holder) for path, holder in living.items())
        print(f"locks of {folder} may be held by: {said}", file=sys.stderr)
    for path, holder in noted.items():
        with suppress(OSError):  # another user's, in a checkout that is shared
            elsewhere = holder is not None and holder["host"] != socket.gethostname()
            # a workflow that has just started there may not have taken its locks yet
            left = elsewhere and not locks and time.time() - path.stat().st_mtime > FORGOTTEN
            if path not in living or left:
                path.unlink(missing_ok=True)
    own = owner.note()
    with suppress(OSError, ArtifactError):  # a folder that cannot be written cannot be locked: Snakemake says so itself
        write_json(folder / "hkd-holders" / f"{own['host']}-{owner.session()}-{own['pid']}.json", own)
    return stale


def _notes(folder: Path) -> Iterator[tuple[Path, dict[str, Any] | None]]:
    """Yield the notes that lie in a folder; of one that cannot be read or is none, nobody knows who left it: None."""
    for path in sorted(folder.glob("*.json")):  # a folder's own order is no order
        try:
            with open(path, "rb") as file:
                found = json.loads(file.read(MAX_NOTE_BYTES))
        except FileNotFoundError:  # removed meanwhile
            continue
        except (OSError, ValueError, RecursionError):
            found = None
        known = isinstance(found, dict) and {"host", "pid", "born"} <= found.keys()
        yield path, found if known else None


def _described(path: Path, holder: Mapping[str, Any] | None) -> str:
    if holder is None:
        return f"whoever left {path}, which cannot be read; delete that file if no workflow runs in this folder"
    return owner.described(holder)
