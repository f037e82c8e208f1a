"""What the package's own source text tells without importing it.

The workflow must know which settings a method takes and whether its code has changed, but loading every method
means loading torch, which costs seconds on each start. Both questions are answered here from syntax trees.
"""

from __future__ import annotations

import ast
import hashlib
from functools import cache
from pathlib import Path
from typing import Any, Literal

from hkd.config import ConfigError, nearest

PACKAGE = Path(__file__).resolve().parent
_NAMES = {"Literal": Literal, "int": int, "float": float, "str": str, "bool": bool, "list": list, "tuple": tuple}


def constructor_arguments(target: str) -> dict[str, Any]:
    """Return the keyword arguments, or dataclass fields, of the class `target`: name -> type (Any if not plain).

    Raises:
        ConfigError: there is no such module or class.
    """
    module, _, name = target.rpartition(".")
    tree = _tree(_file(module))
    classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    if name not in classes:
        raise ConfigError(f"target = {target!r}: no class '{name}' in {module}. {nearest(name, list(classes))}")
    return _arguments(classes[name], classes, module, tree)


# modules that carry results about but define no number in them: their edits must not retrain anything
SILENT = {
    f"hkd.{name}"
    for name in ("artifacts", "columns", "config", "interrupt", "layout", "parts", "plan", "resolve", "settings")
}
SILENT |= {"hkd.source", "hkd.shipping", "hkd.weights", "hkd.workflow"}


def code_digest(*modules: str) -> str:
    """Return 16 hexadecimal digits over the syntax of `modules` and of all they import within the package.

    Comments, docstrings and formatting do not count, nor do the modules in `SILENT`.
    """
    seen: set[str] = set()
    queue = list(modules)
    while queue:
        module = queue.pop()
        if module not in seen and module not in SILENT:
            seen.add(module)
            queue.extend(_imports(module) - seen)
    # packages on the way are loaded too, but what they pass on is imported by name above
    packages = {package for module in seen for package in _packages(module)}
    text = "\n".join(f"{module} {_module_digest(module)}" for module in sorted((seen | packages) - SILENT))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@cache
def _file(module: str) -> Path:
    parts = module.split(".")
    base = PACKAGE.joinpath(*parts[1:])
    for path in (base.with_suffix(".py"), base / "__init__.py"):
        if parts[0] == PACKAGE.name and path.is_file():
            return path
    raise ConfigError(f"target = {module!r}: no such module in the package {PACKAGE.name}")


@cache
def _tree(path: Path) -> ast.Module:
    """The syntax of a file, without docstrings."""
    tree = ast.parse(path.read_text(), filename=str(path))
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            body = node.body
            if body and isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant):
                node.body = body[1:]
    return tree


def _arguments(node: ast.ClassDef, classes: dict[str, ast.ClassDef], module: str, tree: ast.Module) -> dict[str, Any]:
    if any("dataclass" in ast.unparse(decorator) for decorator in node.decorator_list):
        fields = (item for item in node.body if isinstance(item, ast.AnnAssign))
        return {ast.unparse(item.target): _annotation(item.annotation) for item in fields}
    for item in node.body:
        if isinstance(item, ast.FunctionDef) and item.name == "__init__":
            taken = {arg.arg: _annotation(arg.annotation) for arg in item.args.kwonlyargs}
            if item.args.kwarg is None:
                return taken
            return _inherited(node, classes, module, tree) | taken
    return _inherited(node, classes, module, tree)


def _inherited(node: ast.ClassDef, classes: dict[str, ast.ClassDef], module: str, tree: ast.Module) -> dict[str, Any]:
    for base in node.bases:
        name = ast.unparse(base)
        if name in classes:
            return _arguments(classes[name], classes, module, tree)
        for item in tree.body:
            if isinstance(item, ast.ImportFrom) and item.module and item.module.startswith("hkd"):
                for alias in item.names:
                    if (alias.asname or alias.name) == name:
                        return constructor_arguments(f"{item.module}.{alias.name}")
    return {}


def _annotation(node: ast.expr | None) -> Any:
    if node is None:
        return Any
    try:
        return eval(compile(ast.Expression(node), "<annotation>", "eval"), {"__builtins__": {}}, _NAMES)
    except (NameError, TypeError, AttributeError):
        return Any


@cache
def _module_digest(module: str) -> str:
    return hashlib.sha256(ast.dump(_tree(_file(module))).encode()).hexdigest()


@cache
def _imports(module: str) -> set[str]:
    path = _file(module)
    found: set[str] = set()
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            continue
        found.update(name for name in names if name.split(".")[0] == PACKAGE.name and _exists(name))
    return found


def _packages(module: str) -> set[str]:
    """The packages that are loaded on the way to a module, less the root, which holds the version alone."""
    parts = module.split(".")
    return {".".join(parts[:end]) for end in range(2, len(parts))}


def _exists(module: str) -> bool:
    base = PACKAGE.joinpath(*module.split(".")[1:])
    return base.with_suffix(".py").is_file() or (base / "__init__.py").is_file()
