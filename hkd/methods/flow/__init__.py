"""Rectified flows."""
