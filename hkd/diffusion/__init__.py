"""Noise schedules, samplers and solved trajectories."""
