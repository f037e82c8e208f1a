"""What the source text says of constructors: their arguments, with types, of classes and of their parents."""

from __future__ import annotations

from types import NoneType
from typing import Any, Literal, get_args

import pytest

from hkd.settings import signatures
from hkd.settings.origins import ConfigError
from hkd.settings.signatures import constructor_arguments
from hkd.store import source


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package in place of ours; returns a function that writes one of its files."""
    base = tmp_path / "hkd"
    base.mkdir()
    monkeypatch.setattr(source, "PACKAGE", base)
    forget()
    yield lambda name, text: (base / name).write_text(text)
    forget()


def forget() -> None:
    for cached in (source.module_file, signatures._tree):
        cached.cache_clear()


def test_the_arguments_of_a_method_are_read_with_their_types():
    taken = constructor_arguments("hkd.methods.hkd.HKD")
    assert {"student", "distance", "total_steps", "levels", "lambda2"} <= taken.keys()
    assert taken["lambda2"] is float and taken["frozen"] is bool
    assert get_args(taken["combine"]) == ("mean_plus_recon", "sum")
    assert "self" not in taken


def test_the_arguments_of_a_child_without_a_constructor_are_its_parents(package):
    package("parent.py", "class P:\n    def __init__(self, *, a: int, b: Literal['x', 'y']) -> None: ...\n")
    package(
        "child.py",
        "from hkd.parent import P\n\n\nclass C(P):\n    pass\n\n\n"
        "class D(P):\n    def __init__(self, *, c: float, **rest: object) -> None: ...\n",
    )
    assert constructor_arguments("hkd.child.C") == {"a": int, "b": Literal["x", "y"]}
    assert constructor_arguments("hkd.child.D") == {"a": int, "b": Literal["x", "y"], "c": float}


@pytest.mark.parametrize(
    "annotation, expected",
    [
        ("int", int),
        ("float | None", float | None),
        ("None", NoneType),
        ("Literal['a', 2]", Literal["a", 2]),
        ("tuple[int, ...]", tuple[int, ...]),
        ("list[float]", list[float]),
        ("Tensor", Any),
        ("Tensor | None", Any),
        ("__import__('os').system('true')", Any),
        ("(lambda: 1)()", Any),
        ("open('/etc/passwd')", Any),
    ],
)
def test_an_annotation_is_looked_up_and_never_evaluated(package, annotation, expected):
    package("one.py", f"class C:\n    def __init__(self, *, a: {annotation}) -> None: ...\n")
    assert constructor_arguments("hkd.one.C") == {"a": expected}


@pytest.mark.parametrize(
    "target, expected",
    [
        ("hkd.methods.consistency.ecm.ECN", "Did you mean 'ECM'"),
        ("hkd.methods.consistency.emc.ECM", "no such module"),
        ("os.path.join", "no such module"),
        ("hkd./etc/passwd.X", "no such module"),
        ("/tmp/evil.X", "no such module"),
    ],
)
def test_a_target_that_is_not_there_is_refused(target, expected):
    with pytest.raises(ConfigError, match=expected):
        constructor_arguments(target)
