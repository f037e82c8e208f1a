"""A stored analysis: the arrays that the figure reads, in their order, bytes where nothing else is needed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from hkd.studies.interpretability.analysis import spectrum_of_run

SETTINGS = {
    "order_by": "alpha",
    "ascending": True,
    "edges": (0.5,),
    "times": 3,
    "substitutes": ("zero", "mean"),
    "groups": 4,
    "moments": 3,
}


@pytest.fixture(scope="module")
def found(results, study_plan):
    weights = study_plan.layout.run("shapes8", "methods/hkd", 0).weights
    ticks = []
    arrays = spectrum_of_run(
        Path(weights), 0, torch.device("cpu"), images=4, batch=3, tick=lambda: ticks.append(1), **SETTINGS
    )
    return arrays, ticks


def test_every_array_is_there_and_images_and_bands_are_bytes(found):
    arrays, _ = found
    per_level = [name for name in arrays if name.startswith(("eigenvalues/", "bands/"))]
    kinds = [
        f"{kind}/{key}" for kind in ("zero", "mean") for key in ("images", "power", "contribution", "leave_one_out")
    ]
    common = ["span", "sigmas", "latents", "energy", "images", "frequencies", "power"]
    assert list(arrays) == [*per_level, *common, *kinds, "groups/sigmas", "groups/images"]
    assert all(isinstance(values, np.ndarray) for values in arrays.values())
    as_bytes = {name for name, values in arrays.items() if values.dtype == np.uint8}
    shown = {"images", "zero/images", "mean/images", "groups/images"}
    assert as_bytes == {*shown, *(n for n in per_level if n.startswith("bands/"))}


def test_shapes_are_those_of_images_bands_and_times(found):
    arrays, ticks = found
    assert arrays["images"].shape == (4, 3, 8, 8) and arrays["zero/images"].shape == (2, 4, 3, 8, 8)
    assert arrays["energy"].shape == (len(arrays["latents"]), 3, 2)
    assert arrays["groups/images"].shape == (3, 5, 4, 3, 8, 8) and arrays["groups/sigmas"].shape == (3,)
    assert np.array_equal(arrays["groups/images"][-1, 0], arrays["images"])  # the whole image at eps
    assert arrays["mean/contribution"].shape == arrays["mean/leave_one_out"].shape == (3, 2)
    assert len(ticks) == 3  # one per noise level
