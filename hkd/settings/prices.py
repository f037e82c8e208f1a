"""The checked settings of configs/costs.yaml: what work costs, measured once, for forecasts."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from hkd.settings.origins import Section
from hkd.settings.sections import Positive

Milliseconds = Annotated[float, Field(gt=0, le=1e9)]


class ExtractorCosts(Section):
    """Of an image of a training step of either small network."""

    metric: Milliseconds
    perceptual: Milliseconds


class Costs(Section):
    """CPU-milliseconds of one thread, per image of `side` pixels, under networks of `channels`.

    `job`: of a process that does nothing.
    """

    side: Positive
    channels: Positive
    forward: Milliseconds
    step: Milliseconds
    perceptual: Milliseconds
    extractor: ExtractorCosts
    photographs: Milliseconds
    job: Milliseconds
