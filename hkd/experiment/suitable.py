"""Whether shipped weights, their card and the benchmark that takes them belong together, before they are adopted.

Names and shapes of tensors are held against those of the network that the card's recipe builds, on a device without
memory where it is none of the benchmark's own. What a card says twice must be the same in both places, and its data
those of the benchmark.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

import torch

from hkd.data.image_shape import ImageShape
from hkd.experiment.build import method as built_method
from hkd.experiment.cards import differences
from hkd.experiment.networks import network_facts
from hkd.experiment.record import LARGEST
from hkd.methods.base import Method
from hkd.nets.cnn import FeatureCNN
from hkd.plan.runs import Plan
from hkd.plan.students import by_recipe
from hkd.settings.fitting import checked_run
from hkd.settings.merge import SHIPPED
from hkd.settings.origins import ConfigError, Section, check, from_mapping
from hkd.settings.sections import Extractor, Run, TrajectorySet
from hkd.store.artifacts import Arrays, weights_about
from hkd.store.lines import reason, shortened
from hkd.store.refusals import ArtifactError
from hkd.store.shipped import card_path, instead, unusable, weights_path

ALL = ("data", "recipe")  # what a card must have besides what every one has
OF_A_RUN = (*ALL, "budget", "checkpoint", "shape")
BUDGET = ("params", "steps", "train_images", "network_evals", "train_seconds")
BUILD = ("target", "conditional", "network", "params")  # of a recipe, what its network follows from
SIZES = ("conditional", "network")  # and how large it is
NO_NETWORK = (ValueError, TypeError, RuntimeError, ArithmeticError)  # what sizes that cannot be end in
META = torch.device("meta")
Checked = TypeVar("Checked", bound=Section)


class _Unfit(ValueError):
    """An entry of a card that cannot be: its key, its value and why."""


class _Otherwise(ValueError):
    """An entry of a card that is not so in this benchmark, by a setting of the user's."""


def check_run(plan: Plan, dataset: str, method: str, name: str, arrays: Arrays, card: Mapping[str, Any]) -> ImageShape:
    """Return the shape of the images of a run whose shipped weights, card and settings belong together.

    Args:
        name, arrays, card: of the weights that answer the run.
    Raises:
        ArtifactError: naming the card, the key, its value and what gets around it.
    """
    own = plan.run_layers(dataset, f"methods/{method.partition('/')[2]}")
    try:
        _check_data(plan, dataset, card, OF_A_RUN)
        shape, recipe = _shape(plan, dataset, card["shape"]), card["recipe"]
        run = checked_run(by_recipe(own, recipe, name, method))
        _check_training(card, run)
        others = _others(recipe, own.values)
        # arithmetic without memory loads torch's compiler, a second: not for a network as large as the benchmark's own
        sized = any(key.partition(".")[0] in SIZES for key, _, _ in others)
        built = _built(run, shape, len(arrays), META if sized else torch.device("cpu"))
        if odd := _difference(built.artefact(), arrays):
            raise _Unfit(f"{_culprit(others, recipe)}, and its network does not fit the weights: {odd}")
        if (params := built.sampling_parameters()) != card["budget"]["params"]:
            raise _Unfit(f"its budget.params is {card['budget']['params']}, its network has {params}")
        if not method.startswith(f"{SHIPPED}/"):  # whose settings are those of the benchmark, and not the card's
            _check_settings(plan.run(dataset, method), shape, arrays, recipe)
    except (_Unfit, _Otherwise) as error:
        raise _refused(error, name, method) from None
    return shape


def check_network(
    plan: Plan, dataset: str, what: str, name: str, arrays: Arrays, card: Mapping[str, Any]
) -> dict[str, Any]:
    """Return what the header of a shipped feature network says, once it fits the weights, the card and the data.

    Raises:
        ArtifactError: as `check_run`.
    """
    try:
        _check_data(plan, dataset, card, ALL)
        own = plan.extractor(dataset, what.partition("/")[2]).model_dump()
        settings = _section(Extractor, {**own, **card["recipe"]}, "recipe")
        network = network_facts(weights_path(name))["network"]
        side = round((plan.dataset(dataset).data.resolution or 0) * settings.image_size_factor)
        due = {"width": settings.width, "features": settings.features, "image_size_factor": side}
        for key, value in due.items():
            found = network.get(key.removesuffix("_factor"), value)
            if found != value:
                raise _Unfit(f"its recipe.{key} is {card['recipe'].get(key)}, and its network has {found}, not {value}")
        with META:
            described = FeatureCNN(**network).state_dict()
        if odd := _difference(described, arrays):
            raise _Unfit(f"its weights are not those of the network in their header: {odd}")
    except (ArtifactError, *NO_NETWORK) as error:  # NO_NETWORK has those of this module too
        raise _refused(error, name, what) from None
    return weights_about(weights_path(name))


def _refused(error: Exception, name: str, what: str) -> ArtifactError:
    if isinstance(error, _Otherwise):
        return ArtifactError(f"{card_path(name)}: {error}: take that setting out, or {instead(what)}")
    return unusable(name, str(error) if isinstance(error, _Unfit) else reason(error), what)


def _check_data(plan: Plan, dataset: str, card: Mapping[str, Any], needed: Iterable[str]) -> None:
    for key in needed:
        if key not in card:
            raise _Unfit(f"its field '{key}' is missing")
    data = plan.dataset(dataset).data.model_dump(mode="json")
    for key in card["data"].keys() - data.keys():
        raise _Unfit(f"its key 'data.{shortened(key)}' is not known: {_shown(card['data'][key])}")
    for key, there, here in differences(card["data"], data):
        said = f"its data.{key} is {_shown(there)}, and {dataset} has {_shown(here)} in this benchmark"
        raise _Otherwise(said) if key in plan.layers.pick("data", dataset).values else _Unfit(said)


def _shape(plan: Plan, dataset: str, shape: Mapping[str, int]) -> ImageShape:
    if shape["resolution"] != (side := plan.dataset(dataset).data.resolution or shape["resolution"]):
        raise _Unfit(f"its shape.resolution is {shape['resolution']}, and {dataset} has {side} pixels a side")
    for key, most in LARGEST.items():
        if shape[key] > most:
            raise _Unfit(f"its shape.{key} is {shape[key]}, that of no image")
    return ImageShape(**shape)


def _check_training(card: Mapping[str, Any], run: Run) -> None:
    """Refuse a card whose account of the training is not that of its recipe."""
    for key in BUDGET:
        if key not in card["budget"]:
            raise _Unfit(f"its field 'budget.{key}' is missing")
    said: list[tuple[str, Any, Any]] = [("budget.steps", card["budget"]["steps"], run.training.steps)]
    if (start := card.get("start")) is not None:
        said += [("start.base", start["base"], run.init), ("start.source", start["source"], run.init_weights)]
        if start["weights"] not in ("averaged", "raw"):
            raise _Unfit(f"its start.weights is {_shown(start['weights'])}, neither averaged nor raw")
    elif "start" in card:
        said += [("start", None, run.init)]
    for key, found, due in said:
        if found != due:
            raise _Unfit(f"its {key} is {_shown(found)}, and its recipe says {_shown(due)}")
    pairs, fed = card.get("trajectories", {}), run.feed.startswith("trajectories/")
    if pairs:
        _section(TrajectorySet, pairs, "trajectories")
    if "trajectories" in card and bool(pairs) != fed:
        raise _Unfit(f"its trajectories is {_shown(pairs)}, and its recipe.feed {_shown(run.feed)}")


def _section(kind: type[Checked], values: Mapping[str, Any], at: str) -> Checked:
    if odd := min(values.keys() - kind.model_fields.keys(), default=""):
        raise _Unfit(f"its key '{at}.{shortened(odd)}' is not known: {_shown(values[odd])}")
    try:
        return check(kind, from_mapping({at: values}, "card").pick(at))
    except ConfigError as error:
        raise _Unfit(str(error).splitlines()[0].removeprefix("card: ")) from None


def _built(run: Run, shape: ImageShape, tensors: int, on: torch.device) -> Method:
    """Return the method of a recipe, whose network is to have so many tensors."""
    levels, blocks = len(run.network["channel_mult"]), run.network["num_blocks"]
    if levels * blocks > tensors:  # each of which has several: no time is spent on building them
        raise _Unfit(f"its recipe.network has {levels} levels of {blocks} blocks, and its weights {tensors} tensors")
    try:
        with on:
            return built_method(run, shape, seed=0, parts=None)
    except NO_NETWORK as error:
        raise _Unfit(f"its recipe builds no network ({reason(error)})") from None


def _difference(due: Mapping[str, Any], found: Mapping[str, Any]) -> str:
    """Return the first tensor that a network and a file have in other shapes, or that one of them lacks, or nothing."""
    sizes = [{key: list(tensor.shape) for key, tensor in state.items()} for state in (due, found)]
    for key in (*due, *found):
        one, other = (str(state.get(key, "none")) for state in sizes)
        if one != other:
            return f"{shortened(key)} is {one} in the network, {other} in the file"
    return ""


def _others(recipe: Mapping[str, Any], settings: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    """Return what of a recipe's network other settings have otherwise: key, its value, theirs."""
    return list(differences({key: recipe[key] for key in BUILD if key in recipe}, settings))


def _culprit(others: list[tuple[str, Any, Any]], recipe: Mapping[str, Any]) -> str:
    """Return for what of a recipe its network may not fit: the first that the benchmark has otherwise."""
    for key, there, here in others:
        return f"its recipe.{key} is {_shown(there)} ({_shown(here)} in this benchmark)"
    return f"its recipe.network is {_shown(recipe['network'])}"


def _check_settings(run: Run, shape: ImageShape, arrays: Arrays, recipe: Mapping[str, Any]) -> None:
    """Refuse a benchmark whose own settings of a run build another network than its shipped weights are of."""
    if not (others := _others(recipe, run.model_dump(mode="json"))):
        return
    try:
        odd = _difference(_built(run, shape, len(arrays), META).artefact(), arrays)
    except _Unfit as error:
        odd = str(error)
    if odd:
        key, there, here = others[0]
        raise _Otherwise(f"its recipe.{key} is {_shown(there)}, and this benchmark has {_shown(here)} ({odd})")


def _shown(value: Any) -> str:
    return shortened(repr(value))
