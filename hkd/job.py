"""What every command shares: its options, the plan, the record of what it makes, the device.

Loads nothing but the parser, so that `hkd --help` answers at once; plan, arrays and tensors load where they are used.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    import torch

    from hkd.plan.runs import Plan
    from hkd.plan.work import Work
    from hkd.settings.numerics import Compute
    from hkd.store.records import Record


def _dataset(name: str) -> str:
    from hkd.settings.names import check_dataset

    return check_dataset(name)


def _method(name: str) -> str:
    from hkd.settings.names import check_method

    return check_method(name)


def _trajectories(name: str) -> str:
    from hkd.settings.names import check_trajectories

    return check_trajectories(name)


DATASET_HELP = "Data set: the name of a file in configs/datasets."
METHOD_HELP = "Method, as group/name: methods/ecm, ablations/abl_no_traj."
DatasetArgument = Annotated[str, typer.Argument(callback=_dataset, help=DATASET_HELP)]
DatasetOption = Annotated[str, typer.Option("--dataset", callback=_dataset, help=DATASET_HELP)]
MethodArgument = Annotated[str, typer.Argument(callback=_method, help=METHOD_HELP)]
TrajectoriesArgument = Annotated[
    str,
    typer.Argument(callback=_trajectories, help="Set of trajectories: the name of a file in configs/trajectories."),
]
SeedOption = Annotated[int, typer.Option(help="Seed of the run.")]
NfeOption = Annotated[int, typer.Option(help="Network evaluations per image.")]
DigestOption = Annotated[
    str | None, typer.Option(help="Stop unless the settings have this digest (the workflow passes what it planned).")
]
CodeOption = Annotated[
    str | None, typer.Option(help="Stop unless the code has this digest (the workflow passes what it planned).")
]
BenchmarkOption = Annotated[
    str, typer.Option(envvar="HKD_BENCHMARK", help="Benchmark: a YAML file, or its content as JSON.", show_envvar=True)
]
OverrideOption = Annotated[
    list[str] | None,
    typer.Option("--config", metavar="KEY=VALUE", help="Override a key of the benchmark; repeatable."),
]
DeviceOption = Annotated[
    str, typer.Option(envvar="HKD_DEVICE", help="auto, cpu, cuda or cuda:N. auto takes a GPU when there is one.")
]
SkipOption = Annotated[
    bool, typer.Option("--skip-unreadable", help="Leave out pictures that cannot be read, and say how many.")
]
FigureOption = Annotated[
    Path, typer.Option("--out", help="The PDF; a PNG and the caption as .md are written beside it.")
]
DEFAULT_BENCHMARK = "configs/benchmarks/embedded.yaml"


def plan(benchmark: str, overrides: list[str] | None, **options: tuple[str, Any]) -> Plan:
    """Return the checked plan of a benchmark with `KEY=VALUE` overrides; dots reach into sections, values are YAML.

    Args:
        options: of the command that set a key: option -> (key, value); those whose value is None were not given.
    Raises:
        ConfigError: an override is none, or the benchmark cannot be used.
    """
    import os

    from hkd.plan.check import check_settings

    made = plan_of_one(benchmark, overrides, **options)
    if benchmark.startswith("{") and "HKD_WORKFLOW_PID" in os.environ:
        return made  # the workflow has checked what it hands on
    return check_settings(made)


def plan_of_one(benchmark: str, overrides: list[str] | None, **options: tuple[str, Any]) -> Plan:
    """Return the plan of which a command asks one run or data set, so that the others need not be possible.

    Args:
        options: as of `plan`.
    Raises:
        ConfigError: an override is none, or there is no such benchmark.
    """
    from hkd.plan.runs import Plan
    from hkd.settings.names import check_benchmark, named_benchmark
    from hkd.settings.overrides import from_arguments, from_options, refuse_old_environment

    refuse_old_environment()
    benchmark = named_benchmark(benchmark)
    check_benchmark(benchmark)
    return Plan.load(benchmark, from_arguments(overrides or []), options=from_options(options))


def check_inputs(work: Work, *names: str) -> None:
    """Refuse inputs that are missing, damaged or not what the plan says they are; with names, others may be missing.

    Raises:
        ArtifactError: naming the file, what is wrong and the command that makes it.
    """
    from hkd.plan.chain import check

    work.check_inputs(*names)
    check(work.plan, [path for path in work.inputs() if Path(path).exists()])


def record(
    work: Work, device: object = "cpu", *, seed: int | None = None, inputs: Sequence[str] | None = None
) -> Record:
    """Return the record of a piece of work, whose clock starts now, once its inputs are found to be whole and right.

    From here on torch computes as the benchmark's `compute` says.

    Args:
        inputs: names of those that are read, where a command by hand needs fewer than the workflow's job.
    Raises:
        ArtifactError: see `check_inputs`.
    """
    from hkd.store.records import Record

    definition = work.definition
    assert inputs is None or definition.inputs.keys() - set(inputs) <= set(definition.spare), work.stage
    check_inputs(work, *(inputs or ()))
    settings = work.settings if isinstance(work.settings, dict) else {"settings": work.settings}
    read = work.inputs(*(inputs or ()))
    compute = settled(device, work.plan.benchmark.compute, training=work.command == "train")
    made_by = work.command, settings, work.settings_digest
    return Record(*made_by, seed, read, str(device), work.code, work.of, compute)


def settled(device: object, compute: Compute | None = None, *, training: bool = False) -> dict[str, Any]:
    """Have torch compute on a device as settings say, by default in float32, and return what a record says of it.

    A command that has not loaded torch computes nothing with it, and its record says nothing.
    """
    if "torch" not in sys.modules:
        return {}
    import torch

    from hkd.compute import settle
    from hkd.settings.numerics import Compute

    return settle(compute or Compute(), torch.device(str(device)), training=training)


def pick_device(name: str) -> torch.device:
    """Return the device: `auto` is a GPU when there is one, else the CPU; torch computes in float32 from here on.

    Raises:
        ConfigError: there is no such device.
    """
    import os

    from hkd import devices
    from hkd.settings.origins import ConfigError

    if name != "cpu":
        try:
            devices.claim()  # before CUDA starts
        except ValueError as error:
            raise ConfigError(str(error)) from None
    import torch

    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and "LOCAL_RANK" in os.environ and not devices.claimed():  # of several processes each has its own
        name = f"cuda:{os.environ['LOCAL_RANK']}"
    try:
        device = torch.device(name)
    except RuntimeError:
        device = torch.device("meta")
    if device.type not in ("cpu", "cuda") or (device.type == "cpu" and device.index):
        raise ConfigError(f"device {name!r}: expected auto, cpu, cuda or cuda:N")
    if device.type == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if not count:
            raise ConfigError(f"device {name}: no GPU here; use --device cpu, or gpus=0 for a workflow")
        if (device.index or 0) >= count:
            raise ConfigError(f"device {name}: there are {count} GPUs here, cuda:0 to cuda:{count - 1}; name one")
    settled(device)
    return device


def start_together(processes: int, device: str) -> None:
    """Run this command in several processes and leave with its code, unless it is one of them or one is enough.

    Raises:
        ConfigError: there are fewer devices than processes, of which one would wait for another's for ever.
    """
    import os
    import sys

    from hkd import devices, together
    from hkd.settings.origins import ConfigError

    if processes == 1 or "WORLD_SIZE" in os.environ:
        return
    if device != "cpu" and (listed := os.environ.get("HKD_DEVICES")):
        try:
            devices.check(listed, processes)
        except ValueError as error:
            raise ConfigError(str(error)) from None
    os.environ["HKD_GPUS"] = "1"  # each takes one
    raise typer.Exit(together.run(sys.argv[1:], processes))


def say(remarks: Iterable[str], about: object) -> None:
    """Print what a reader should know about an input, a line each, beside the output."""
    for line in remarks:
        typer.echo(f"{about}: {line}", err=True)


def save_figure(drawn: Any, out: Path, caption: str, made: Record) -> None:
    """Write a figure as PDF, PNG and caption, each with its record.

    Raises:
        ArtifactError: one of them would replace a file that was not written so.
    """
    from hkd.figures.save import save
    from hkd.store.records import refuse_to_replace

    refuse_to_replace(*(out.with_suffix(suffix) for suffix in (".pdf", ".png", ".md")))
    for written in save(drawn, out.with_suffix(""), caption):
        made.write(written)
