"""Pictures: procedural, read from disk, or made so that every answer is known."""
