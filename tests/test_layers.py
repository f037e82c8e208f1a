"""Imports point down the layers: the table of who may import whom, read from the syntax of every file."""

from __future__ import annotations

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "hkd"

# Everybody may import these; they import one another only, and what is named for them below.
FOUNDATION = {"seeding", "interrupt", "settings", "store"}
LIBRARY = {"data", "nets", "koopman", "diffusion", "methods", "training", "metrics"}
HARNESS = {"plan", "experiment", "report", "figures", "job"}

# Module or package -> what it may import besides the foundation and itself.
MAY_IMPORT: dict[str, set[str]] = {
    "seeding": set(),
    "interrupt": set(),
    "store": set(),
    "settings": {"nets.presets"},  # plain dataclasses, which load no torch
    "data": set(),
    "nets": set(),
    "metrics": set(),
    "koopman": {"nets"},
    "diffusion": {"nets"},
    "methods": {"nets", "koopman", "diffusion", "data.images", "data.trajectories", "data.tasks"},  # the batch types
    "training": {"methods.base", "methods.evaluations"},
    "report": set(),
    "figures": set(),
    "plan": set(),
    "experiment": LIBRARY | {"plan"},
    "job": {"plan"},
    "stages": LIBRARY | HARNESS,
    "studies": LIBRARY | HARNESS,
    "workflow": {"plan", "studies"},
    "cli": {"stages", "studies"},
    "__main__": {"cli", "data", "training", "metrics"},
    "__init__": set(),
}

FILES = sorted(PACKAGE.rglob("*.py"))


def module_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


MODULES = {module_of(path): path for path in FILES}


def imports(path: Path, *, top_level: bool = False) -> set[str]:
    """Modules of the package that a file imports, anywhere or only while it is loaded."""
    tree = ast.parse(path.read_text())
    found = set()
    for node in tree.body if top_level else ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}:{node.lineno}: relative import"
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            known = {name for name in inner if name.removeprefix("hkd.") in MODULES}
            found |= known or {str(node.module)}
    return {name.removeprefix("hkd.") for name in found if name.startswith("hkd.")}


def within(module: str, names: set[str]) -> bool:
    return any(module == name or module.startswith(f"{name}.") for name in names)


def test_every_module_has_a_place_in_the_table():
    assert {module.split(".")[0] for module in MODULES} <= MAY_IMPORT.keys()


@pytest.mark.parametrize("module", sorted(MODULES))
def test_imports_obey_the_table(module):
    unit = module.split(".")[0]
    allowed = FOUNDATION | {unit} | MAY_IMPORT[unit]
    beyond = {name for name in imports(MODULES[module]) if not within(name, allowed)}
    assert not beyond, f"hkd.{module} may not import {sorted(beyond)}"


def test_only_main_imports_the_commands():
    users = {module for module, path in MODULES.items() if within("cli", {n.split(".")[0] for n in imports(path)})}
    assert {module for module in users if not module.startswith("cli")} == {"__main__"}


def test_no_module_is_loaded_in_a_circle():
    graph = {module: imports(path, top_level=True) & MODULES.keys() for module, path in MODULES.items()}
    list(TopologicalSorter(graph).static_order())


def calls(path: Path) -> set[str]:
    """Names of everything that a file calls or names as an attribute, with the argument of a cast."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Attribute):
            found.add(node.attr)
        if isinstance(node, ast.Name):
            found.add(node.id)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in ("astype", "to"):
            found |= {f"cast {ast.unparse(argument)}" for argument in node.args}
    return found


def test_images_become_bytes_in_one_place():
    """Rounding is a part of a score's protocol. Corruptions put damaged levels back into bytes, and numbers of bands
    are bytes too; neither are samples."""
    casts = {"cast np.uint8", "cast torch.uint8", "byte", "cast 'uint8'"}
    casting = {path.relative_to(PACKAGE).as_posix() for path in FILES if calls(path) & casts}
    assert casting == {"data/images.py", "studies/calibration/corruptions.py", "studies/interpretability/command.py"}
    definitions = [path for path in FILES if "def to_uint8" in path.read_text()]
    assert [path.relative_to(PACKAGE).as_posix() for path in definitions] == ["data/images.py"]


def test_no_matrix_root_is_ever_taken_by_us():
    assert not [path for path in FILES if "sqrtm" in calls(path)]
