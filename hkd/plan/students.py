"""Students whose weights come with the package: their settings are those that they were trained with.

A row that takes them is a run of a group of its own, `shipped/ecm`, beside `methods/ecm`, which a benchmark trains. So
neither takes the other's place, and nothing that studies a training meets weights that were trained elsewhere.
"""

from __future__ import annotations

from hkd.settings.merge import SHIPPED, Resolver
from hkd.settings.origins import ConfigError, Layers, check, from_mapping, nearest
from hkd.settings.sections import NOT_TRAINING, PARTS, Run
from hkd.settings.signatures import constructor_arguments
from hkd.store.refusals import ArtifactError
from hkd.store.shipped import card_path, read_card


def student_settings(resolver: Resolver, dataset: str, name: str) -> Layers:
    """Return the settings of a shipped student: those on its card, and of the benchmark how many images it draws.

    Parameters that its method has been given since are those of the method's own settings.

    Raises:
        ConfigError: the data set ships no such student, or its card is of another version.
    """
    known = resolver.dataset(dataset).students
    if (method := f"methods/{name}") not in known:
        raise ConfigError(f"{SHIPPED}/{name}: {dataset} ships no student '{method}'. {nearest(method, list(known))}")
    shipped, own = known[method], resolver.layers(dataset, method)
    path = card_path(shipped)
    try:
        recipe = {key: value for key, value in read_card(shipped)["recipe"].items() if key not in NOT_TRAINING}
        if not isinstance(recipe["training"], dict):
            raise ConfigError("recipe.training is no mapping")
        recipe["training"] = {**recipe["training"], "milestones": []}  # nobody kept any
        layers = own.without("network", "training").put(from_mapping(recipe, str(path)))
        odd = check(Run, layers).params.keys() - (constructor_arguments(recipe["target"]).keys() - PARTS)
        if odd:
            raise ConfigError(f"params.{min(odd)} is not known")
    except ArtifactError as error:
        raise ConfigError(str(error)) from None
    except (ConfigError, KeyError) as error:
        why = str(error).splitlines()[0]
        raise ConfigError(f"{path}: of another version ({why}); add --config students=train, or ship it anew") from None
    return layers
