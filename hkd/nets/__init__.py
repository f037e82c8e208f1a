"""Networks: U-Nets in two halves, their preconditioning, and a small feature network."""

from hkd.nets.config import NetworkConfig, build

__all__ = ["NetworkConfig", "build"]
