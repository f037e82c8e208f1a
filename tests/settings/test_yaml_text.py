"""Settings from strangers: one line for whatever cannot be read, and every plain value as it was written."""

from __future__ import annotations

import time
from itertools import pairwise

import pytest
import yaml

from hkd.plan.runs import Plan
from hkd.settings.merge import loaded_benchmark
from hkd.settings.origins import ConfigError, Section, check, from_mapping, read_yaml, to_yaml
from hkd.settings.overrides import from_arguments
from hkd.settings.sections import Run
from hkd.settings.signatures import constructor_arguments
from hkd.settings.yaml_text import DEEPEST, MOST_BYTES, TextError, check_bounds, from_json, parse
from tests.fuzzed import COUNTS
from tests.mutations import mutations

# -- plain values ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    ["010", "2023_01", "1:20", "2023-01-01", "2023-02-31", "yes", "no", "on", "Off", "0x10", "0o7", "1_000", "1e"],
)
def test_what_is_spelled_like_no_plain_number_is_the_text_that_was_written(text):
    assert parse(f"a: {text}") == {"a": text}
    assert from_arguments([f"source={text}"]) == {"source": text}


@pytest.mark.parametrize(
    "text, value",
    [("7", 7), ("-3", -3), ("0", 0), ("1e3", 1e3), (".5", 0.5), ("5.", 5.0), ("-1.5E-3", -1.5e-3), ("true", True),
     ("False", False), ("~", None), ("null", None), ("", None), ("'7'", "7"), ("!!str 7", "7"),
     ("[1, a, 2.5]", [1, "a", 2.5])],
)  # fmt: skip
def test_plain_values_are_numbers_truth_values_null_or_text(text, value):
    found = parse(f"a: {text}")["a"]
    assert found == value and type(found) is type(value)


def test_settings_that_are_written_are_read_back_as_they_were():
    values = {
        "a": ["1e3", "010", "yes", "7", "~", "", "null", "a: b", "#", "x\ny", "9" * 30, "2023_01", ".inf"],
        "b": 1e-5,
    }
    assert parse(to_yaml(values)) == values
    twice = ["a", "b"]
    assert parse(to_yaml({"a": twice, "b": twice})) == {"a": twice, "b": twice}


class Numbers(Section):
    whole: int = 1
    real: float | None = 1.0
    many: tuple[int, ...] = ()
    text: str = ""


@pytest.mark.parametrize(
    "key, value",
    [("whole", True), ("whole", "7"), ("whole", "010"), ("whole", 1.5), ("whole", 2**63), ("whole", 10**400),
     ("real", "inf"), ("real", "nan"), ("real", False), ("real", "1.5"), ("real", []), ("many", [1, True]),
     ("many", ["2"]), ("text", 202301), ("text", True), ("text", 1e3)],
)  # fmt: skip
def test_what_is_no_number_is_not_taken_for_one_nor_a_number_for_text(key, value):
    with pytest.raises(ConfigError) as caught:
        check(Numbers, from_mapping({key: value}, "here"))
    assert str(caught.value).startswith("here: ") and "\n" not in str(caught.value) and len(str(caught.value)) < 300


def test_a_name_that_was_read_as_a_number_is_to_be_written_in_quotes():
    with pytest.raises(ConfigError, match=r"text = 202301 .*in a file write it in quotes; a path also as \./NAME"):
        check(Numbers, from_mapping({"text": 202301}, "--config"))


# -- hostile text ------------------------------------------------------------------------------------------------------

LEVELS = "abcdefghij"
BOMB = "a: &a [x, x]\n" + "".join(f"{new}: &{new} [{', '.join([f'*{old}'] * 10)}]\n" for old, new in pairwise(LEVELS))
HOSTILE = {
    "a reference to itself": ("a: &a [*a]", ":1: refers to \\*a; aliases are not read"),
    "ten levels of ten aliases": (BOMB, ":2: refers to \\*a; aliases"),
    "a merge key": ("a: {b: 1}\n<<: {c: 2}", ":2: merge keys"),
    "a merge of aliases": ("a: &a {b: 1}\nc: {<<: [*a, *a]}", ":2: merge keys"),
    "an integer of 5,000 digits": ("a: " + "9" * 5000, "64 bits"),
    "an integer of 65 bits": ("a: 18446744073709551616", "64 bits"),
    "infinity": ("a: .inf", "no finite number"),
    "not a number": ("\nseeds: -.NaN", ":2: .*no finite number"),
    "an overflowing number": ("a: 1e400", "no finite number"),
    "an object": ("a: !!python/object/apply:os.system [true]", ":1: has the tag .*take it out"),
    "a name of Python": ("a: !!python/name:os.system", "has the tag"),
    "a binary": ("a: !!binary aGk=", "has the tag"),
    "an unknown tag": ("a: !x {b: 1}", "has the tag"),
    "a wrong integer": ("a: !!int abc", "has the tag"),
    "an impossible date": ("a: !!timestamp 2023-02-31", "has the tag"),
    "a list as key": ("? [a, b]\n: c", "a key is one word"),
    "a mapping as key": ("{a: b}: c", "a key is one word"),
    "a key twice": ("a: 1\nb: {c: 1, c: 2}", ":2: key 'c' stands here twice"),
    "deep lists": ("a: " + "[" * 5000 + "]" * 5000, "nested more than"),
    "deep mappings": ("{a: " * 5000 + "1" + "}" * 5000, "nested more than"),
    "many values": ("a: [" + "1," * 60_000 + "]", "more than 50,000 values"),
    "two documents": ("a: 1\n---\nb: 2", "second document"),
    "NUL": ("a: 1\nb: \0", ":2: has the control character"),
    "an unclosed quote": ('a: "b', "not valid YAML"),
    "a tab": ("a:\n\t- b", "not valid YAML"),
}  # fmt: skip


@pytest.mark.parametrize("text, expected", HOSTILE.values(), ids=HOSTILE)
def test_hostile_text_is_one_line_at_once(tmp_path, text, expected):
    file, began = tmp_path / "s.yaml", time.process_time()
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=expected) as caught:
        read_yaml(file)
    assert str(caught.value).startswith(str(file)) and "\n" not in str(caught.value)
    with pytest.raises(ConfigError) as caught:
        from_arguments([f"set={text}"])
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400
    assert time.process_time() - began < 2


@pytest.mark.parametrize(
    "content, expected",
    [
        ("title: Bäume\n".encode("latin-1"), ":1: not UTF-8"),
        ("a: 1\n".encode("utf-16"), "not UTF-8"),
        (b"a: " + b"x" * MOST_BYTES, "no settings file"),
        (bytes(range(128, 256)), "not UTF-8"),
    ],
)
def test_a_file_that_is_no_text_of_settings_is_one_line(tmp_path, content, expected):
    file = tmp_path / "s.yaml"
    file.write_bytes(content)
    with pytest.raises(ConfigError, match=expected):
        read_yaml(file)


def test_a_byte_order_mark_is_no_part_of_the_first_key(tmp_path):
    (tmp_path / "s.yaml").write_bytes("a: ä".encode("utf-8-sig"))
    assert read_yaml(tmp_path / "s.yaml").values == {"a": "ä"}


@pytest.mark.parametrize("name", ["", "x" * 300 + ".yaml", "a\0b.yaml", "file/inside.yaml", "nowhere/at/all.yaml"])
def test_a_name_under_which_nothing_can_be_read_is_one_line(tmp_path, name):
    (tmp_path / "file").write_text("a: 1", encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        read_yaml(tmp_path / name)
    assert "\n" not in str(caught.value) and "\0" not in str(caught.value) and len(str(caught.value)) < 400


@pytest.mark.parametrize(
    "text", ['{"a": NaN}', '{"a": 1e999}', "{" * 100_000, '{"a":' * 2000 + "1" + "}" * 2000, '{"a": 1']
)
def test_hostile_json_is_one_line(text):
    with pytest.raises(TextError) as caught:
        from_json(text)
    assert "\n" not in str(caught.value)
    with pytest.raises(ConfigError):
        loaded_benchmark(text if text.startswith("{") else "{", None, None)


def test_a_mapping_that_contains_itself_is_refused():
    circle: dict = {}
    circle["a"] = circle
    with pytest.raises(TextError, match=f"more than {DEEPEST} deep"):
        check_bounds(circle)


# -- damaged files: each reads, or is refused in lines -------------------------------------------------------------


def tried(content, count, seed, read, errors):
    """Return how many damaged copies were read; every other raised one of the errors, in lines of its own."""
    accepted = 0
    for changed in mutations(content, count, seed):
        try:
            read(changed)
            accepted += 1
        except errors as error:
            assert all(0 < len(line) < 1000 for line in str(error).splitlines()) and "Traceback" not in str(error)
    return accepted


@pytest.mark.parametrize("count", COUNTS)
def test_a_damaged_method_file_reads_or_is_refused(tmp_path, root, count):
    file = tmp_path / "m.yaml"

    def read(content):
        file.write_bytes(content)
        read_yaml(file)

    content = (root / "configs/methods/hkd.yaml").read_bytes()
    assert 0 < tried(content, count, 1, read, ConfigError) < count


@pytest.mark.parametrize("count", COUNTS)
def test_a_damaged_benchmark_file_reads_or_is_refused(tmp_path, root, monkeypatch, count):
    monkeypatch.chdir(root)
    file = tmp_path / "smoke.yaml"

    def read(content):
        file.write_bytes(content)
        Plan.load(str(file))

    content = (root / "configs/benchmarks/smoke.yaml").read_bytes()
    assert tried(content, count, 2, read, ConfigError) < count


@pytest.mark.parametrize("count", COUNTS)
def test_a_damaged_override_reads_or_is_refused(count):
    content = b"set.training={steps: 3, optimizer: {lr: 1e-4, betas: [0.9, 0.999]}, ema: {kind: none}}"
    read = lambda changed: from_arguments([changed.decode("utf-8", "surrogateescape")])  # noqa: E731
    assert tried(content, count, 3, read, ConfigError) < count


@pytest.mark.parametrize("count", COUNTS)
def test_the_damaged_settings_of_a_run_read_or_are_refused(tmp_path, root, monkeypatch, count):
    monkeypatch.chdir(root)
    run = Plan.load("configs/benchmarks/smoke.yaml").run("shapes8", "methods/ecm")
    file = tmp_path / "config.yaml"

    def read(content):
        file.write_bytes(content)
        constructor_arguments(check(Run, read_yaml(file)).target)

    content = to_yaml(run.model_dump(mode="json")).encode()
    assert 0 < tried(content, count, 4, read, ConfigError) < count


def test_yaml_that_we_write_is_yaml_for_others(tmp_path):
    values = {"a": ["1e3", "yes"], "b": {"c": 1e-5, "d": None}}
    assert yaml.safe_load(to_yaml(values)) == values
