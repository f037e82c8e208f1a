"""What the source text says of constructors: their arguments, with types, of classes and of their parents."""

from __future__ import annotations

from types import NoneType
from typing import Any, Literal, get_args

import pytest

from hkd.plan.runs import Plan
from hkd.settings import signatures
from hkd.settings.origins import ConfigError
from hkd.settings.signatures import Group, constructor_arguments, grouped_arguments
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
    assert not {"koopman", "times", "loss"} & taken.keys()
    assert get_args(taken["pairing"]) == ("half", "adjacent") and "log_unit" in get_args(taken["time_map"])
    assert taken["lambda2"] is float and taken["frozen"] is bool
    assert taken["alpha_clamp"] == (float | None)
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


# -- types that have a name, and arguments in groups -----------------------------------------------------------------

LAWS = "from typing import Literal\n\nLaw = Literal['a', 'b']\nMaybe = Law | None\nEvaluated = print('evaluated')\n"
GROUPS = """
from dataclasses import dataclass

from hkd.laws import Law as Named, Maybe, Evaluated


@dataclass(frozen=True, kw_only=True)
class First:
    low: float
    law: Named


@dataclass(frozen=True, kw_only=True)
class Second:
    law: Named
    low: float
    count: int = 3

    @property
    def size(self) -> int:
        return self.count


@dataclass(frozen=True, kw_only=True)
class Third(Second):
    inner: First
    odd: Evaluated


class Plain:
    weight: float
"""
METHOD = """
from hkd.groups import First, Second, Plain


class M:
    def __init__(self, *, part: Plain, first: First, second: Second, own: float, low: float) -> None: ...


class N(M):
    def __init__(self, **settings: object) -> None: ...
"""


@pytest.fixture
def grouped(package):
    """The package with classes whose arguments are dataclasses of other modules."""
    package("laws.py", LAWS)
    package("groups.py", GROUPS)
    package("method.py", METHOD)
    return package


@pytest.mark.parametrize(
    "annotation, expected",
    [
        ("Law", Literal["a", "b"]),
        ("Maybe", Literal["a", "b"] | None),
        ("tuple[Law, ...]", tuple[Literal["a", "b"], ...]),
        ("Evaluated", Any),
    ],
)
def test_a_name_of_a_type_stands_for_it_and_is_not_evaluated(grouped, capsys, annotation, expected):
    text = f"class C:\n    def __init__(self, *, a: {annotation}) -> None: ...\n"
    grouped("one.py", f"from hkd.laws import Evaluated, Law, Maybe\n\n\n{text}")
    assert constructor_arguments("hkd.one.C") == {"a": expected}
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("name", ["M", "N"])
def test_an_argument_that_is_a_dataclass_counts_as_its_fields(grouped, name):
    law = Literal["a", "b"]
    expected = {"part": Any, "low": float, "law": law, "count": int, "own": float}
    assert constructor_arguments(f"hkd.method.{name}") == expected


def test_the_groups_of_a_class_are_named_by_where_they_are_written(grouped):
    taken = grouped_arguments("hkd.method.M")
    assert taken["first"] == Group("hkd.groups.First") and taken["second"] == Group("hkd.groups.Second")
    assert (taken["part"], taken["own"], taken["low"]) == (Any, float, float)


def test_a_dataclass_has_the_fields_of_its_parent_and_of_the_dataclasses_within(grouped):
    assert grouped_arguments("hkd.groups.Third").keys() == {"law", "low", "count", "inner", "odd"}
    law = Literal["a", "b"]
    assert constructor_arguments("hkd.groups.Third") == {"law": law, "low": float, "count": int, "odd": Any}


def test_a_name_that_two_groups_give_two_types_is_refused(grouped):
    grouped("groups.py", GROUPS.replace("    low: float\n    count", "    low: int\n    count"))
    with pytest.raises(TypeError, match=r"'low' is .*float.* and .*int.*; give it one type in all groups"):
        constructor_arguments("hkd.method.M")


@pytest.mark.parametrize(
    "target",
    ["/tmp/evil.X", ".evil.X", "hkd.methods..ecm.ECM", "hkd.store.source.module_file", "hkd.methods", "os.system",
     "hkd.methods.hkd", "hkd.methods.hkd.HKD ", "hkd.methods.hkd.HKD\n", "hkd.methods.hkd.HKD()", "../evil.X",
     "hkd.methods.../../evil.X", "", "hkd.methods.nope.Nope", 7],
)  # fmt: skip
def test_a_target_is_a_class_of_the_methods_of_the_package(root, monkeypatch, target):
    monkeypatch.chdir(root)
    plan = Plan.load("configs/benchmarks/smoke.yaml", {"set": {"target": target}})
    with pytest.raises(ConfigError, match=r"^--config: set.target = ") as caught:
        plan.run("shapes8", "methods/ecm")
    assert len(str(caught.value).splitlines()) == 1
