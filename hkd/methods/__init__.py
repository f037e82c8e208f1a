"""Training methods, one class each: its objective and its sampler."""
