"""Figures that several studies share, drawn from stored arrays."""
