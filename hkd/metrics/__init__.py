"""Scores of generated images, computed from arrays and callables, whichever method made the images."""
