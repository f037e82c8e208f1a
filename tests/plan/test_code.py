"""What the digest of code follows: every change of what is computed, and nothing else, under every Python."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from hkd.plan import code, digests
from hkd.plan.code import closure, code_digest, fingerprint
from hkd.store import source

FILES = {
    "__init__.py": "__version__ = '1'\n",
    "seeding.py": "SEED = 1\n",
    "job.py": "from hkd.data.low import f\n",
    "settings/__init__.py": "",
    "settings/keys.py": "KEY = 'a'\n",
    "data/__init__.py": "",
    "data/low.py": (
        '"""Low."""\n\nfrom __future__ import annotations\n\nimport math\n\n'
        "from hkd import seeding\nfrom hkd.settings.keys import KEY\n\n\n"
        "def f(x: int, *, n: int = 2) -> int:\n"
        '    """Double."""\n'
        "    if x < 0:\n"
        '        hint = f"{KEY}: give a positive number"\n'
        '        raise ValueError(f"x = {x} is negative; {hint}")\n'
        '    assert n > 0, "n is not positive"\n'
        '    print(f"doubling {x}")\n'
        "    y: int = n * x\n"
        "    return math.floor(y) + seeding.SEED\n"
    ),
    "data/other.py": "A = 1\n",
    "nets/__init__.py": "from hkd.data.other import A\n",
    "nets/high.py": "from hkd.data.low import f\n\n\ndef g(x: int) -> int:\n    return f(x)\n",
    "nets/lazy.py": "def h() -> int:\n    from hkd.nets import high\n\n    return high.g(1)\n",
    "nets/hinted.py": (
        "from typing import TYPE_CHECKING\n\nif TYPE_CHECKING:\n    from hkd.data.other import A\n\nB = 1\n"
    ),
}
MODULES = ("data.low", "data.other", "nets.high", "nets.lazy", "nets.hinted")
LOW = FILES["data/low.py"]


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
        return {name: code_digest(f"hkd.{name}") for name in MODULES}

    yield digests
    forget()


def forget() -> None:
    for cached in (source.module_file, code.code_digest, code.closure, code._text, code._imports, digests._known):
        cached.cache_clear()


def changed(before: dict[str, str], after: dict[str, str]) -> set[str]:
    return {name for name in before if before[name] != after[name]}


NOTHING = {
    "comment": ("    y: int", "    # twice\n    y: int"),
    "docstring": ('"""Double."""', '"""Return 2x."""'),
    "no docstring": ('    """Double."""\n', ""),
    "no module docstring": ('"""Low."""\n', ""),
    "format": ("n * x", "(n*x)"),
    "blank lines": ("\n\n\ndef", "\n\n\n\n\ndef"),
    "message of an error": ("is negative;", "lies below zero:"),
    "hint within an error": ("give a positive number", "try another one"),
    "message of an assertion": ("n is not positive", "n must be above 0"),
    "no message of an assertion": (', "n is not positive"', ""),
    "line of a log": ('f"doubling {x}"', 'f"twice {x}, that is"'),
    "no line of a log": ('    print(f"doubling {x}")\n', ""),
    "type hint of an argument": ("x: int,", "x: float,"),
    "type hint of a result": ("-> int:", "-> float:"),
    "type hint of a variable": ("    y: int = ", "    y = "),
    "order of imports": ("import math\n\nfrom hkd import seeding\n", "from hkd import seeding\nimport math\n"),
    "future": ("from __future__ import annotations\n", ""),
}


@pytest.mark.parametrize("old, new", NOTHING.values(), ids=NOTHING)
def test_what_computes_nothing_changes_no_digest(package, old, new):
    assert old in LOW
    assert changed(package(), package("data/low.py", LOW.replace(old, new))) == set()


SOMETHING = {
    "operator": ("n * x", "n + x"),
    "constant": ("= 2)", "= 3)"),
    "comparison": ("x < 0", "x <= 0"),
    "call": ("math.floor", "math.ceil"),
    "kind of error": ("raise ValueError", "raise TypeError"),
    "a text that is used": ("    y: int = n * x\n", "    y: int = n * x\n    return 'two'\n"),
    "statement": ("    y: int = n * x\n", "    y: int = n * x\n    y = y\n"),
    "name of an argument": ("*, n: int", "*, m: int"),
    "check": ("    if x < 0:", "    if x < 0 and n:"),
}


@pytest.mark.parametrize("old, new", SOMETHING.values(), ids=SOMETHING)
def test_what_computes_changes_its_module_and_its_importers_alone(package, old, new):
    assert old in LOW
    assert changed(package(), package("data/low.py", LOW.replace(old, new))) == {"data.low", "nets.high", "nets.lazy"}


@pytest.mark.parametrize(
    "file, text, expected",
    [
        ("__init__.py", "__version__ = '2'\n", set()),
        ("settings/keys.py", "KEY = 'b'\n", set()),
        ("job.py", "from hkd.data.low import f\n\nX = f(1)\n", set()),
        ("seeding.py", "SEED = 2\n", {"data.low", "nets.high", "nets.lazy"}),
        ("nets/high.py", FILES["nets/high.py"].replace("f(x)", "f(x) + 1"), {"nets.high", "nets.lazy"}),
        ("nets/__init__.py", "from hkd.data.other import A\n\nA += 1\n", {"nets.high", "nets.lazy", "nets.hinted"}),
        ("data/other.py", "A = 2\n", {"data.other"}),  # passed on by a package, or read by a type checker: not used
    ],
    ids=["version", "settings", "root", "streams", "above", "package on the way", "passed on"],
)
def test_a_change_reaches_those_that_use_it(package, file, text, expected):
    assert changed(package(), package(file, text)) == expected


def test_a_module_that_is_not_there_is_named(package):
    package()
    with pytest.raises(LookupError, match=r"hkd\.data\.absent: no such module"):
        code_digest("hkd.data.absent")


def test_the_digest_of_a_method_follows_its_network_its_loop_and_its_own_file():
    forget()
    modules = set(closure("hkd.methods.consistency.ecm", "hkd.training.loop"))
    assert {"hkd.training.optim", "hkd.methods.consistency.objective", "hkd.seeding"} <= modules
    assert not modules & {"hkd.methods.hkd", "hkd.metrics.measure", "hkd.report.tables"}


# All that the grammar has and the project uses, in one text. Its digest is written down, so that every Python that
# runs this test must give the same; the one below asks those that are installed beside it.
GRAMMAR = '''
from dataclasses import dataclass, field
import math

@dataclass(frozen=True, kw_only=True)
class A:
    """A class."""
    x: int
    y: float = 1e-4
    z: list = field(default_factory=list)

    @property
    def f(self) -> str:
        return f"{self.x:>{self.y}.3f} and {self.z!r}" + "joined" " text" + r"\\d" + "é"

    async def g(self, *a: int, b: "str" = "c", **k: object) -> None:
        async with self as s, self:
            yield [i async for i in s if i], {**k}, (*a, lambda q, /: -q ** 2)

def h(v, /, w=None, *, n: int | None = 3):
    global G
    match v:
        case {"a": [1, *rest], **other} if rest: w += 1
        case A(x=0) | None: del w
        case _: pass
    while (m := n) and not v < 1 <= n != 2 is None:
        try: v @= m; break
        except* (ValueError, OSError) as e: raise RuntimeError("text", 3) from e
        else: continue
        finally: n >>= 1 if v in (1, 2.0, 3j, b"4", ..., True) else ~v
    for i, *j in v[1:2, ::3, ...]: nonlocal_ = {i for i in j}, {i: j for i in j}, (i for i in j)
    with open(v) as (a, b), math.pi: return await_
'''
EVERYWHERE = "946fe6c7a1e0536db1a1fc4306bfcfda39d7bbd9543319ea13d738535dc6d2a1"


def test_the_digest_of_a_text_is_the_same_on_every_machine():
    assert fingerprint(GRAMMAR) == EVERYWHERE


def others() -> list[str]:
    """Interpreters of other supported versions that are installed beside this one."""
    known = [*Path.home().glob(".pyenv/versions/*/bin/python3"), *map(Path, filter(None, map(shutil.which, NAMES)))]
    return [str(path) for path in known if path.is_file()]


NAMES = ("python3.11", "python3.12", "python3.13")
ASK = """
import sys
if not (3, 11) <= sys.version_info < (3, 14):
    sys.exit(3)
sys.path.insert(0, sys.argv[1])
from hkd.plan.code import code_digest, fingerprint
print(sys.version_info[1], fingerprint(sys.stdin.read()), code_digest("hkd.methods.hkd", "hkd.metrics.measure"))
"""


def test_the_digest_of_our_code_is_the_same_under_every_python_that_is_here(root):
    forget()
    expected = f"{EVERYWHERE} {code_digest('hkd.methods.hkd', 'hkd.metrics.measure')}"
    asked = {}
    for python in others():
        ran = subprocess.run([python, "-c", ASK, str(root)], input=GRAMMAR, capture_output=True, text=True, timeout=60)
        if ran.returncode not in (3, 127):  # of no supported version, or a name that starts nothing
            assert ran.returncode == 0, ran.stderr
            minor, _, found = ran.stdout.strip().partition(" ")
            asked[minor] = found
    if not asked:
        pytest.skip("no other Python is installed here; the golden digest above stands for them")
    assert set(asked.values()) == {expected}, asked
