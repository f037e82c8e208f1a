"""Scores: functions from features to numbers."""
