"""What runs stand on: the runs that they start or learn from, and the sets that feed them, each of which must exist.

A run may name others in `init` and `teacher`, and in the teacher of the trajectories that feed it. What is checked
here no single section can tell: that such a name is of a run, and that no run stands on itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from hkd.settings.merge import RUN_GROUPS, Resolver
from hkd.settings.names import known_runs
from hkd.settings.origins import ConfigError, Layers, nearest, read_yaml, stems
from hkd.store.lines import shortened

BASE = re.compile(r"[a-z0-9_]+/[a-z0-9_]+(@[0-9]{1,9})?", re.ASCII)
TRAJECTORIES = "trajectories/"
SIZES = ("preset", "model_channels", "channel_mult", "num_blocks", "attn_resolutions", "channel_mult_emb")


class Named(NamedTuple):
    """A base, and the setting that names it."""

    base: str
    layers: Layers
    key: str

    def refused(self, why: str) -> ConfigError:
        """Return the error that names the setting."""
        return _refused(self.layers, self.key, self.base, why)


def named_base(base: str) -> tuple[str, int]:
    """Return the run and the seed that a base names: `group/name` and 0, or those of `group/name@seed`.

    Raises:
        ConfigError: what stands behind the @ is no seed.
    """
    run, at, seed = base.partition("@")
    if at and not seed.isdecimal():
        raise ConfigError(f"'{base}': expected a seed behind the @, as in {run}@1")
    return run, int(seed or 0)


class Bases:
    """The bases of runs, each followed once, down to those that start from nothing."""

    def __init__(self, settings: Resolver, configs: Path) -> None:
        self._settings, self._configs = settings, configs
        self._followed: set[tuple[str, str]] = set()

    def check(self, dataset: str, method: str, above: tuple[str, ...] = ()) -> None:
        """Refuse a run that names a base or a feed that is none, or stands on itself.

        Args:
            method: as group/name, without a seed.
            above: the runs that stand on this one.
        Raises:
            ConfigError: naming the setting.
        """
        if (dataset, method) in self._followed:
            return
        for found in self._of_run(dataset, method):
            self._check_named(dataset, found, (*above, method))
        self._followed.add((dataset, method))

    def check_set(self, dataset: str, name: str) -> None:
        """Refuse a set of trajectories whose teacher is none.

        Raises:
            ConfigError: naming the setting.
        """
        self._check_named(dataset, self._of_set(dataset, name), ())

    def _check_named(self, dataset: str, found: Named, above: tuple[str, ...]) -> None:
        name = self._existing(dataset, found)
        if name in above:
            circle = " stands on ".join((*above[above.index(name) :], name))
            raise found.refused(f"{circle}; name another run")
        self.check(dataset, name, above)
        if found.key == "init":
            _check_fits(found, self._settings.layers(dataset, name))

    def _of_run(self, dataset: str, method: str) -> Iterator[Named]:
        layers = self._settings.layers(dataset, method)  # of a base, no more is looked at here than what it stands on
        for key in ("init", "teacher"):
            if base := layers.values.get(key):
                yield Named(str(base), layers, key)
        feed = str(layers.values.get("feed"))
        if method.split("/")[0] in RUN_GROUPS:
            self._check_kind(feed, method, layers)
        if feed.startswith(TRAJECTORIES):
            name = feed.removeprefix(TRAJECTORIES)
            known = stems(self._configs / "trajectories")
            if name not in known:
                near = nearest(name, known)
                raise _refused(layers, "feed", feed, f"there are no trajectories '{name}'. {near}")
            yield self._of_set(dataset, name)

    def _check_kind(self, feed: str, method: str, layers: Layers) -> None:
        """Refuse images for a method that is written for trajectories, and the other way round."""
        own = self._own_feed(method)
        if own and own.split("/")[0] != feed.split("/")[0]:
            kind = f"{TRAJECTORIES}NAME" if own.startswith(TRAJECTORIES) else own
            raise _refused(layers, "feed", feed, f"{method} is made for the feed {kind}, as in its own file ({own})")

    def _own_feed(self, method: str) -> str:
        file = read_yaml(self._configs / f"{method}.yaml").values
        parent = file.get("inherits")
        return str(file.get("feed") or (self._own_feed(str(parent)) if parent else ""))

    def _of_set(self, dataset: str, name: str) -> Named:
        layers = self._settings.layers(dataset, f"{TRAJECTORIES}{name}")
        return Named(str(layers.values.get("teacher")), layers, "teacher")

    def _existing(self, dataset: str, found: Named) -> str:
        """Return the name of the run that a base names, without its seed."""
        known = known_runs(self._configs)
        if not BASE.fullmatch(found.base):
            raise found.refused(f"expected a run, as group/name or group/name@seed. {_near(found.base, known)}")
        name = named_base(found.base)[0]
        if name.split("/")[0] in RUN_GROUPS:
            if name not in known:
                raise found.refused(f"there is no such run. {_near(name, known)}")
            return name
        try:
            self._settings.layers(dataset, name)  # a study knows the names of its own runs
        except ConfigError as error:
            raise found.refused(str(error)) from None
        return name


def _check_fits(found: Named, base: Layers) -> None:
    """Refuse a network that the weights of its base do not fit: of another size, or with classes and without."""
    own = found.layers
    for key in (("conditional",), *(("network", size) for size in SIZES)):
        here, there = own.pick(*key[:-1]).values.get(key[-1]), base.pick(*key[:-1]).values.get(key[-1])
        if here != there:
            raise ConfigError(
                f"{own.origin(key)}: {own.typed(key)} = {here!r}, but the run starts from {found.base} (init), whose "
                f"{'.'.join(key)} is {there!r}; make them equal, or name another base"
            )


def _near(name: str, known: list[str]) -> str:
    hint = nearest(shortened(name), known)
    return hint if hint.startswith("Did") else "A run is one as methods/edm."


def _refused(layers: Layers, key: str, value: str, why: str) -> ConfigError:
    return ConfigError(f"{layers.origin((key,))}: {layers.typed((key,))} = {shortened(repr(value))}: {why}")
