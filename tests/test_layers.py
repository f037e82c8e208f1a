"""Imports point down the layers: the table of who may import whom, read from the syntax of every file."""

from __future__ import annotations

import ast
import re
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "hkd"

# Everybody may import these; they import one another only, and what is named for them below.
FOUNDATION = {
    "draws",
    "seeding",
    "interrupt",
    "owner",
    "together",
    "slurm",
    "requeue",
    "hopeless",
    "devices",
    "accelerators",
    "settings",
    "store",
}
LIBRARY = {"imported", "data", "nets", "koopman", "diffusion", "methods", "training", "metrics"}
HARNESS = {"plan", "experiment", "report", "figures", "job", "compute"}

# Module or package -> what it may import besides the foundation and itself.
MAY_IMPORT: dict[str, set[str]] = {
    "seeding": set(),
    "interrupt": set(),
    "owner": set(),
    "together": set(),
    "slurm": set(),
    "requeue": set(),
    "hopeless": set(),
    "devices": set(),
    "accelerators": set(),
    "leftovers": set(),
    "partitions": set(),
    "store": set(),
    "settings": {"nets.presets"},  # plain dataclasses, which load no torch
    "data": set(),
    "imported": set(),
    "nets": set(),
    "metrics": {"nets.efficientnet", "nets.folding"},  # of the networks, that of photographs alone
    "koopman": {"nets"},
    "diffusion": {"nets"},
    "draws": set(),
    "methods": {"nets", "koopman", "diffusion", "data.image_set", "data.trajectories", "data.tasks"},  # the batch types
    "training": {"methods.base", "methods.evaluations"},
    "report": set(),
    "figures": set(),
    "plan": {"nets.presets"},
    "experiment": LIBRARY | {"plan"},
    "compute": {"koopman.piecewise"},  # a switch like those of torch
    "job": {"plan", "figures.save", "compute"},
    "stages": LIBRARY | HARNESS | {"cli"},  # the command line for type hints alone
    "studies": LIBRARY | HARNESS | {"cli"},
    "workflow": {"plan"},
    "launch": {"plan", "leftovers", "partitions", "forkserver", "handover"},
    "handover": {"__init__"},  # the version, and where the package lies
    "forkserver": {"handover", "__main__"},  # a forked process runs the command
    "cli": set(),  # finds stages and studies by their files
    "__main__": {"cli", "data", "training", "metrics", "handover"},
    "__init__": set(),
}

FILES = sorted(PACKAGE.rglob("*.py"))


def module_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


MODULES = {module_of(path): path for path in FILES}


def imports(path: Path, *, top_level: bool = False, hints: bool = True) -> set[str]:
    """Modules of the package that a file imports: anywhere or only while it is loaded, for type hints or not."""
    tree = ast.parse(path.read_text())
    found = set()
    for node in tree.body if top_level else ast.walk(tree) if hints else _outside_hints(tree):
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
    assert {module for module in users if module != "cli"} <= {"__main__"} | {m for m in users if typed_only(m)}


def typed_only(module: str) -> bool:
    """Whether a module imports the command line for type hints alone."""
    return not within("cli", {name.split(".")[0] for name in imports(MODULES[module], hints=False)})


def test_studies_import_no_other_study():
    for module, path in MODULES.items():
        parts = module.split(".")
        if parts[0] == "studies" and len(parts) > 2:
            others = {n for n in imports(path) if n.startswith("studies.") and n.count(".") > 1}
            assert {n.split(".")[1] for n in others} <= {parts[1]}, f"hkd.{module} reads another study"


@pytest.mark.parametrize("top_level", [True, False], ids=["at load", "in functions"])
def test_no_modules_import_each_other_in_a_circle(top_level):
    graph = {m: imports(path, top_level=top_level, hints=False) & MODULES.keys() for m, path in MODULES.items()}
    list(TopologicalSorter(graph).static_order())


OF_EVERY_STUDY = {"plan", "command", "table", "figure"}


def test_a_file_name_stands_in_one_package_only():
    """But for the files that every study has, a stage and what it is about, a method and its network."""
    homes: dict[str, set[str]] = {}
    for module in (module_of(path) for path in FILES if path.name != "__init__.py"):
        package, _, name = module.rpartition(".")
        if name not in OF_EVERY_STUDY or not package.startswith("studies"):
            homes.setdefault(name, set()).add(package)
    twice = {name: packages for name, packages in homes.items() if len(packages) > 1}
    for name, packages in twice.items():
        apart = {p for p in packages if p != "stages"} if "stages" in packages else packages
        of_a_method = {p.split(".")[0] for p in packages} == {"methods", "nets"}
        assert len(apart) == 1 or of_a_method, f"{name}.py stands in {sorted(packages)}"


def test_paths_are_spelled_in_one_place():
    """No other module names a file of a run, or makes one path of another by `replace`."""
    names = ("weights.safetensors", "raw.safetensors", "trajectory_error.json", "features.npz", "manifest.json")
    for module, path in MODULES.items():
        if within(module, {"plan", "stages", "workflow", "job"}):
            texts = {n.value for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Constant)}
            found = [name for name in names for text in texts if isinstance(text, str) and text.endswith(name)]
            assert not found, f"hkd.{module} spells {found}"


ROW = re.compile(r"^\| `(\w+)/` \| (.*) \|$", re.MULTILINE)


def test_the_page_on_how_the_project_is_built_names_every_module():
    """Of stages and studies, which say themselves what they are, it says that there is one for each."""
    page = (PACKAGE.parent / "docs/architecture.md").read_text(encoding="utf-8")
    rows = {package: set(re.findall(r"`(\w+)`", said)) for package, said in ROW.findall(page)}
    packages = {path.parent.name for path in FILES if path.parent.parent == PACKAGE} - {"stages", "studies"}
    for package in sorted(packages):
        there = {path.stem for path in (PACKAGE / package).glob("*.py")} - {"__init__"}
        assert there - rows[package] == set(), f"name them in the row of {package}/ in docs/architecture.md"


def test_the_page_names_no_module_that_is_not_there():
    page = (PACKAGE.parent / "docs/architecture.md").read_text(encoding="utf-8")
    for package, said in ROW.findall(page):
        if package not in ("stages", "studies"):
            for name in re.findall(r"`(\w+)`(?! section)", said):
                assert (PACKAGE / package / f"{name}.py").is_file(), f"docs/architecture.md: {package}/{name}"


# -- commands compute nothing ------------------------------------------------------------------------------------------

COMMANDS = sorted(
    m for m in MODULES if m.startswith("stages.") or (m.startswith("studies.") and m.endswith(".command"))
)
ARITHMETIC = (ast.Add, ast.Sub, ast.Mult, ast.MatMult, ast.FloorDiv, ast.Mod, ast.Pow, ast.LShift, ast.RShift)
COMPUTERS = {"numpy", "torch", "pandas", "scipy", "math", "statistics"}


@pytest.mark.parametrize("module", COMMANDS)
def test_a_command_computes_nothing(module):
    tree = ast.parse(MODULES[module].read_text())
    for node in _outside_hints(tree):
        where = f"hkd.{module}:{getattr(node, 'lineno', 0)}"
        if isinstance(node, ast.Import):
            assert not {alias.name.split(".")[0] for alias in node.names} & COMPUTERS, f"{where} loads a library"
        if isinstance(node, ast.ImportFrom):
            assert str(node.module).split(".")[0] not in COMPUTERS, f"{where} loads a library"
        if isinstance(node, ast.BinOp):
            assert not isinstance(node.op, ARITHMETIC), f"{where} computes: {ast.unparse(node)}"
            if isinstance(node.op, ast.Div):  # of a path and a name
                assert any(isinstance(side, ast.Constant | ast.JoinedStr) for side in (node.left, node.right)), where
        if isinstance(node, ast.AugAssign):
            assert isinstance(node.op, ast.BitOr), f"{where} computes: {ast.unparse(node)}"
    for function in (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)):
        for statement in function.body:
            numbers = [n.value for n in ast.walk(statement) if isinstance(n, ast.Constant) and _is_number(n.value)]
            assert set(numbers) <= {0, 1}, f"hkd.{module}:{statement.lineno} holds the settings {numbers}"


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _outside_hints(tree: ast.AST):
    """Yield all nodes but those in blocks that only a type checker reads."""
    for node in ast.iter_child_nodes(tree):
        if not (isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"):
            yield node
            yield from _outside_hints(node)


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
    assert casting == {
        "data/image_set.py",
        "studies/calibration/corruptions.py",
        "studies/interpretability/analysis.py",
    }
    definitions = [path for path in FILES if "def to_uint8" in path.read_text()]
    assert [path.relative_to(PACKAGE).as_posix() for path in definitions] == ["data/image_set.py"]


def test_pictures_are_opened_in_one_place():
    """Pillow tries whatever format it knows, PostScript among them, unless it is told which; bytes that we have just
    compressed ourselves are not of anybody's."""
    opening = {
        path.relative_to(PACKAGE).as_posix()
        for path in FILES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("Image.open", "PIL.Image.open", "plt.imread")
    }
    assert opening == {"data/decoding.py", "studies/calibration/corruptions.py"}


def test_no_matrix_root_is_ever_taken_by_us():
    """But on behalf of the libraries that take one, under the arguments that they know."""
    assert [path for path in FILES if "sqrtm" in calls(path)] == [PACKAGE / "metrics/features/libraries.py"]


@pytest.mark.parametrize(
    ("written", "homes"),
    [
        # a setting is refused for what does not print, and a file is called after what does: neither is a message
        ("isprintable()", {"store/lines.py", "settings/sections.py", "stages/distance.py"}),
        ('glob("*.yaml")', {"settings/origins.py", "studies/comparison/claims.py"}),  # claims: as files, not names
        ("MAX_FILE_BYTES =", {"data/formats.py"}),
        ("SHORT_JSON_BYTES =", {"store/bounded.py"}),
    ],
)
def test_what_many_need_has_one_home(written, homes):
    assert {path.relative_to(PACKAGE).as_posix() for path in FILES if written in path.read_text()} == homes
