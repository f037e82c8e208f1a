"""Files of results: where they lie, and reading and writing them so that a file is complete or absent."""
