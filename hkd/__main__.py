"""The `hkd` command: turns mistakes into one line each, and every end into an exit code that says what to do.

0: done. 1: settings or inputs are wrong, so that the same command fails again. 2: the command line is wrong. 70: a
fault of ours, with its traceback. 75: the system refused, and may not next time. 85: stopped on request; what is
finished is saved.
"""

from __future__ import annotations

import io
import os
import stat
import sys
import traceback
from contextlib import suppress

from hkd import handover, hopeless, interrupt

HOPELESS, FAULT, TRY_AGAIN = 1, 70, 75  # exit codes

SPOKEN = (  # errors that speak to the user, by the module that they are in
    ("hkd.settings.origins", "ConfigError"),
    ("hkd.store.refusals", "ArtifactError"),
    ("hkd.data", "DataError"),
    ("hkd.training.nonfinite", "Diverged"),
    ("hkd.training.parts", "Indivisible"),
    ("hkd.metrics.features.inputs", "MetricError"),
    ("hkd.diffusion.adaptive", "SolveError"),
)
RENAMED = {"--profile": "--benchmark"}  # options of earlier versions


def main() -> None:
    """Run the command line."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal without a character shows its number
            stream.reconfigure(errors="backslashreplace")
    try:
        code = _run()
    except Exception as error:  # a fault of ours, or of the machine: its exit code is not that of wrong settings
        traceback.print_exc()
        _show_beyond_log(f"{type(error).__name__}: {error}")
        code = FAULT
    sys.exit(code)


def _run() -> int:
    if (words := hopeless.said(sys.argv)) is not None:
        return _tell(words)
    try:
        try:
            interrupt.install()  # before the slow imports: a signal during start-up must not be lost
        except ValueError as error:
            return _tell(str(error))
        if (code := handover.run()) is not None:
            return code
        interrupt.watch()
        code = _command()
        interrupt.over()
        return code
    except interrupt.Interrupted:
        print("hkd: stopped on request; what is finished is saved, the same command goes on from here", file=sys.stderr)
        return interrupt.EXIT_CODE


def _command() -> int:
    import typer

    from hkd.cli import commands

    # pydantic would read the metadata of every installed package in search of plugins, at every start
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")

    for argument in sys.argv[1:]:
        if (old := argument.partition("=")[0]) in RENAMED:
            return _tell(f"option {old} is now {RENAMED[old]}; benchmarks lie in configs/benchmarks")
    try:
        asked = sys.argv[1] if len(sys.argv) > 1 and not sys.argv[1].startswith("-") else None
        return int(commands(asked)(standalone_mode=False) or 0)
    except typer.Exit as leave:
        return leave.exit_code
    except typer.TyperException as error:
        show = getattr(error, "show", None)
        show() if show else print(f"hkd: {error}", file=sys.stderr)
        return int(getattr(error, "exit_code", 1))
    except (ValueError, RuntimeError, MemoryError) as error:
        spoken = isinstance(error, _spoken())
        if not spoken and (said := _of_machine(error)):
            return _tell(f"{said}; the same command goes on from here", TRY_AGAIN)
        if not spoken:
            raise
        from hkd.store.refusals import Refused

        if isinstance(error, Refused):
            return _tell(str(error), TRY_AGAIN)
        hopeless.remember(sys.argv, str(error))
        return _tell(str(error))
    except OSError as error:
        from hkd.store.refusals import refusal

        refused = refusal(error, error.filename or "output", "open")
        if refused is None:
            raise
        return _tell(str(refused), TRY_AGAIN)


def _of_machine(error: Exception) -> str | None:
    """Return what failed if a GPU did, or if it or this machine has no memory left, as torch says it."""
    from hkd.store.refusals import of_memory

    first = str(error).partition("\n")[0] or type(error).__name__
    if of_memory(error):
        return f"out of memory: {first}; end what else uses it (nvidia-smi, top), or ask for less at a time"
    if type(error).__name__ == "AcceleratorError" or first.startswith("CUDA error"):
        return f"the device failed: {first}; look at nvidia-smi"
    return None


def _tell(message: str, code: int = HOPELESS) -> int:
    for line in message.splitlines():
        print(f"hkd: {line}", file=sys.stderr)
    _show_beyond_log(message)
    return code


def _show_beyond_log(message: str) -> None:
    """Print the reason of a job's failure where its workflow is watched, before all that Snakemake says of it."""
    with suppress(OSError):
        if "HKD_WORKFLOW_PID" in os.environ and stat.S_ISREG(os.fstat(2).st_mode):
            print(f"hkd: {message}\n     log: {os.readlink('/proc/self/fd/2')}", flush=True)


def _spoken() -> tuple[type[Exception], ...]:
    """Return the errors of loaded modules; one that is not loaded has raised nothing."""
    return tuple(getattr(sys.modules[module], name) for module, name in SPOKEN if module in sys.modules)


if __name__ == "__main__":
    main()
