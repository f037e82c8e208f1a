"""Networks: U-Nets in two halves, their preconditioning, and a small feature network."""

from hkd.nets.assemble import build
from hkd.nets.presets import NetworkConfig

__all__ = ["NetworkConfig", "build"]
