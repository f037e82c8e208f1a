"""Digests are neither too narrow nor too wide: what a stage computes with changes its digest, and nothing else does.

The first half holds the stages against the source: every library module that a command calls is within the code that
its stage names, and every function in that code is one whose change is noticed. The second half edits a copy.
"""

from __future__ import annotations

import ast
import copy
import inspect
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from hkd.plan import code
from hkd.plan.code import closure, fingerprint
from hkd.plan.runs import Plan
from hkd.plan.stages import STAGES
from hkd.plan.study import find
from hkd.plan.work import Stage, Work
from hkd.store import source

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "hkd"
ALL: dict[str, Stage] = {**STAGES, **{part.name: part for study in find().values() for part in study.parts}}
LIBRARY = {"data", "nets", "koopman", "diffusion", "methods", "training", "metrics", "experiment", "figures", "report"}
VALUES = {
    "dataset": "shapes16",
    "method": "methods/hkd",
    "seed": 0,
    "nfe": 1,
    "role": "metric",
    "split": "train",
    "trajectories": "edm-heun",
    "shard": 0,
    "order": "alpha",
}
TABLES = {"table": "table1", "samples_figure": "table1", "ablations_figure": "table3"}
# of a result's file name or of its place, not of its content: nothing that they hold is a number
CARRYING = {"hkd.data", "hkd.data.kinds", "hkd.data.shards", "hkd.report.csv", "hkd.training.checkpoint"}
# that refuse, or hand on what a digest names by its content: weights by their card, references as they are
CARRYING |= {"hkd.experiment.importing", "hkd.metrics.references"}
CARRYING |= {"hkd.experiment.adopting", "hkd.experiment.trained"}  # shipped weights by their card; names and places
CARRYING |= {"hkd.experiment.costing"}  # for lines of the log: what a step costs


@cache
def plan() -> Plan:
    """Everything trained here, and every column that needs another network."""
    columns = {"columns": ["fid_own", "fdn", "kid", "lpips_diversity", "fd_perceptual", "fd_dinov2", "fd_inception"]}
    changes = {"teacher": "train", "extractors": "train", "tables": {"table1": columns, "table3": columns}}
    return Plan.load(str(ROOT / "configs/benchmarks/embedded.yaml"), changes, ROOT / "configs")


def work(stage: str) -> Work:
    names = list(inspect.signature(ALL[stage].defined).parameters)[1:]
    values = {name: VALUES.get(name, TABLES.get(stage)) for name in names}
    return ALL[stage].work(plan(), **values)


def library(module: str) -> bool:
    parts = module.split(".")
    return parts[1] in LIBRARY or (parts[1] == "studies" and parts[-1] not in ("plan", "command"))


# -- not too narrow: against the source ------------------------------------------------------------------------------


def commands() -> Iterator[tuple[str, str, set[str], set[str]]]:
    """Yield file, command, names of its stages, and library modules that it calls, itself or by helpers beside it."""
    stages_by_constant = {
        (f"hkd.studies.{name}.plan", constant): value.name
        for name in find()
        for constant, value in vars(__import__(f"hkd.studies.{name}.plan", fromlist=["x"])).items()
        if isinstance(value, Stage)
    }
    stages_by_constant |= {("hkd.plan.stages", stage.name.upper()): name for name, stage in STAGES.items()}
    for path in sorted([*PACKAGE.glob("stages/*.py"), *PACKAGE.glob("studies/*/command.py")]):
        tree = ast.parse(path.read_text())
        functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
        for name, function in functions.items():
            reached = _reached(function, functions)
            imported = [pair for node in reached for pair in _imports(node)]
            named = {stages_by_constant[pair] for pair in imported if pair in stages_by_constant}
            if named and name != "register" and not name.startswith("_"):
                modules = {_module(*pair) for pair in imported}
                yield path.relative_to(ROOT).as_posix(), name, named, {m for m in modules if m and library(m)}


def _reached(function: ast.FunctionDef, functions: dict[str, ast.FunctionDef]) -> list[ast.FunctionDef]:
    found, queue = [], [function]
    while queue:
        node = queue.pop()
        if node not in found:
            found.append(node)
            called = {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}
            queue += [functions[name] for name in called & functions.keys()]
    return found


def _imports(function: ast.FunctionDef) -> Iterator[tuple[str, str]]:
    for node in ast.walk(function):
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("hkd"):
            yield from ((str(node.module), alias.name) for alias in node.names)


def _module(module: str, name: str) -> str | None:
    inner = f"{module}.{name}"
    return inner if source.module_file(inner) else module


@pytest.mark.parametrize("file, command, stages, modules", [pytest.param(*c, id=f"{c[0]}:{c[1]}") for c in commands()])
def test_every_library_module_that_a_command_calls_is_within_the_code_of_its_stage(file, command, stages, modules):
    within = {module for stage in stages for module in closure(*work(stage).definition.code)}
    missing = modules - within - CARRYING
    assert not missing, f"{file}, {command}: {sorted(missing)} can change without {sorted(stages)} being made again"


@pytest.mark.parametrize("stage", sorted(ALL))
def test_every_stage_has_code(stage):
    assert work(stage).code


def _computing(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes of a function but for type hints, messages, log lines and texts that are spelled out."""
    for field, value in ast.iter_fields(node):
        hint = field in ("annotation", "returns", "msg")
        for child in value if isinstance(value, list) else [value]:
            statement = isinstance(child, ast.Expr) and not isinstance(child.value, ast.Yield | ast.YieldFrom)
            told = isinstance(child, ast.Raise) or statement
            text = isinstance(child, ast.JoinedStr) or (isinstance(child, ast.Assign) and code._is_text(child.value))
            shown = isinstance(child, ast.keyword) and child.arg in code.SPOKEN
            if isinstance(child, ast.AST) and not (hint or told or text or shown):
                yield child
                yield from _computing(child)


def _mutate(node: ast.AST) -> bool:
    """Change one operator or constant, and return whether there was one to change."""
    if isinstance(node, ast.BinOp):
        node.op = ast.Mult() if isinstance(node.op, ast.Add) else ast.Add()
    elif isinstance(node, ast.Compare):
        node.ops[0] = ast.Lt() if isinstance(node.ops[0], ast.GtE) else ast.GtE()
    elif isinstance(node, ast.UnaryOp):
        node.op = ast.Invert() if isinstance(node.op, ast.Not | ast.USub | ast.UAdd) else ast.USub()
    elif isinstance(node, ast.Constant) and isinstance(node.value, bool):
        node.value = not node.value
    elif isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        node.value = node.value + 1
    else:
        return False
    return True


@pytest.mark.slow
@pytest.mark.ci
def test_one_operator_or_constant_in_any_library_function_is_noticed():
    """Of every function in the code of any stage, each of its first changes that is not within a message or a hint."""
    modules = {module for name in ALL for module in closure(*work(name).definition.code)}
    changed = 0
    for module in sorted(modules):
        for function in ast.walk(ast.parse(source.module_file(module).read_text())):
            if isinstance(function, ast.FunctionDef):
                before, noticed = fingerprint(ast.unparse(function)), 0
                for node in _computing(function):
                    kept = copy.copy(node.__dict__) | {"ops": list(getattr(node, "ops", []))}
                    if noticed < 3 and _mutate(node):
                        after = fingerprint(ast.unparse(function))
                        assert after != before, f"{module}.{function.name}:{node.lineno} can change unnoticed"
                        node.__dict__.update({k: v for k, v in kept.items() if k in node.__dict__})
                        noticed += 1
                changed += bool(noticed)
    assert changed > 700, "so many functions have something to change"


# -- not too narrow, not too wide: in a copy ---------------------------------------------------------------------------

HOLES = {  # changes that no digest followed in earlier versions: stage, file, what is changed
    "the target of the errors over time": ("trajectory_error", "experiment/errors.py", "near_clean", "clean"),
    "the extractor's optimiser": ("extractor", "configs/extractors/metric.yaml", "[0.9, 0.99]", "[0.9, 0.999]"),
    "the extractor's warm-up": ("extractor", "experiment/extractor.py", "warmup_steps=0", "warmup_steps=1"),
    "how a training draws": ("train", "draws.py", "ROUNDS = 10", "ROUNDS = 7"),
    "the solver's call": ("shard", "diffusion/ode.py", "sigmas[0] * noise", "sigmas[1] * noise"),
    "the solver's levels": ("shard", "experiment/solve.py", "ode_levels(spec)[[0, -1]]", "ode_levels(spec)[[0, -2]]"),
}


@pytest.fixture
def copied(tmp_path, monkeypatch):
    """A copy of the package and the settings, to be edited; returns a function that edits and one that asks."""
    import shutil

    for name in ("hkd", "configs"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__", "shipped"))
    monkeypatch.setattr(source, "PACKAGE", tmp_path / "hkd")
    _forget()

    def edit(file: str, old: str, new: str) -> None:
        path = tmp_path / (file if file.startswith("configs") else f"hkd/{file}")
        text = path.read_text()
        assert old in text, f"{file} holds no {old!r}"
        path.write_text(text.replace(old, new, 1))

    yield edit, lambda: _digests(tmp_path)
    _forget()


@pytest.fixture(scope="module")
def before():
    """The digests of the checkout, as a copy has them before it is edited."""
    return _digests(ROOT)


def _digests(folder: Path) -> dict[str, str]:
    """Return every stage's digest, by the settings of a folder and the package that is read now."""
    _forget()
    changes = {"teacher": "train", "extractors": "train"}
    made = Plan.load(str(folder / "configs/benchmarks/embedded.yaml"), changes, folder / "configs")
    found = {}
    for name, stage in ALL.items():
        names = list(inspect.signature(stage.defined).parameters)[1:]
        found[name] = stage.work(made, **{n: VALUES.get(n, TABLES.get(name)) for n in names}).digest
    return found


def _forget() -> None:
    for cached in (source.module_file, code.code_digest, code.closure, code._text, code._imports):
        cached.cache_clear()


@pytest.mark.parametrize("stage, file, old, new", HOLES.values(), ids=HOLES)
def test_a_hole_of_earlier_versions_is_closed(before, copied, stage, file, old, new):
    edit, digests = copied
    edit(file, old, new)
    assert digests()[stage] != before[stage]


NO_OPS = {
    "version": ("__init__.py", '__version__ = "', '__version__ = "9.'),
    "docstring": ("methods/hkd.py", '"""HKD: one step', '"""One step'),
    "comment": ("koopman/evolution.py", "def evolve(", "# closed form\ndef evolve("),
    "message of an error": ("koopman/choices.py", "is not one of", "is none of"),
    "line of a log": ("training/loop.py", "checkpoint passed over", "checkpoint not used"),
    "type hint": ("training/trainer.py", "def step(self, batch: Any) -> dict[str, float]:", "def step(self, batch):"),
    "another preset's network": ("nets/kdm.py", "nn.LeakyReLU(0.2)", "nn.LeakyReLU(0.1)"),
    "settings of no run": ("settings/origins.py", "width=110", "width=100"),
    "writing of files": ("store/atomic.py", "1 << 20", "1 << 21"),
    "command": ("stages/train.py", "] = 600.0", "] = 60.0"),
}


@pytest.mark.parametrize("file, old, new", NO_OPS.values(), ids=NO_OPS)
def test_what_computes_nothing_makes_nothing_again(before, copied, file, old, new):
    edit, digests = copied
    edit(file, old, new)
    assert digests() == before


def test_a_network_makes_the_runs_of_its_own_preset_again(before, copied):
    edit, digests = copied
    edit("nets/unet.py", "F.silu(self.dec[", "1.0 * F.silu(self.dec[")
    assert {"train", "sample", "shard"} <= {name for name, found in digests().items() if found != before[name]}


@pytest.mark.parametrize("rerun, scale, follows", [(None, "embedded", True), ("settings", "embedded", False),
                                                   (None, "paper", False), ("code", "paper", True)])  # fmt: skip
def test_code_makes_a_training_again_as_the_benchmark_says(rerun, scale, follows):
    changes = {"scale": scale, "dataset": "cifar10", "teacher": "train"} | ({"rerun": rerun} if rerun else {})
    made = Plan.load(str(ROOT / "configs/benchmarks/embedded.yaml"), changes, ROOT / "configs")
    training = ALL["train"].work(made, dataset="cifar10", method="methods/hkd", seed=0)
    other = copy.replace(training) if hasattr(copy, "replace") else copy.copy(training)
    assert training.code
    other.__dict__["code"] = "another"
    assert (other.digest != training.digest) is follows
