"""A small HKD network and images to measure, for the tests of studies."""

from tests.koopman.networks import make_net, noise
from tests.metrics.conftest import extractor, generated, no_network, photos, real

__all__ = ["extractor", "generated", "make_net", "no_network", "noise", "photos", "real"]
