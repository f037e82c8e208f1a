"""Multi-step diffusion models."""
