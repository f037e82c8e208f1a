"""Students whose weights come with the package: their settings are those that they were trained with.

A row that takes them is a run of a group of its own, `shipped/ecm`, beside `methods/ecm`, which a benchmark trains. So
neither takes the other's place, and nothing that studies a training meets weights that were trained elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from hkd.settings.fitting import checked_run
from hkd.settings.merge import SHIPPED, Resolver
from hkd.settings.origins import ConfigError, Layers, from_mapping, nearest
from hkd.settings.sections import NOT_TRAINING
from hkd.store.lines import shortened
from hkd.store.refusals import ArtifactError
from hkd.store.shipped import card_path, read_card, unusable

UNKNOWN = re.compile(r"unknown key '(?:recipe\.)?([^']*)'")  # as settings are refused


def student_settings(resolver: Resolver, dataset: str, name: str) -> Layers:
    """Return the settings of a shipped student: those on its card, and of the benchmark how many images it draws.

    Parameters that its method has been given since are those of the method's own settings.

    Raises:
        ConfigError: the data set ships no such student, or its card is damaged or of another version.
    """
    known = resolver.dataset(dataset).students
    if (method := f"methods/{name}") not in known:
        raise ConfigError(f"{SHIPPED}/{name}: {dataset} ships no student '{method}'. {nearest(method, list(known))}")
    shipped, what = known[method], f"{SHIPPED}/{name}"
    try:
        recipe = read_card(shipped, what).get("recipe", {})
        steered = {key: value for key, value in recipe.items() if key not in NOT_TRAINING}
        if isinstance(steered.get("training"), dict):
            steered["training"] = {**steered["training"], "milestones": []}  # nobody kept any
        return by_recipe(resolver.layers(dataset, method), steered, shipped, what)
    except ArtifactError as error:
        raise ConfigError(str(error)) from None


def by_recipe(own: Layers, recipe: Mapping[str, Any], name: str, what: str) -> Layers:
    """Return a method's own settings under those on the card of shipped weights, found to be those of a run.

    Args:
        name, what: of the weights, and what they answer, as group/name.
    Raises:
        ArtifactError: they are not; naming the card, the key and its value.
    """
    path = card_path(name)
    for section in ("network", "params", "training"):
        if not isinstance(recipe.get(section), dict):
            raise unusable(name, f"its recipe.{section} is no mapping: {shortened(repr(recipe.get(section)))}", what)
    if recipe.get("target") != (target := own.values.get("target")):
        raise unusable(name, f"its recipe.target is {shortened(repr(recipe.get('target')))}, here {target!r}", what)
    try:
        layers = own.without("network", "training").put(from_mapping({"recipe": recipe}, str(path)).pick("recipe"))
        checked_run(layers)
    except ConfigError as error:
        raise unusable(name, _said(str(error), recipe, str(path)), what) from None
    return layers


def _said(problems: str, recipe: Mapping[str, Any], path: str) -> str:
    """Return the first of the problems of a card's recipe, of a key that is not known with its value."""
    first = problems.splitlines()[0].removeprefix(f"{path}: ")
    if not (odd := UNKNOWN.match(first)):
        return first
    value: Any = recipe
    for key in odd[1].split("."):
        value = value.get(key) if isinstance(value, Mapping) else None
    return f"its key 'recipe.{odd[1]}' is not known: {shortened(repr(value))}"
