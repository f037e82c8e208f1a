"""The arguments of a class, read from its source text: which `params` a method takes, and of which types.

Loading every method means loading torch, which costs seconds at each start. Nothing of the text is evaluated.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import NoneType
from typing import Any, Literal

from hkd.settings.origins import ConfigError, nearest
from hkd.store.source import PACKAGE, module_file

_TYPES: dict[str, Any] = {"int": int, "float": float, "str": str, "bool": bool, "list": list, "tuple": tuple}


@dataclass(frozen=True)
class Group:
    """The type of an argument that is a dataclass of the package, given by its import path."""

    target: str


def constructor_arguments(target: str) -> dict[str, Any]:
    """Return the keyword arguments, or dataclass fields, of the class `target`: name -> type (Any if not plain).

    In place of an argument that is a dataclass of the package stand the fields of that dataclass: settings are flat.

    Raises:
        ConfigError: there is no such module or class.
        TypeError: two groups share a name, and give it different types.
    """
    flat: dict[str, Any] = {}
    for name, kind in grouped_arguments(target).items():
        taken = constructor_arguments(kind.target) if isinstance(kind, Group) else {name: kind}
        for key, own in taken.items():
            if flat.setdefault(key, own) != own:
                raise TypeError(f"{target}: '{key}' is {flat[key]} and {own}; give it one type in all groups")
    return flat


def asks_for_the_grader(target: str) -> bool:
    """Whether the class `target` takes the network that grades: what it makes is trained on the score.

    Raises:
        ConfigError: there is no such module or class.
    """
    return "grader" in constructor_arguments(target)


def grouped_arguments(target: str) -> dict[str, Any]:
    """Return the keyword arguments of the class `target` as they are written, with their types.

    The types are those that `constructor_arguments` gives, or a `Group`.

    Raises:
        ConfigError: there is no such module or class.
    """
    module, _, name = target.rpartition(".")
    classes = {node.name: node for node in _tree(_file(module)).body if isinstance(node, ast.ClassDef)}
    if name not in classes:
        raise ConfigError(f"target = {target!r}: no class '{name}' in {module}. {nearest(name, list(classes))}")
    return _arguments(classes[name], module)


def _file(module: str) -> Path:
    path = module_file(module)
    if path is None:
        raise ConfigError(f"target = {module!r}: no such module in the package {PACKAGE.name}")
    return path


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def _arguments(node: ast.ClassDef, module: str) -> dict[str, Any]:
    if _is_dataclass(node):
        fields = (item for item in node.body if isinstance(item, ast.AnnAssign))
        own = {ast.unparse(item.target): _argument(item.annotation, module) for item in fields}
        return _inherited(node, module) | own
    for item in node.body:
        if isinstance(item, ast.FunctionDef) and item.name == "__init__":
            taken = {arg.arg: _argument(arg.annotation, module) for arg in item.args.kwonlyargs}
            return taken if item.args.kwarg is None else _inherited(node, module) | taken
    return _inherited(node, module)


def _inherited(node: ast.ClassDef, module: str) -> dict[str, Any]:
    for base in node.bases:
        found, where = _definition(ast.unparse(base), module)
        if isinstance(found, ast.ClassDef):
            return _arguments(found, where)
    return {}


def _is_dataclass(node: ast.AST | None) -> bool:
    return isinstance(node, ast.ClassDef) and any("dataclass" in ast.unparse(item) for item in node.decorator_list)


def _definition(name: str, module: str) -> tuple[ast.stmt | None, str]:
    """Return what a name stands for in a module, a class or an assignment, and the module in which it is written.

    None for what is neither, or comes from outside the package.
    """
    for item in _tree(_file(module)).body:
        match item:
            case ast.ClassDef(name=defined) if defined == name:
                return item, module
            case ast.Assign(targets=[ast.Name(id=defined)]) if defined == name:
                return item, module
            case ast.ImportFrom(module=str(source), names=names) if module_file(source) is not None:
                for alias in names:
                    if (alias.asname or alias.name) == name:
                        return _definition(alias.name, source)
    return None, module


def _argument(node: ast.expr | None, module: str) -> Any:
    """Return the group that an annotation names, else its type."""
    if isinstance(node, ast.Name):
        found, where = _definition(node.id, module)
        if isinstance(found, ast.ClassDef) and _is_dataclass(found):
            return Group(f"{where}.{found.name}")
    return _annotation(node, module)


def _annotation(node: ast.expr | None, module: str) -> Any:
    """Return the type that an annotation names, from a table of types; Any for what the table does not hold.

    A name that the package gives to a type, as in `Pairing = Literal["half", "adjacent"]`, stands for that type.
    """
    match node:
        case ast.Constant(value=None):
            return NoneType
        case ast.Name(id=name) if name in _TYPES:
            return _TYPES[name]
        case ast.Name(id=name):
            found, where = _definition(name, module)
            return _annotation(found.value, where) if isinstance(found, ast.Assign) else Any
        case ast.BinOp(op=ast.BitOr(), left=left, right=right):
            both = _annotation(left, module), _annotation(right, module)
            return both[0] | both[1] if Any not in both else Any
        case ast.Subscript(value=ast.Name(id="Literal"), slice=inner):
            values = _items(inner)
            if all(isinstance(value, ast.Constant) for value in values):
                return Literal[tuple(value.value for value in values)]  # type: ignore[attr-defined]
            return Any
        case ast.Subscript(value=ast.Name(id="list" | "tuple" as name), slice=inner):
            return _container(name, _items(inner), module)
        case _:
            return Any


def _items(inner: ast.expr) -> list[ast.expr]:
    return inner.elts if isinstance(inner, ast.Tuple) else [inner]


def _container(name: str, items: list[ast.expr], module: str) -> Any:
    of = tuple(_element(item, module) for item in items)
    return list[of[0]] if name == "list" else tuple[of]  # type: ignore[valid-type]


def _element(node: ast.expr, module: str) -> Any:
    return ... if isinstance(node, ast.Constant) and node.value is ... else _annotation(node, module)
