"""The parser: every command of stages and studies, in groups by what a reader wants to do."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperGroup

GROUPS = ("stages", "look and edit", "compare and report", "your own images", "maintain")
STAGES = (  # in the order in which the workflow runs them
    *("prepare", "extractor", "trajectories", "train", "sample", "reference", "features", "metrics"),
    *(
        "trajectory_error",
        "table",
        "figure",
        "distance",
        "reference_distance",
        "config",
        "plan",
        "fetch",
        "data",
        "import_weights",
        "ports",
        "records",
        "spent",
        "ship",
        "findings",
    ),
)
STUDIES = Path(__file__).resolve().parent / "studies"
WIDTH = 100  # columns of help, so that every command keeps one line


class _Grouped(TyperGroup):
    """A group whose help lists commands under headings, one unbroken line each."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the sections of the help."""
        longest = max((len(name) for name in self.commands), default=0)
        for group in GROUPS:
            named = [(name, item) for name, item in self.commands.items() if _group_of(item) == group]
            if named:
                with formatter.section(group.capitalize()):
                    for name, item in named:
                        formatter.write(f"  {name:{longest}}  {item.short_help or item.get_short_help_str(WIDTH)}\n")


def _nothing() -> None:
    return None


def _group_of(command: Any) -> str:
    return str(getattr(command, "rich_help_panel", None) or "")


class Commands:
    """The command line while it is put together.

    Attributes:
        only: the one command that will be called; the parser is told of no other, which halves its start. None: of all.
    """

    def __init__(self, only: str | None = None) -> None:
        self.only = only
        self.names: set[str] = set()
        self.app = typer.Typer(
            name="hkd",
            cls=_Grouped,
            help="Reproduce Hierarchical Koopman Diffusion and its baselines, stage by stage.\n\n"
            "Each command is one stage of the workflow: `snakemake --cores all results/table1.csv` runs them all.",
            no_args_is_help=True,
            add_completion=False,
            pretty_exceptions_enable=False,
            rich_markup_mode=None,
            context_settings={"max_content_width": WIDTH},
        )
        self.app.callback()(_nothing)  # or typer would take an application of one command for the command itself
        self._figures = self._section("figure", "Draw a figure as PDF, PNG and caption", "compare and report")
        self._data = self._section("data", "Keep data sets in one form, and check them", "stages")
        self._config = self._section("config", "Look at settings", "look and edit")

    def add(self, command: Callable[..., None], *, group: str, short: str, name: str | None = None) -> None:
        """Add a command; `short` is its line in the list of commands."""
        called = name or command.__name__.replace("_", "-")
        self.names.add(called)
        if self.only in (None, called):
            self.app.command(called, short_help=short, rich_help_panel=group)(command)

    def add_figure(self, command: Callable[..., None], name: str | None = None) -> None:
        """Add a command to `hkd figure`."""
        self._figures.command(name)(command)

    def add_data(self, command: Callable[..., None], name: str | None = None) -> None:
        """Add a command to `hkd data`."""
        self._data.command(name)(command)

    def add_config(self, command: Callable[..., None], name: str | None = None) -> None:
        """Add a command to `hkd config`."""
        self._config.command(name)(command)

    def _section(self, name: str, about: str, group: str) -> typer.Typer:
        self.names.add(name)
        made = typer.Typer(help=f"{about}.", no_args_is_help=True, rich_markup_mode=None)
        if self.only in (None, name):
            self.app.add_typer(made, name=name, short_help=about, rich_help_panel=group)
        return made


def commands(only: str | None = None) -> typer.Typer:
    """Return the command line: the stages, then the commands of every study that has any.

    Args:
        only: a command's name: the parser knows that one alone, if there is one of that name.
    """
    cli = Commands(only)
    studies = sorted(path.parent.name for path in STUDIES.glob("*/command.py"))
    for module in (*(f"stages.{name}" for name in STAGES), *(f"studies.{name}.command" for name in studies)):
        importlib.import_module(f"hkd.{module}").register(cli)
    return commands() if only is not None and only not in cli.names else cli.app
