"""Hierarchical Koopman Diffusion and every baseline of its tables: a reproducibility harness."""

__version__ = "0.1.0"
