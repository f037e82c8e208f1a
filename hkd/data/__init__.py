"""Images: procedural, read from disk, or of distributions whose denoiser is known exactly; stored trajectories."""

from hkd.store.lines import printable


class DataError(ValueError):
    """Input images cannot be used. The message names the file, what was found, what was expected and the remedy.

    It quotes file names and library errors, which anyone may have written, so it is kept to one printable line: what
    does not print is written as Python would, a newline as \\n.
    """

    def __init__(self, message: str) -> None:
        super().__init__(printable(message))
