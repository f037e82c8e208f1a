"""The arguments of a class, read from its source text: which `params` a method takes, and of which types.

Loading every method means loading torch, which costs seconds at each start. Nothing of the text is evaluated.
"""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path
from types import NoneType
from typing import Any, Literal

from hkd.settings.origins import ConfigError, nearest
from hkd.store.source import PACKAGE, module_file

_TYPES: dict[str, Any] = {"int": int, "float": float, "str": str, "bool": bool, "list": list, "tuple": tuple}


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


def _file(module: str) -> Path:
    path = module_file(module)
    if path is None:
        raise ConfigError(f"target = {module!r}: no such module in the package {PACKAGE.name}")
    return path


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


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
    """Return the type that an annotation names, from a table of types; Any for what the table does not hold."""
    match node:
        case ast.Constant(value=None):
            return NoneType
        case ast.Name(id=name):
            return _TYPES.get(name, Any)
        case ast.BinOp(op=ast.BitOr(), left=left, right=right):
            return _annotation(left) | _annotation(right) if Any not in _both(left, right) else Any
        case ast.Subscript(value=ast.Name(id="Literal"), slice=inner):
            values = inner.elts if isinstance(inner, ast.Tuple) else [inner]
            if all(isinstance(value, ast.Constant) for value in values):
                return Literal[tuple(value.value for value in values)]  # type: ignore[attr-defined]
            return Any
        case ast.Subscript(value=ast.Name(id="list" | "tuple" as name), slice=inner):
            return _container(name, inner.elts if isinstance(inner, ast.Tuple) else [inner])
        case _:
            return Any


def _both(left: ast.expr, right: ast.expr) -> tuple[Any, Any]:
    return _annotation(left), _annotation(right)


def _container(name: str, items: list[ast.expr]) -> Any:
    of = tuple(... if isinstance(item, ast.Constant) and item.value is ... else _annotation(item) for item in items)
    return list[of[0]] if name == "list" else tuple[of]  # type: ignore[valid-type]
