"""A small HKD network, for the tests of the operator."""

from tests.koopman.networks import make_net, noise

__all__ = ["make_net", "noise"]
