"""The anonymous memory of features and scores does not follow the number of images: what does lies in mapped files."""

from __future__ import annotations

import pytest

from tests.memory import MIB, peaks_of

FEATURES = """
import json, sys
from pathlib import Path
import numpy as np
from hkd.metrics.features import cache
from hkd.metrics.measure import reference_arrays, sample_arrays
from hkd.store.artifacts import map_arrays, save_arrays
from hkd.store.large_arrays import Joined
from memory import peak
from metrics.stand_ins import tiny_extractor

cache.CHUNK = 64  # images that a library holds as files
folder, few = Path(sys.argv[1]), int(sys.argv[2])
names, networks = ["fid_own", "fid_torch_fidelity", "kid"], {"own": tiny_extractor(dim=64, size=24)}
drawn = np.random.default_rng(0)
for count in (few, 4 * few):
    pieces = lambda: (drawn.integers(0, 256, (1, 3, 256, 256), np.uint8) for _ in range(count))
    save_arrays(folder / f"{count}.npz", {"images": Joined((count, 3, 256, 256), np.dtype(np.uint8), pieces)})
images = map_arrays(folder / f"{few}.npz", "sample")["images"]
save_arrays(folder / "reference.npz", reference_arrays(images, networks, names, scratch=folder))

def features(count):
    images = map_arrays(folder / f"{count}.npz", "sample")["images"]
    known = map_arrays(folder / "reference.npz", "reference")
    save_arrays(folder / "out.npz", sample_arrays(images, networks, names, known, scratch=folder))

features(few)
print(json.dumps({str(count): peak(lambda: features(count)) for count in (few, 4 * few)}))
"""

SCORES = """
import json, sys
from pathlib import Path
import numpy as np
from hkd.metrics.scoring import FeatureSet, score
from hkd.store.artifacts import map_arrays, save_arrays
from memory import peak

folder, few = Path(sys.argv[1]), int(sys.argv[2])
facts = {"own": {"name": "FD-drawn", "input_size": 8, "dim": 256, "digest": "0" * 64}}
about = {"eyes": np.array(json.dumps(facts)), "images_digest": np.array("x"), "split": np.array("")}
drawn = np.random.default_rng(0)
for count in (few, 4 * few):
    rows = drawn.standard_normal((count, 256), np.float32)
    save_arrays(folder / f"{count}.npz", {"own_A": rows, "n": np.array(count), **about})
del rows

def scored(count):
    sample, known = (map_arrays(folder / f"{n}.npz", "features") for n in (count, few))
    score(["fid_own", "fdn"], FeatureSet(sample, "sample"), FeatureSet(known, "reference"))

scored(few)
print(json.dumps({str(count): peak(lambda: scored(count)) for count in (few, 4 * few)}))
"""


@pytest.mark.slow
@pytest.mark.ci
def test_features_of_four_times_as_many_images_take_no_more_memory(tmp_path):
    """236 MB more of pixels, which were once held beside their copy, in less than a tenth of that."""
    found = peaks_of(FEATURES, tmp_path, 400)
    more = 1200 * 3 * 256**2
    assert more > 224 * MIB and found["1600"] - found["400"] < 0.1 * more, found


@pytest.mark.slow
def test_scores_of_four_times_as_many_features_take_no_more_memory(tmp_path):
    """24 MB more of features, which were once read whole, in less than a sixth of that."""
    found = peaks_of(SCORES, tmp_path, 8192)
    more = 3 * 8192 * 256 * 4
    assert more == 24 * MIB and found["32768"] - found["8192"] < more / 6, found
