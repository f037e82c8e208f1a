"""Weights that others released, as tensors under our names: readers of their files, in which nothing ever runs."""
