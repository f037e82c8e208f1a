"""The `hkd` command: turns mistakes into one line each, and a request to stop into exit code 85."""

from __future__ import annotations

import sys

from hkd import interrupt


def main() -> None:
    """Run the command line."""
    interrupt.install()  # before the slow imports: a signal during start-up must not be lost
    sys.exit(_run())


def _run() -> int:
    try:
        return _command()
    except interrupt.Interrupted:
        print("hkd: stopped on request; what is finished is saved, the same command goes on from here", file=sys.stderr)
        return interrupt.EXIT_CODE


def _command() -> int:
    import typer

    from hkd.cli import app
    from hkd.settings.origins import ConfigError
    from hkd.store.artifacts import ArtifactError, refusal

    try:
        return int(app(standalone_mode=False) or 0)
    except typer.Exit as leave:
        return leave.exit_code
    except typer.TyperException as error:
        show = getattr(error, "show", None)
        show() if show else print(f"hkd: {error}", file=sys.stderr)
        return int(getattr(error, "exit_code", 1))
    except (ConfigError, ArtifactError) as error:
        return _tell(error)
    except (ValueError, RuntimeError) as error:
        if not isinstance(error, _spoken()):
            raise
        return _tell(error)
    except OSError as error:
        refused = refusal(error, error.filename or "output")
        if refused is None:
            raise
        return _tell(refused)


def _tell(error: Exception) -> int:
    for line in str(error).splitlines():
        print(f"hkd: {line}", file=sys.stderr)
    return 1


def _spoken() -> tuple[type[Exception], ...]:
    """Errors of loaded stages that speak to the user; a module that is not loaded has raised nothing."""
    named = (
        ("hkd.data", "DataError"),
        ("hkd.training.loop", "Diverged"),
        ("hkd.metrics.features.inputs", "MetricError"),
        ("hkd.diffusion.adaptive", "SolveError"),
    )
    return tuple(getattr(sys.modules[module], name) for module, name in named if module in sys.modules)


if __name__ == "__main__":
    main()
