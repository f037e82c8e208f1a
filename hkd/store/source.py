"""Find the source files of the package's own modules without importing them."""

from __future__ import annotations

from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]


@cache
def module_file(module: str) -> Path | None:
    """Return the file of a module or package, given by its dotted name; None where there is none in the package."""
    name, *parts = module.split(".")
    if name != PACKAGE.name or not all(part.isidentifier() for part in parts):
        return None
    base = PACKAGE.joinpath(*parts)
    return next((path for path in (base.with_suffix(".py"), base / "__init__.py") if path.is_file()), None)
