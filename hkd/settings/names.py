"""Names that a command line gives: data sets, methods, sets of trajectories. Each is a file, or refused in one line."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path

from hkd.settings.merge import BENCHMARKS, CONFIGS, RUN_GROUPS, SHIPPED
from hkd.settings.origins import ConfigError, nearest, stems
from hkd.store.lines import shortened
from hkd.store.source import PACKAGE


def check_checkout(configs: Path = CONFIGS) -> None:
    """Refuse to go on in a folder without settings.

    Raises:
        ConfigError: there is no `configs` here.
    """
    if not (configs / BENCHMARKS).is_dir():
        raise ConfigError(f"{configs}: no such folder here ({Path.cwd()}); run it in the folder of the checkout")


def check_dataset(name: str, configs: Path = CONFIGS) -> str:
    """Return the name of a data set.

    Raises:
        ConfigError: there is none of that name.
    """
    return _file(name, "data set", configs / "datasets", configs)


def check_trajectories(name: str, configs: Path = CONFIGS) -> str:
    """Return the name of a set of trajectories.

    Raises:
        ConfigError: there is none of that name.
    """
    return _file(name, "set of trajectories", configs / "trajectories", configs)


def known_runs(configs: Path) -> list[str]:
    """Return the methods and ablations that have a settings file, as group/name."""
    return [f"{group}/{stem}" for group in RUN_GROUPS for stem in stems(configs / group)]


def check_method(name: str, configs: Path = CONFIGS) -> str:
    """Return the name of a method, as group/name.

    Raises:
        ConfigError: it has no group, or there is none of that name.
    """
    check_checkout(configs)
    group, sign, own = name.partition("/")
    known = known_runs(configs)
    if not sign:
        same = [full for full in known if full.rpartition("/")[2] == name]
        close = same or get_close_matches(f"methods/{name}", known, n=1)
        hint = f"; did you mean {close[0]}?" if close else ""
        raise ConfigError(f"method '{shortened(name)}': a method is written as group/name, as in methods/hkd{hint}")
    if group in RUN_GROUPS:
        _file(own, "method", configs / group, configs, prefix=f"{group}/")
    elif group == SHIPPED:
        _file(own, "method", configs / "methods", configs, prefix=f"{group}/")
    elif not group.isidentifier() or not (PACKAGE / "studies" / group / "plan.py").is_file():
        close = get_close_matches(name, known, n=1)
        hint = f"; did you mean {close[0]}?" if close else ", as in methods/hkd"
        raise ConfigError(f"'{shortened(name)}' is no method: methods are those of {' and '.join(RUN_GROUPS)}{hint}")
    return name


def named_benchmark(source: str, configs: Path = CONFIGS) -> str:
    """Return a benchmark as it was given; as the file of the release where its name is that of one in a checkout."""
    installed = configs.parent / source
    inside = source.startswith("configs/") and "\0" not in source and len(source) <= 200
    return str(installed) if inside and not Path(source).exists() and installed.is_file() else source


def check_benchmark(source: str, configs: Path = CONFIGS) -> None:
    """Refuse a benchmark that is given by its name, with the file of that name.

    Raises:
        ConfigError: it is no text and no file, and there is a benchmark of that name or of one like it.
    """
    check_checkout(configs)
    if source.lstrip().startswith("{") or "\0" in source or len(source) > 200 or Path(source).exists():
        return
    if close := get_close_matches(Path(source).stem, stems(configs / BENCHMARKS), n=1):
        meant = configs / BENCHMARKS / f"{close[0]}.yaml"
        raise ConfigError(f"benchmark {source}: no such settings file. Did you mean '{meant}'?")


def _file(name: str, what: str, folder: Path, configs: Path, prefix: str = "") -> str:
    check_checkout(configs)
    known = stems(folder)
    if name not in known:
        close = [f"{prefix}{one}" for one in get_close_matches(name, known, n=4)]
        hint = f"Did you mean {' or '.join(map(repr, close))}?" if close else nearest(name, known)
        raise ConfigError(f"no {what} '{prefix}{shortened(name)}'. {hint}")
    return name
