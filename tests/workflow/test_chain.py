"""A finished run whose files are damaged, exchanged and edited: every command that reads one says so in one line."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hkd import __main__ as entry
from hkd import interrupt
from hkd.plan.chain import Chain
from hkd.plan.runs import Plan
from hkd.plan.stages import TABLE, TRAJECTORY_ERROR
from hkd.plan.work import Work
from hkd.store.records import main_file, record_path
from tests.recorded import resealed

SMOKE = "configs/benchmarks/smoke.yaml"
POSITIONAL = ("dataset", "method", "role", "trajectories", "table")
RESEALED = {"stage": "other", "of": {}, "seed": 9, "settings_digest": "0" * 16, "inputs": {}}
EDITS = {"seed": 9, "settings_digest": "0" * 16, "n": 1, "route": "shipped", "diverged_at": 1}
Run = Callable[[Work], tuple[int, str]]


def readers(plan: Plan) -> dict[str, list[Work]]:
    """Every file that the commands behind Table 1 and the errors over time read, with those that read it."""
    chain, found, seen = Chain(plan), {}, set()
    hkd = {"dataset": "shapes8", "method": "methods/hkd", "seed": 0}
    waiting = [TABLE.work(plan, table="table1"), TRAJECTORY_ERROR.work(plan, **hkd)]
    while waiting:
        work = waiting.pop()
        if str(work.out()) in seen:
            continue
        seen.add(str(work.out()))
        for path in work.inputs():
            for file in (path, *behind(plan, work, Path(path))):
                found.setdefault(str(file), []).append(work)
            waiting += [made] if (made := chain.maker(path)) else []
    return found


def behind(plan: Plan, work: Work, manifest: Path) -> list[Path]:
    """The arrays that a manifest lists and that a command reads with it; a training on trajectories sees no images."""
    if manifest.name != "manifest.json":
        return []
    images = manifest.parent.parent.name == "data"
    if images and work.stage == "train" and plan.run(work.of["dataset"], work.of["method"]).feed != "images":
        return []
    return sorted(manifest.parent.glob("*.npy"))


def words(work: Work) -> list[str]:
    """The command line of a piece of work."""
    given = [work.of[name] for name in POSITIONAL if name in work.of]
    options = [word for name, value in work.of.items() if name not in POSITIONAL for word in (f"--{name}", value)]
    return ["hkd", work.command, *given, *options, "--benchmark", SMOKE]


@pytest.fixture
def run(finished, monkeypatch, capsys) -> Run:
    """Run the command of a piece of work in the finished checkout; return its exit code and errors."""
    finished.run("results/smoke/table1.csv", "results/smoke/shapes8/methods/hkd/seed0/metrics/trajectory_error.json")
    monkeypatch.chdir(finished.folder)
    monkeypatch.setenv("HKD_DEVICE", "cpu")
    monkeypatch.delenv("HKD_BENCHMARK", raising=False)

    def call(work: Work) -> tuple[int, str]:
        interrupt.reset()
        monkeypatch.setattr(sys, "argv", words(work))
        code = entry._run()
        return code, capsys.readouterr().err

    return call


@contextmanager
def restored(*paths: Path) -> Iterator[None]:
    """Put files back as they were, with their times: Snakemake compares them."""
    before = {path: (path.read_bytes(), path.stat()) for path in paths}
    try:
        yield
    finally:
        for path, (content, about) in before.items():
            path.write_bytes(content)
            os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns))


def refused(run: Run, work: Work, harm: str) -> str:
    """Run a command that must refuse its inputs, and leave its result as it is; return its line."""
    out = work.out()
    before = out.read_bytes()
    code, err = run(work)
    lines = [line for line in err.splitlines() if line.startswith("hkd: ")]
    assert code == 1 and len(lines) == 1 and "Traceback" not in err, f"{words(work)} after {harm}: {code} {err}"
    assert out.read_bytes() == before
    return lines[0]


@pytest.mark.slow
@pytest.mark.ci
def test_damage_and_edits_are_found_by_every_command_that_reads_a_file(run):
    tried = 0
    for name, works in readers(Plan.load(SMOKE)).items():
        file = main_file(name)
        content, record = file.read_bytes(), record_path(file)
        flipped = bytearray(content)
        flipped[len(content) // 2] ^= 4
        for harm, changed in (("a flipped bit", bytes(flipped)), ("half of it", content[: len(content) // 2])):
            with restored(file):
                file.write_bytes(changed)
                for work in works[:2]:
                    assert str(file) in refused(run, work, f"{harm} of {file}")
                    tried += 1
        asked = [work for work in works if name in work.inputs()]
        if not asked:
            continue  # known by its digest in a manifest alone: nobody takes facts from its record
        known = json.loads(record.read_text())
        for key, value in EDITS.items():
            with restored(record):
                record.write_text(json.dumps({**known, key: value}))
                assert str(record) in refused(run, asked[0], f"another {key} in {record}")
                tried += 1
        for key, value in RESEALED.items():
            if not (known["of"].get("seed") if key == "seed" else known[key]):
                continue  # of a file of all seeds, and one that is made from nothing
            with restored(record):
                resealed(name, **{key: value})
                assert f"{file}: " in refused(run, asked[0], f"another {key} in {record}, sealed again")
                tried += 1
    assert tried > 250


@pytest.mark.slow
def test_no_two_files_of_a_finished_run_pass_for_one_another(run):
    found, tried = readers(Plan.load(SMOKE)), 0
    names = [name for name in found if record_path(main_file(name)).exists()]
    for position, one in enumerate(names):
        for two in names[position + 1 :]:
            first, second = main_file(one), main_file(two)
            if first.name != second.name:
                continue
            files = [first, second, record_path(first), record_path(second)]
            with restored(*files):
                contents = [path.read_bytes() for path in files]
                for path, content in zip((files[1], files[0], files[3], files[2]), contents, strict=True):
                    path.write_bytes(content)
                for name, work in ((one, found[one][0]), (two, found[two][0])):
                    line = refused(run, work, f"{one} and {two} exchanged")
                    assert str(first) in line or str(second) in line, name
                    tried += 1
    assert tried > 100
