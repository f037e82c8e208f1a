"""One class per method: its objective and its sampler."""
