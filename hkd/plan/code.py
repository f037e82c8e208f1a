"""The digest of code: which results a change of the package's own text makes again.

It is read from syntax trees, without importing anything. What cannot change a number does not count: comments,
docstrings, formatting, type hints, the wording of messages, the order of imports. The digest is the same under every
supported Python. Nothing is left out of it for any other reason, so every change of an operator, a constant or a call
in a module, or in one that it imports, is noticed.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterable, Iterator
from functools import cache

from hkd.plan import digests
from hkd.store.source import module_file

CARRIERS = ("plan", "settings", "store")  # packages that carry results about and define no number in them
STREAMS = ("hkd.seeding", "hkd.draws")  # of the modules beside the packages, those that numbers depend on
SPEAKERS = ("print", "echo", "warn", "debug", "info", "warning", "error")
SPOKEN = ("desc", "unit")  # arguments of a progress bar that are only shown


@cache
def code_digest(*modules: str) -> str:
    """Return 16 hexadecimal digits over `modules` and all that they import within the package, directly or not."""
    text = "\n".join(f"{module} {_module_digest(module)}" for module in closure(*modules))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@cache
def closure(*modules: str) -> tuple[str, ...]:
    """Return the names of the modules that count towards a digest, sorted.

    Raises:
        LookupError: one of `modules` does not exist.
    """
    seen: set[str] = set()
    queue = [module for module in modules if _counts(module)]
    while queue:
        module = queue.pop()
        if module not in seen:
            seen.add(module)
            queue.extend(_imports(module) - seen)
    # packages on the way are loaded too, but what they pass on is imported by name above
    packages = {package for module in seen for package in _packages(module)}
    return tuple(sorted(seen | packages))


def fingerprint(text: str) -> str:
    """Return the SHA-256 of what a module's text computes, in hexadecimal."""
    return _fingerprint(ast.parse(text))


def _fingerprint(tree: ast.Module) -> str:
    """Return what `fingerprint` does; the tree is used up."""
    return hashlib.sha256(_shape(_Stripped(tree).visit(tree)).encode()).hexdigest()


def _counts(module: str) -> bool:
    """Whether a module can change a number: by its package, never by its own name."""
    parts = module.split(".")
    if len(parts) == 1 or parts[1] in CARRIERS:
        return False
    file = module_file(module)
    return len(parts) > 2 or module in STREAMS or (file is not None and file.name == "__init__.py")


def _module_digest(module: str) -> str:
    return digests.read(_text(module), _found).fingerprint


@cache
def _text(module: str) -> str:
    path = module_file(module)
    if path is None:
        raise LookupError(f"{module}: no such module in this package")
    return path.read_text(encoding="utf-8")


@cache
def _imports(module: str) -> set[str]:
    """Return the modules of the package that a module imports, anywhere but for its type hints alone."""
    found = {_named(name) for name in digests.read(_text(module), _found).imports}
    return {name for name in found if module_file(name) is not None and _counts(name)}


def _found(text: str) -> digests.Found:
    """Return what a module's text computes, as a fingerprint, and what it imports of the package."""
    tree, names = ast.parse(text), set()
    for node in _computing(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return digests.Found(_fingerprint(tree), sorted(name for name in names if name.startswith("hkd")))


def _named(name: str) -> str:
    """Return the module that an imported name lies in: itself, or the one before its last dot."""
    return name if module_file(name) is not None else name.rpartition(".")[0]


def _computing(node: ast.AST) -> Iterator[ast.AST]:
    """Yield all nodes of a tree, in no order, but for blocks that only a type checker reads."""
    ahead = [node]
    while ahead:
        for child in ast.iter_child_nodes(ahead.pop()):
            if not _for_type_checkers(child):
                yield child
                ahead.append(child)


def _packages(module: str) -> set[str]:
    parts = module.split(".")
    return {".".join(parts[:end]) for end in range(2, len(parts))}


def _for_type_checkers(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


class _Stripped(ast.NodeTransformer):
    """A tree without all that changes no number."""

    def __init__(self, tree: ast.Module) -> None:
        functions = (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
        # by identity, and held, so that no node made meanwhile takes the identity of one that was dropped
        self._only_told = {id(node): node for function in functions for node in _told(function)}

    def visit(self, node: ast.AST) -> ast.AST | None:
        """Return the node without what does not count, or None when none of it does."""
        if _for_type_checkers(node) or isinstance(node, ast.Pass) or id(node) in self._only_told:
            return None
        if isinstance(node, ast.Expr) and (_is_text(node.value) or _speaks(node.value)):
            return None  # a docstring, or a line of a log
        found: ast.AST | None = super().visit(node)
        return found

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        """Return a function without the type hint of what it returns."""
        node.returns = None
        return self.generic_visit(node)

    def visit_arg(self, node: ast.arg) -> ast.AST:
        """Return an argument without its type hint."""
        node.annotation = None
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        """Return an assignment without its type hint; a field without a value keeps its name."""
        self.generic_visit(node)
        value = node.value if node.value is not None else ast.Constant(value=...)
        return ast.Assign(targets=[node.target], value=value)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.AST | None:
        """Return an import with its names in order, so that sorting them changes nothing."""
        node.names = sorted(node.names, key=lambda alias: (alias.name, alias.asname or ""))
        return None if node.module == "__future__" else node

    def visit_Raise(self, node: ast.Raise) -> ast.AST:
        """Return a raise whose message is left open."""
        if isinstance(node.exc, ast.Call):
            node.exc = _unworded(node.exc)
        return self.generic_visit(node)

    def visit_Assert(self, node: ast.Assert) -> ast.AST:
        """Return an assertion without its message."""
        node.msg = None
        return self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> ast.AST:
        """Return a call without what is only shown: the message of an error, the title of a progress bar."""
        if _name(node.func).endswith("Error"):
            node = _unworded(node)
        node.keywords = [item for item in node.keywords if item.arg not in SPOKEN]
        return self.generic_visit(node)


def _told(function: ast.AST) -> list[ast.Assign]:
    """Return the assignments of texts to names that nothing but messages reads: hints, spelled out before an error."""
    nodes = list(ast.walk(function))
    texts = [node for node in nodes if isinstance(node, ast.Assign) and _is_text(node.value)]
    if not texts:
        return []
    told = {id(name) for message in _messages(nodes) for name in ast.walk(message)}
    names = [node for node in nodes if isinstance(node, ast.Name)]
    read = {node.id for node in names if isinstance(node.ctx, ast.Load) and id(node) not in told}
    return [node for node in texts if not _targets(node) & (read | {""})]


def _messages(nodes: Iterable[ast.AST]) -> Iterator[ast.AST]:
    for item in nodes:
        if isinstance(item, ast.Raise) and item.exc is not None:
            yield item.exc
        elif isinstance(item, ast.Expr) and _speaks(item.value):
            yield item.value


def _targets(node: ast.Assign) -> set[str]:
    return {target.id if isinstance(target, ast.Name) else "" for target in node.targets}


def _unworded(call: ast.Call) -> ast.Call:
    """Return the construction of an error with its texts replaced by nothing."""
    silent = ast.Constant(value=None)
    call.args = [silent if _is_text(item) else item for item in call.args]
    return call


def _is_text(node: ast.AST) -> bool:
    """Whether an expression spells out a text."""
    if isinstance(node, ast.Constant):
        return isinstance(node.value, str)
    if isinstance(node, ast.JoinedStr):
        return True
    if isinstance(node, ast.BinOp):
        return _is_text(node.left) or _is_text(node.right)
    if isinstance(node, ast.IfExp):
        return _is_text(node.body) and _is_text(node.orelse)
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and _is_text(node.func.value)


def _speaks(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and _name(node.func) in SPEAKERS


def _name(node: ast.AST) -> str:
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""


def _shape(node: object) -> str:
    """Return a tree as text. Python's own dump of it differs between versions: empty fields come and go."""
    if isinstance(node, ast.AST):
        fields = ((name, getattr(node, name, None)) for name in sorted(node._fields) if name not in ("ctx", "kind"))
        inner = ",".join(f"{name}={_shape(value)}" for name, value in fields if value is not None and value != [])
        return f"{type(node).__name__}({inner})"
    if isinstance(node, list):
        return f"[{','.join(map(_shape, _in_order(node)))}]"
    return f"{type(node).__name__} {node!r}"


def _in_order(nodes: list[object]) -> Iterable[object]:
    """Return statements with the imports first and sorted: their order means nothing."""
    imports = [node for node in nodes if isinstance(node, ast.Import | ast.ImportFrom)]
    if not imports:
        return nodes
    return [*sorted(imports, key=_shape), *(node for node in nodes if node not in imports)]
