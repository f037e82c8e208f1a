"""A metrics file that lacks a protocol, or is wrongly called FID, is refused."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from hkd.metrics.features.extract import FunctionExtractor
from hkd.metrics.features.inputs import MetricError
from hkd.metrics.measure import measure, reference_arrays
from hkd.metrics.schema import check_metrics
from hkd.settings.columns import scores_of


@pytest.fixture(scope="module")
def content(generated: np.ndarray, real: np.ndarray, extractor: FunctionExtractor) -> dict[str, Any]:
    columns = ["fid_torch_fidelity"]
    reference = reference_arrays(real, {"own": extractor}, scores_of(columns))
    scores = measure(generated, reference, {"own": extractor}, columns)
    return json.loads(json.dumps({**scores, "config_digest": "abc"}))


def test_the_result_of_measure_fits_the_schema(content: dict[str, Any]) -> None:
    record = check_metrics(content, where="metrics.json")
    assert record.protocols["fid_torch_fidelity"].preprocessing == "A"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scores": {"fid_own": float("nan"), "fdn": 1.0}}, "fid_own is nan, no distance"),
        ({"scores": {"fid_own": 1.0, "fdn": "low"}}, "scores.fdn: "),
        ({"scores": {"fid_own": 1.0}}, "fdn is missing"),
        ({"scores": {"fid_own": 1.0, "fdn": 1.0, "fid_clean_fid": 1.0}}, "fid_clean_fid has no protocol"),
        ({"metric": "IS"}, "metric: "),
        ({"metric": "FID"}, "called FID with the extractor 'FD-tiny'"),
        ({"n_generated": 50}, "fid_own is of 203 images, the file of 50"),
    ],
)
def test_an_entry_that_does_not_fit_is_named(content: dict[str, Any], change: dict[str, Any], message: str) -> None:
    with pytest.raises(MetricError, match=f"metrics.json: .*{message}.*; rerun the scoring stage"):
        check_metrics({**content, **change}, where="metrics.json")
