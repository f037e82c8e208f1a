"""Reading, merging and checking settings: what wins, where it came from, and what an error says."""

from __future__ import annotations

import random
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hkd.settings.origins import (
    ConfigError,
    Section,
    canonical,
    check,
    digest,
    from_mapping,
    nearest,
    read_yaml,
    to_yaml,
)


class Inner(Section):
    lr: float
    kind: Literal["adam", "radam"] = "adam"


class Outer(Section):
    steps: int
    inner: Inner


@pytest.fixture
def yaml_file(tmp_path):
    def write(text: str, name: str = "run.yaml"):
        path = tmp_path / name
        path.write_text(text)
        return path

    return write


def test_later_values_win_and_mappings_merge():
    layers = from_mapping({"a": {"x": 1, "y": [1, 2]}, "b": 1}, "first")
    layers.put(from_mapping({"a": {"y": [3], "z": 4}, "b": {"deep": 5}}, "second"))
    assert layers.values == {"a": {"x": 1, "y": [3], "z": 4}, "b": {"deep": 5}}


def test_every_value_keeps_the_line_that_it_was_written_on(yaml_file):
    first = yaml_file("steps: 3\ninner:\n  lr: 0.1\n  kind: adam\n", "first.yaml")
    second = yaml_file("\n\ninner: {lr: 0.2}\n", "second.yaml")
    layers = read_yaml(first).put(read_yaml(second))
    assert layers.origin(("steps",)) == f"{first}:1"
    assert layers.origin(("inner", "kind")) == f"{first}:4"
    assert layers.origin(("inner", "lr")) == f"{second}:3"


def test_a_mapping_that_replaces_a_number_takes_its_origin_with_it(yaml_file):
    layers = read_yaml(yaml_file("inner: 3\n", "first.yaml")).put(read_yaml(yaml_file("inner: {lr: 1}\n", "b.yaml")))
    assert layers.origins.keys() == {("inner", "lr")}


def test_merging_leaves_the_merged_in_layers_alone():
    first, second = from_mapping({"a": {"x": 1}}, "1"), from_mapping({"a": {"x": 2}}, "2")
    merged = from_mapping({}, "0").put(first).put(second)
    merged.values["a"]["x"] = 3
    assert (first.values, second.values) == ({"a": {"x": 1}}, {"a": {"x": 2}})


def test_a_picked_section_knows_its_origins(yaml_file):
    path = yaml_file("scales:\n  cpu:\n    training: {steps: 7}\n")
    section = read_yaml(path).pick("scales", "cpu")
    assert section.values == {"training": {"steps": 7}}
    assert section.origin(("training", "steps")) == f"{path}:3"
    assert read_yaml(path).pick("scales", "paper").values == {}


@pytest.mark.parametrize("text", ["1e-4", "1E-4", "1.0e-4", "+1e-4", "0.0001"])
def test_a_number_is_a_number_however_it_is_written(yaml_file, text):
    assert read_yaml(yaml_file(f"lr: {text}\n")).values == {"lr": pytest.approx(1e-4)}


@pytest.mark.parametrize("text", ["1e", "e4", "1e4x", "v1e-4", "'1e-4'", "1_0e-5"])
def test_what_is_no_number_stays_text(yaml_file, text):
    assert isinstance(read_yaml(yaml_file(f"lr: {text}\n")).values["lr"], str)


def test_a_key_given_twice_is_refused(yaml_file):
    path = yaml_file("a: 1\nb:\n  lr: 1\n  lr: 2\n")
    with pytest.raises(ConfigError, match=rf"{path}:4: key 'lr' stands here twice"):
        read_yaml(path)


@pytest.mark.parametrize(
    "text, expected", [("a: [1\n", "not valid YAML"), ("- 1\n", "found a list"), ("word", "found a single value")]
)
def test_a_file_that_is_no_mapping_is_refused(yaml_file, text, expected):
    with pytest.raises(ConfigError, match=expected):
        read_yaml(yaml_file(text))


def test_a_folder_in_place_of_a_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match="a folder, not a settings file"):
        read_yaml(tmp_path)


def test_an_absent_file_names_the_nearest(yaml_file):
    path = yaml_file("a: 1\n", "ecm.yaml")
    with pytest.raises(ConfigError, match=r"no such settings file\. Did you mean 'ecm'"):
        read_yaml(path.with_name("emc.yaml"))


def test_an_unknown_key_names_file_line_and_the_nearest_key(yaml_file):
    path = yaml_file("steps: 3\ninner:\n  lr: 0.1\n  knid: adam\n")
    with pytest.raises(ConfigError, match=rf"{path}:4: unknown key 'inner.knid'. Did you mean 'kind'\?"):
        check(Outer, read_yaml(path))


def test_all_problems_are_named_at_once(yaml_file):
    path = yaml_file("stpes: 3\ninner:\n  lr: fast\n  kind: adma\n")
    with pytest.raises(ConfigError) as caught:
        check(Outer, read_yaml(path))
    lines = str(caught.value).splitlines()
    assert len(lines) == 4
    assert any("key 'steps' is missing" in line for line in lines)
    assert any(line.startswith(f"{path}:1: unknown key 'stpes'. Did you mean 'steps'?") for line in lines)
    assert any(line.startswith(f"{path}:3: inner.lr = 'fast' is not usable") for line in lines)
    assert any(line.startswith(f"{path}:4: inner.kind = 'adma' is not usable") and "'radam'" in line for line in lines)


def test_an_unknown_name_without_a_neighbour_lists_the_known_ones():
    assert nearest("zzz", ["b", "a"]) == "Known: a, b."


NUMBERS = st.integers(-(2**53) + 1, 2**53 - 1)
LEAVES = st.none() | st.booleans() | NUMBERS | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5)
SETTINGS = st.dictionaries(
    st.text(max_size=4),
    st.recursive(
        LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_size=5,
)


def shuffled(value: Any, order: random.Random) -> Any:
    """The same value, keys in another order, integers as floats, lists as tuples."""
    if isinstance(value, dict):
        items = list(value.items())
        order.shuffle(items)
        return {key: shuffled(item, order) for key, item in items}
    if isinstance(value, list):
        return tuple(shuffled(item, order) for item in value)
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


@given(SETTINGS, st.randoms(use_true_random=False))
def test_only_values_count_in_a_digest(settings, order):
    assert canonical(shuffled(settings, order)) == canonical(settings)


@given(SETTINGS, st.text(max_size=4), NUMBERS)
def test_another_value_is_another_digest(settings, key, number):
    assert digest({**settings, key: number}) != digest({**settings, key: number + 1})


def test_a_digest_tells_lists_apart_by_their_order():
    assert digest({"betas": [0.9, 0.99]}) != digest({"betas": [0.99, 0.9]})


@given(st.dictionaries(st.from_regex(r"[a-z_]{1,6}", fullmatch=True), LEAVES, max_size=4))
def test_settings_survive_being_written_and_read(tmp_path_factory, settings):
    path = tmp_path_factory.mktemp("yaml") / "run.yaml"
    path.write_text(to_yaml(settings))
    assert canonical(read_yaml(path).values) == canonical(settings)
