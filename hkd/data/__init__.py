"""Pictures: procedural, read from disk, or made so that every answer is known."""


class DataError(ValueError):
    """Input images cannot be used. The message names the file, what was found, what was expected and the remedy."""
