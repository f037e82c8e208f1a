"""Scores of generated images, computed from arrays and callables, whoever made them."""
