"""Images: procedural, read from disk, or of distributions whose denoiser is known exactly; stored trajectories."""

from collections.abc import Sequence

SHOWN = 5


class DataError(ValueError):
    """Input images cannot be used. The message names the file, what was found, what was expected and the remedy.

    It quotes file names and library errors, which anyone may have written, so it is kept to one printable line: what
    does not print is written as Python would, a newline as \\n.
    """

    def __init__(self, message: str) -> None:
        super().__init__(printable(message))


def printable(text: str) -> str:
    """Return a text on one line, in which letters that do not print are written as Python would."""
    return "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text)


def shortened(names: Sequence[str]) -> str:
    """Return the first names of a list, and how many more there are."""
    more = [f"... ({len(names) - SHOWN:,} more)"] if len(names) > SHOWN else []
    return ", ".join([*names[:SHOWN], *more])
