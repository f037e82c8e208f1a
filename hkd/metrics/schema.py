"""The schema of a metrics file: every number has its protocol, and only FID is called FID."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from hkd.metrics.features.inputs import MetricError
from hkd.settings.columns import ALWAYS

SCHEMA_VERSION = 2
ROUNDING = -1e-3  # library distances of equal sets come out slightly negative


class ProtocolRecord(BaseModel):
    """The protocol of one number; see `protocols.NumberProtocol`."""

    model_config = ConfigDict(extra="forbid")

    name: str
    score: str
    computed_by: str
    preprocessing: str = Field(pattern="^([A-E]|none)$")
    resize: str
    value_map: str
    quantisation: str
    layer: str
    dtype: str
    mean_dtype: str = Field(pattern="^float(32|64)$")
    ddof: int = Field(ge=0, le=1)
    root: str
    extractor: str
    extractor_digest: str = Field(min_length=8)
    dim: int = Field(ge=1)
    reference_digest: str
    reference_split: str
    n_generated: int = Field(ge=2)
    n_reference: int = Field(ge=0)
    ranges: int = Field(ge=1)
    estimate: list[str]
    versions: dict[str, str]


class MetricsRecord(BaseModel):
    """One metrics file: the scores of `scoring.score`, each with its protocol, and what a stage adds."""

    model_config = ConfigDict(extra="allow")

    metric: str = Field(pattern="^(FID$|FD-)")
    scores: dict[str, float]
    n_generated: int = Field(ge=2)
    n_reference: int = Field(ge=2)
    extractor: str
    extractor_digest: str
    generated_digest: str
    reference_digest: str
    protocols: dict[str, ProtocolRecord]

    @model_validator(mode="after")
    def _every_number_has_its_protocol(self) -> MetricsRecord:
        for missing in sorted(set(ALWAYS) - self.scores.keys()):
            raise ValueError(f"{missing} is missing")
        for key, value in self.scores.items():
            name, _, size = key.partition("~")[0].partition("@")
            if not math.isfinite(value) or (name.startswith("fid") and "infinity" not in name and value < ROUNDING):
                raise ValueError(f"{key} is {value!r}, no distance")
            if key not in self.protocols:
                raise ValueError(f"{key} has no protocol")
            n = int(size) if size else self.n_generated
            if self.protocols[key].n_generated != n:
                raise ValueError(f"{key} is of {self.protocols[key].n_generated} images, the file of {n}")
        if self.metric == "FID" and self.extractor != "FID":
            raise ValueError(f"called FID with the extractor '{self.extractor}'")
        return self


def check_metrics(content: Mapping[str, Any], *, where: str) -> MetricsRecord:
    """Return the content of a metrics file if it fits the schema.

    Raises:
        MetricError: naming the file, the key and what is wrong with it.
    """
    try:
        return MetricsRecord.model_validate(dict(content))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or "file"
        raise MetricError(f"{where}: {key}: {first['msg']}; rerun the scoring stage") from error
