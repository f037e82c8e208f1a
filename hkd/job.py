"""Options that several commands share."""

from __future__ import annotations

from typing import Annotated, Any

import typer
import yaml

from hkd.plan.runs import Plan
from hkd.settings.origins import ConfigError

DatasetArgument = Annotated[str, typer.Argument(help="Data set: the name of a file in configs/datasets.")]
MethodArgument = Annotated[str, typer.Argument(help="Method, as group/name: methods/ecm, ablations/abl_no_traj.")]
SeedOption = Annotated[int, typer.Option(help="Seed of the run.")]
DigestOption = Annotated[
    str | None, typer.Option(help="Stop unless the settings have this digest (the workflow passes what it planned).")
]
CodeOption = Annotated[
    str | None, typer.Option(help="Stop unless the code has this digest (the workflow passes what it planned).")
]
ProfileOption = Annotated[
    str, typer.Option(envvar="HKD_PROFILE", help="Profile: a YAML file, or its content as JSON.", show_envvar=True)
]
OverrideOption = Annotated[
    list[str] | None, typer.Option("--config", metavar="KEY=VALUE", help="Override a key of the profile; repeatable.")
]
DeviceOption = Annotated[
    str, typer.Option(envvar="HKD_DEVICE", help="auto, cpu, cuda or cuda:N. auto takes a GPU when there is one.")
]
DEFAULT_PROFILE = "configs/embedded.yaml"


def plan(profile: str, overrides: list[str] | None) -> Plan:
    """Return the plan of a profile with `KEY=VALUE` overrides; dots reach into sections, values are YAML."""
    merged: dict[str, Any] = {}
    for item in overrides or []:
        key, sign, value = item.partition("=")
        if not sign or not key:
            raise ConfigError(f"--config {item}: expected KEY=VALUE")
        section = merged
        *outer, leaf = key.split(".")
        for name in outer:
            section = section.setdefault(name, {}) if isinstance(section, dict) else {}
        try:
            section[leaf] = yaml.safe_load(value)
        except (yaml.YAMLError, TypeError):
            raise ConfigError(f"--config {item}: the value is not YAML, or the key lies inside a plain value") from None
    return Plan.load(profile, merged)


def expect(digest: str, expected: str | None, what: str) -> None:
    """Stop when settings or code are not those that the workflow was planned with.

    Raises:
        ConfigError: they changed while the job waited, or another profile was named.
    """
    if expected is not None and digest != expected:
        raise ConfigError(
            f"{what}: digest {digest}, the workflow planned {expected}; files changed meanwhile or another profile "
            "was named: start snakemake again"
        )
