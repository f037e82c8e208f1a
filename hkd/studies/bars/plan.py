"""The quality bars of a profile: which they are, and the files that their values are read from."""

from __future__ import annotations

from hkd.plan.runs import Plan
from hkd.settings.merge import CONFIGS
from hkd.settings.origins import ConfigError, digest, nearest, read_yaml
from hkd.studies.bars.judge import Bar

BARS = CONFIGS / "bars.yaml"


def bars(plan: Plan) -> list[Bar]:
    """Return the bars that the profile must meet.

    Raises:
        ConfigError: the profile names one that does not exist.
    """
    known = read_yaml(BARS).values["bars"]
    for name in plan.profile.bars:
        if name not in known:
            raise ConfigError(f"{BARS}: no bar '{name}'. {nearest(name, list(known))}")
    return [Bar(name, **known[name]) for name in plan.profile.bars]


def values(plan: Plan) -> dict[str, list[str]]:
    """Return the values that the bars ask for, each with the files, one per seed, that it is read from.

    `fdn/{group}/{method}/{nfe}` is read from metrics, `error/{group}/{method}/{state}` from errors over time, all
    others from the reference and the metric network.
    """
    dataset, layout = plan.table("table1").dataset, plan.layout
    named = [v for bar in bars(plan) for v in (bar.value, bar.at_most, bar.at_least) if isinstance(v, str)]
    found: dict[str, list[str]] = {}
    for name in dict.fromkeys(named):
        kind, _, rest = name.partition("/")
        method, _, last = rest.rpartition("/")
        file = {"fdn": f"nfe{last}.json", "error": "trajectory_error.json"}.get(kind)
        if file:
            found[name] = [f"{layout.run(dataset, method, seed)}/metrics/{file}" for seed in plan.seeds]
        else:
            found[name] = [layout.reference(dataset), layout.extractor(dataset, "metric")]
    return found


def inputs(plan: Plan) -> list[str]:
    """Return the files that the bars are read from."""
    return list(dict.fromkeys(path for paths in values(plan).values() for path in paths))


def table_digest(plan: Plan) -> str:
    """Return the digest of what defines the bars."""
    return digest([vars(bar) for bar in bars(plan)])
