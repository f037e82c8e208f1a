"""What the source text tells: a statement changes a digest, a comment does not, and only importers are touched."""

from __future__ import annotations

from typing import Literal, get_args

import pytest

from hkd import source
from hkd.config import ConfigError
from hkd.source import code_digest, constructor_arguments

FILES = {
    "__init__.py": "",
    "low.py": '"""Low."""\n\n\ndef f(x: int) -> int:\n    """Double."""\n    return 2 * x\n',
    "other.py": "A = 1\n",
    "high.py": "from hkd.low import f\n\n\ndef g(x: int) -> int:\n    return f(x)\n",
    "lazy.py": "def h() -> int:\n    from hkd import high\n\n    return high.g(1)\n",
    "pack/__init__.py": "from hkd.other import A\n",
    "pack/leaf.py": "import math\n\nB = math.pi\n",
    "uses_pack.py": "from hkd.pack.leaf import B\n",
}


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A small package in place of ours; returns a function that edits a file and gives all digests anew."""
    base = tmp_path / "hkd"
    for name, text in FILES.items():
        path = base / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.setattr(source, "PACKAGE", base)

    def digests(file: str = "", text: str = "") -> dict[str, str]:
        if file:
            (base / file).write_text(text)
        forget()
        return {name: code_digest(f"hkd.{name}") for name in ("low", "other", "high", "lazy", "uses_pack")}

    yield digests
    forget()


def forget() -> None:
    for cached in (source._file, source._tree, source._module_digest, source._imports):
        cached.cache_clear()


def changed(before: dict[str, str], after: dict[str, str]) -> set[str]:
    return {name for name in before if before[name] != after[name]}


@pytest.mark.parametrize(
    "text",
    [
        FILES["low.py"].replace("    return", "    # twice\n    return"),
        FILES["low.py"].replace('"""Double."""', '"""Return 2x."""'),
        FILES["low.py"].replace('"""Low."""\n', ""),
        FILES["low.py"].replace("2 * x", "(2*x)"),
        "\n\n" + FILES["low.py"],
    ],
    ids=["comment", "docstring", "no module docstring", "format", "blank lines"],
)
def test_what_does_nothing_changes_no_digest(package, text):
    assert changed(package(), package("low.py", text)) == set()


def test_a_statement_changes_its_module_and_its_importers_alone(package):
    assert changed(package(), package("low.py", FILES["low.py"].replace("2 * x", "3 * x"))) == {"low", "high", "lazy"}


def test_a_change_above_does_not_reach_below(package):
    assert changed(package(), package("high.py", FILES["high.py"].replace("f(x)", "f(x) + 1"))) == {"high", "lazy"}


def test_the_init_of_a_package_on_the_way_counts(package):
    assert changed(package(), package("pack/__init__.py", "from hkd.other import A\n\nA += 1\n")) == {"uses_pack"}
    assert changed(package(), package("other.py", "A = 2\n")) == {"other"}  # passed on, but not used


def test_the_digest_of_a_method_follows_its_network_its_loop_and_its_own_file():
    forget()
    modules = set()

    def walk(module: str) -> None:
        if module not in modules:
            modules.add(module)
            for name in source._imports(module):
                walk(name)

    for start in ("hkd.methods.consistency.ecm", "hkd.training.loop"):
        walk(start)
    assert {"hkd.training.optim", "hkd.methods.consistency.objective", "hkd.seeding"} <= modules
    assert not modules & {"hkd.methods.hkd", "hkd.metrics.measure", "hkd.report.tables"}


# -- constructors ----------------------------------------------------------------------------------------------------


def test_the_arguments_of_a_method_are_read_with_their_types():
    taken = constructor_arguments("hkd.methods.hkd.HKD")
    assert {"student", "distance", "total_steps", "levels", "lambda2"} <= taken.keys()
    assert taken["lambda2"] is float and taken["frozen"] is bool
    assert get_args(taken["combine"]) == ("mean_plus_recon", "sum")
    assert "self" not in taken


def test_the_arguments_of_a_child_without_a_constructor_are_its_parents(tmp_path, monkeypatch):
    base = tmp_path / "hkd"
    base.mkdir()
    (base / "parent.py").write_text("class P:\n    def __init__(self, *, a: int, b: Literal['x', 'y']) -> None: ...\n")
    (base / "child.py").write_text(
        "from hkd.parent import P\n\n\nclass C(P):\n    pass\n\n\n"
        "class D(P):\n    def __init__(self, *, c: float, **rest: object) -> None: ...\n"
    )
    monkeypatch.setattr(source, "PACKAGE", base)
    forget()
    assert constructor_arguments("hkd.child.C") == {"a": int, "b": Literal["x", "y"]}
    assert constructor_arguments("hkd.child.D") == {"a": int, "b": Literal["x", "y"], "c": float}
    forget()


@pytest.mark.parametrize(
    "target, expected",
    [
        ("hkd.methods.consistency.ecm.ECN", "Did you mean 'ECM'"),
        ("hkd.methods.consistency.emc.ECM", "no such module"),
        ("os.path.join", "no such module"),
    ],
)
def test_a_target_that_is_not_there_is_refused(target, expected):
    with pytest.raises(ConfigError, match=expected):
        constructor_arguments(target)
