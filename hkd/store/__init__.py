"""Files, whole or not at all: what every stage leaves, and where it lies."""
