"""Our number and each library's agree within a preprocessing class on the same bytes, and have their protocol."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from hkd.metrics.features import cache as passes
from hkd.metrics.features import libraries
from hkd.metrics.features.cache import FeatureCache
from hkd.metrics.features.extract import FunctionExtractor, extract
from hkd.metrics.features.inputs import MetricError, images_digest
from hkd.metrics.features.preprocess import CLASSES
from hkd.metrics.measure import _library_features as library_features
from hkd.metrics.measure import measure, reference_arrays, sample_arrays
from hkd.metrics.protocols import IMPLEMENTATIONS
from hkd.metrics.scores.frechet import frechet_from_features
from hkd.metrics.scores.mind import describe, mind
from hkd.metrics.scores.moments import gaussian_of
from hkd.metrics.scoring import ExtractorFacts, FeatureSet, score
from hkd.plan.runs import Plan
from hkd.settings.columns import SCORES, scores_of
from hkd.store import bounded_arrays
from tests.memory import allocated
from tests.metrics.stand_ins import patches, tiny_extractor

ROOT = Path(__file__).resolve().parents[2]
ALL = ("torch_fidelity", "clean_fid", "pytorch_fid", "clean_fid_legacy_pytorch", "clean_fid_legacy_tensorflow")
COLUMNS = ("fdn", *(f"fid_{key}" for key in ALL), "fid_edm", "fid_dgm_eval", "fid_dgm_eval_clean", "fid_torchmetrics")
CLASS_MEMBERS = {  # with divisor n - 1; what divisor n and an offset inside the root do is tested with the protocols
    "A": ["fid_own", "fid_edm", "fid_adm", "fid_torch_fidelity", "fid_clean_fid_legacy_tensorflow"],
    "B": ["fid_dgm_eval", "fid_image_generation_metrics", "fid_pytorch_fid", "fid_clean_fid_legacy_pytorch"],
    "C": ["fid_clean_fid"],
    "D": ["fid_dgm_eval_clean"],
    "E": ["fid_torchmetrics"],
}


@pytest.fixture(scope="module")
def reference(real: np.ndarray, extractor: FunctionExtractor) -> dict[str, np.ndarray]:
    return stored(reference_arrays(real, {"own": extractor}, scores_of(COLUMNS), split="train"))


def stored(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The arrays after a way through a file."""
    file = io.BytesIO()
    np.savez(file, **arrays)
    file.seek(0)
    with np.load(file, allow_pickle=False) as loaded:
        return {key: loaded[key] for key in loaded.files}


@pytest.fixture(scope="module")
def scores(generated: np.ndarray, reference: dict[str, np.ndarray], extractor: FunctionExtractor) -> dict:
    return measure(generated, reference, {"own": extractor}, COLUMNS, claimed=203)


@pytest.mark.parametrize("library", ALL)
def test_each_library_agrees_with_ours_within_its_class(
    scores: dict, library: str, generated: np.ndarray, real: np.ndarray, extractor: FunctionExtractor
) -> None:
    kind = IMPLEMENTATIONS[libraries.LIBRARIES[library].implementation].preprocessing
    ours = frechet_from_features(extract(generated, extractor, kind), extract(real, extractor, kind)).distance
    assert scores["scores"][f"fid_{library}"] == pytest.approx(ours, rel=1e-4)
    assert scores["protocols"][f"fid_{library}"]["computed_by"] in ("torch-fidelity", "clean-fid", "pytorch-fid")


@pytest.fixture(scope="module")
def of_shrunk_images() -> dict[str, float]:
    """What every column says of crops of 56 pixels through a network of 24, which is given the map of the class."""
    tiny = tiny_extractor()

    def features(levels: torch.Tensor) -> torch.Tensor:
        seen = (levels - 128) / 128  # the network's own map; what it is shown makes this the class's
        return tiny(127.5 * (torch.exp(seen) - 0.4))  # not linear: a shift of all levels does not cancel

    eye = replace(tiny, name="FD-mapped", function=features, value_map="class")
    names = [name for members in CLASS_MEMBERS.values() for name in members]
    real, generated = patches(120, 3, resolution=56), patches(110, 4, resolution=56)
    known = reference_arrays(real, {"own": eye}, scores_of(names))
    return measure(np.minimum(generated, 205) + np.uint8(50), known, {"own": eye}, names)["scores"]


@pytest.mark.parametrize("kind", CLASS_MEMBERS)
def test_columns_of_one_preprocessing_class_agree(of_shrunk_images: dict[str, float], kind: str) -> None:
    first, *others = (of_shrunk_images[name] for name in CLASS_MEMBERS[kind])
    assert others == pytest.approx([first] * len(others), rel=1e-4)


def test_columns_of_different_preprocessing_classes_differ(of_shrunk_images: dict[str, float]) -> None:
    """Shrinking tells antialiased resizes from the others, and the value map is all that tells C from D."""
    values = sorted((of_shrunk_images[names[0]], kind) for kind, names in CLASS_MEMBERS.items())
    assert len(values) == 5
    for (low, below), (high, above) in pairwise(values):
        assert high - low > 2e-3 * low, f"{below} and {above}"


def test_a_set_against_itself_scores_zero(
    real: np.ndarray, reference: dict[str, np.ndarray], extractor: FunctionExtractor
) -> None:
    scores = measure(real, reference, {"own": extractor}, COLUMNS)["scores"]
    assert scores["fdn"] < 1e-8
    assert max(abs(scores[f"fid_{key}"]) for key in ALL) < 1e-6


def test_torch_fidelity_run_from_end_to_end_gives_the_same_number(
    generated: np.ndarray, real: np.ndarray, extractor: FunctionExtractor, scores: dict
) -> None:
    torch_fidelity = pytest.importorskip("torch_fidelity")
    found = torch_fidelity.calculate_metrics(
        input1=libraries._ByteImages(generated),
        input2=libraries._ByteImages(real),
        feature_extractor=libraries.torch_fidelity_name(extractor),
        fid=True,
        cuda=False,
        cache=False,
        save_cpu_ram=True,
        verbose=False,
    )
    assert scores["scores"]["fid_torch_fidelity"] == found["frechet_inception_distance"]


def test_clean_fid_on_a_folder_gives_the_same_number(
    generated: np.ndarray, extractor: FunctionExtractor, tmp_path: Path
) -> None:
    from PIL import Image

    for i, image in enumerate(generated[:20]):
        Image.fromarray(image.transpose(1, 2, 0)).save(tmp_path / f"{i:03}.png")
    size = (extractor.input_size, extractor.input_size)
    folder = pytest.importorskip("cleanfid.fid").get_folder_features(
        str(tmp_path),
        model=libraries._levels_to_features(extractor, CLASSES["C"], inside=False),
        num_workers=0,
        batch_size=64,
        device=torch.device("cpu"),
        mode="clean",
        verbose=False,
        custom_fn_resize=pytest.importorskip("cleanfid.resize").make_resizer("PIL", False, "bicubic", size),
    )
    np.testing.assert_allclose(libraries.clean_fid_features(generated[:20], extractor), folder, rtol=1e-5)


@pytest.mark.parametrize(("mode", "kind"), [("clean", "C"), ("legacy_pytorch", "B"), ("legacy_tensorflow", "A")])
def test_each_mode_of_clean_fid_is_one_class(
    generated: np.ndarray, extractor: FunctionExtractor, mode: str, kind: str
) -> None:
    theirs = libraries.clean_fid_features(generated[:30], extractor, mode=mode, batch=16)
    np.testing.assert_allclose(theirs, extract(generated[:30], extractor, kind), atol=2e-5)


def test_batch_size_does_not_change_features(generated: np.ndarray, extractor: FunctionExtractor) -> None:
    np.testing.assert_allclose(
        extract(generated, extractor, batch=7), extract(generated, extractor, batch=100), rtol=1e-5, atol=1e-6
    )


def test_every_number_carries_its_protocol(scores: dict) -> None:
    protocols = scores["protocols"]
    assert set(protocols) == set(scores["scores"]) == {"fid_own", *COLUMNS}
    assert protocols["fid_torch_fidelity"]["mean_dtype"] == "float32"
    assert protocols["fid_clean_fid"]["resize"] == "pil-bicubic to 24"
    assert protocols["fid_pytorch_fid"]["versions"]["pytorch-fid"]
    assert (protocols["fid_edm"]["name"], protocols["fid_edm"]["computed_by"]) == ("edm", "hkd")
    assert protocols["fid_own"]["reference_split"] == "train"
    assert json.loads(json.dumps(scores))["protocols"]["fid_own"]["n_generated"] == 203


def test_a_small_sample_is_marked_an_estimate(
    generated: np.ndarray, reference: dict[str, np.ndarray], extractor: FunctionExtractor, scores: dict
) -> None:
    assert scores["protocols"]["fid_own"]["estimate"] == []
    found = measure(generated[:16], reference, {"own": extractor}, ["fdn"], nominal=100)
    rank, nominal = found["protocols"]["fdn"]["estimate"]
    assert rank == "generated n = 16 is not above the feature dimension 16"
    assert nominal == "generated n = 16 is below the nominal 100"


def test_copies_of_one_image_are_named(
    generated: np.ndarray, reference: dict[str, np.ndarray], extractor: FunctionExtractor
) -> None:
    found = measure(np.repeat(generated[:1], 40, axis=0), reference, {"own": extractor}, ["fdn", "kid"])
    for name in ("fid_own", "fdn", "kid"):
        assert np.isfinite(found["scores"][name])
        assert "all 40 generated images look the same to the network" in found["protocols"][name]["estimate"][0]
    with pytest.raises(MetricError, match="all 40 are copies of one, and have no covariance; look at their source"):
        reference_arrays(np.repeat(generated[:1], 40, axis=0), {"own": extractor}, ["fdn"])
    for few in (generated[:1], generated[:0]):
        with pytest.raises(MetricError, match="have no covariance; give or sample at least 2"):
            reference_arrays(few, {"own": extractor}, ["fdn"])


def test_every_number_of_a_network_below_its_bar_says_so(
    generated: np.ndarray, real: np.ndarray, extractor: FunctionExtractor
) -> None:
    weak = replace(extractor, skill=0.1, reads="label 0.190 where guessing has 0.100")
    known = reference_arrays(real, {"own": weak}, ["fdn", "kid", "fid_own"])
    for bar, count in ((0.5, 1), (0.1, 0), (0.0, 0)):
        found = measure(generated, known, {"own": weak}, ["fdn", "kid"], bar=bar)["protocols"]
        assert all(len(protocol["estimate"]) == count for protocol in found.values())


def test_a_score_at_a_common_number_is_that_of_the_first_images(
    generated: np.ndarray, reference: dict[str, np.ndarray], extractor: FunctionExtractor
) -> None:
    found = measure(generated, reference, {"own": extractor}, ["fdn"], sizes=(50,))
    alone = measure(generated[:50], reference, {"own": extractor}, ["fdn"])
    assert found["scores"]["fid_own@50"] == pytest.approx(alone["scores"]["fid_own"], rel=1e-6)
    assert found["scores"]["fdn@50"] == pytest.approx(alone["scores"]["fdn"], rel=1e-6)
    assert found["protocols"]["fid_own@50"]["n_generated"] == 50
    with pytest.raises(MetricError, match="score of 500 images: there are 203"):
        measure(generated, reference, {"own": extractor}, ["fdn"], sizes=(500,))


def test_mind_is_of_as_many_reference_rows_and_its_protocol_names_the_directions(
    generated: np.ndarray, real: np.ndarray, extractor: FunctionExtractor
) -> None:
    reference = stored(reference_arrays(real, {"own": extractor}, scores_of(["mind"]), split="train"))
    found = measure(generated, reference, {"own": extractor}, ["mind"], sizes=[50])
    rows = extract(generated, extractor, "A")
    assert found["scores"]["mind"] == mind(rows, reference["own_A"])
    assert found["scores"]["mind@50"] == mind(rows[:50], reference["own_A"])
    layer = f"penultimate, along {describe(rows.shape[1])}, against as many rows of the reference"
    assert found["protocols"]["mind"]["layer"] == found["protocols"]["mind@50"]["layer"] == layer


def test_disjoint_ranges_give_mean_spread_and_minimum(
    generated: np.ndarray, reference: dict[str, np.ndarray], extractor: FunctionExtractor
) -> None:
    found = measure(generated, reference, {"own": extractor}, ["fid_torch_fidelity"], ranges=3)["scores"]
    parts = [generated[:67], generated[67:134], generated[134:201]]
    alone = [measure(part, reference, {"own": extractor}, ["fid_torch_fidelity"])["scores"] for part in parts]
    for name in ("fid_own", "fid_torch_fidelity"):
        values = [item[name] for item in alone]
        assert found[name] == pytest.approx(np.mean(values), rel=1e-5)
        assert found[f"{name}~sd"] == pytest.approx(np.std(values, ddof=1), rel=1e-4)
        assert found[f"{name}~min"] == pytest.approx(min(values), rel=1e-5)


def test_no_number_is_called_fid_without_the_published_weights(
    real: np.ndarray, extractor: FunctionExtractor, scores: dict
) -> None:
    assert scores["metric"] == "FD-tiny"
    for name in ("FID", "FID-random", "inception"):
        with pytest.raises(MetricError, match="a number from it is no FID"):
            reference_arrays(real, {"own": replace(extractor, name=name)}, ["fdn"])


def test_a_reference_of_another_extractor_or_for_other_columns_is_refused(
    generated: np.ndarray, reference: dict[str, np.ndarray], extractor: FunctionExtractor
) -> None:
    with pytest.raises(MetricError, match="weights 000000000000; rebuild the reference"):
        measure(generated, reference, {"own": replace(extractor, digest="0" * 64)}, ["fdn"])
    with pytest.raises(MetricError, match=r"reference: holds no 'own_A_spatial'.*run `hkd reference` again"):
        measure(generated, reference, {"own": layered(extractor)}, ["sfid"])


def test_fewer_images_than_claimed_are_refused(
    generated: np.ndarray, reference: dict[str, np.ndarray], extractor: FunctionExtractor
) -> None:
    with pytest.raises(MetricError, match="500 images claimed, 203 found"):
        measure(generated, reference, {"own": extractor}, ["fdn"], claimed=500)


def layered(extractor: FunctionExtractor) -> FunctionExtractor:
    """The extractor with its features as logits and as spatial maps too."""

    def layers(levels: torch.Tensor) -> dict[str, torch.Tensor]:
        found = extractor.function(levels)
        return {"features": found, "logits": 10 * found, "spatial": found[:, :7]}

    return replace(extractor, further=layers)


OTHERS = ("_inception", "_dinov2", "_clip", "_effnet", "_effnet64")  # networks that are not at hand
EVERYTHING = [name for name in SCORES if not name.endswith((*OTHERS, "bootstrap"))]


def test_every_score_is_made_of_one_pass_per_network_and_class(
    generated: np.ndarray, real: np.ndarray, extractor: FunctionExtractor
) -> None:
    passes = []

    def counted(eye: FunctionExtractor, name: str) -> FunctionExtractor:
        def layers(levels: torch.Tensor) -> dict[str, torch.Tensor]:
            passes.append(name)
            return dict(layered(extractor).layers(levels))

        return replace(eye, further=layers)

    ours = [name for name in EVERYTHING if SCORES[name].kind != "library"]
    eyes = {"own": counted(extractor, "own"), "perceptual": extractor}
    beside = {"lpips_diversity": (ExtractorFacts("distance", 0, 1, "d" * 64), lambda images: 0.25)}
    known = reference_arrays(real[:64], eyes, ours)
    assert passes == ["own"], "64 images are one batch; logits and spatial come with the features"
    found = measure(generated[:60], known, eyes, ours, network_scores=beside)
    assert set(found["scores"]) == set(ours)
    assert all(np.isfinite(value) for value in found["scores"].values())
    assert found["scores"]["fd_perceptual"] != found["scores"]["fid_own"], "another class of images"
    assert found["protocols"]["sfid"]["layer"] == "spatial" and found["protocols"]["sfid"]["dim"] == 7
    assert found["protocols"]["lpips_diversity"]["extractor"] == "distance"


def test_a_further_column_needs_no_second_pass(
    generated: np.ndarray,
    real: np.ndarray,
    extractor: FunctionExtractor,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    names = scores_of(["fid_torch_fidelity"])
    known = reference_arrays(real, {"own": extractor}, names, cache=FeatureCache(tmp_path))
    first = sample_arrays(generated, {"own": extractor}, names, known, cache=FeatureCache(tmp_path))

    def asked(*arguments: object, **options: object) -> None:
        raise AssertionError("asked again")

    silent = replace(extractor, function=asked)
    names = scores_of(["fid_torch_fidelity", "kid", "precision"])
    again = reference_arrays(real, {"own": silent}, names, cache=FeatureCache(tmp_path))
    assert again.keys() == known.keys() | {"own_A_radii"}
    found = sample_arrays(generated, {"own": silent}, names, again, cache=FeatureCache(tmp_path))
    for key, array in first.items():
        np.testing.assert_array_equal(found[key], array)


def test_a_reference_holds_mean_and_covariance_of_all_images_with_digest_and_number(
    generated: np.ndarray, real: np.ndarray, reference: dict[str, np.ndarray], extractor: FunctionExtractor
) -> None:
    rows = extract(real, extractor, "A").astype(np.float64)
    assert reference["own_A_mu"].dtype == reference["own_A_sigma"].dtype == np.float64
    np.testing.assert_allclose(reference["own_A_mu"], rows.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(reference["own_A_sigma"], np.cov(rows, rowvar=False), rtol=1e-9, atol=1e-12)
    assert (int(reference["n"]), str(reference["split"])) == (len(real), "train")
    assert str(reference["images_digest"]) == images_digest(real)
    moved = reference | {"own_A_mu": reference["own_A_mu"] + 1.0}
    near, far = (measure(generated, known, {"own": extractor}, ["fdn"]) for known in (reference, moved))
    gap = rows.mean(axis=0) - extract(generated, extractor, "A").mean(axis=0)
    assert far["scores"]["fid_own"] - near["scores"]["fid_own"] == pytest.approx(16 + 2 * gap.sum(), rel=1e-3)
    few = reference_arrays(real[:10], {"own": extractor}, ["fdn"])
    assert "own_A_sigma" not in few, "below full rank the features themselves are the statistics"


def test_a_reference_keeps_features_only_where_rows_are_compared_with_rows(
    generated: np.ndarray, real: np.ndarray, extractor: FunctionExtractor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passes, "CHUNK", 64)
    eyes = {"own": layered(extractor), "perceptual": extractor}
    plain = ["fid_own", "sfid", "fd_perceptual", "fd_perceptual_bootstrap", "inception_score"]
    lean, full = (reference_arrays(real, eyes, names) for names in (plain, [*plain, "kd_perceptual", "fid_dgm_eval"]))

    def views(arrays: dict[str, np.ndarray]) -> set[str]:
        return {key for key in arrays if key[:4] in ("own_", "perc") and not key.endswith(("_mu", "_sigma"))}

    assert views(lean) == {"own_A"}, "which curves and bars are compared with"
    assert views(full) == {"own_A", "own_B", "perceptual_C"}
    for view in ("own_A", "own_A_spatial", "perceptual_C"):
        np.testing.assert_array_equal(lean[f"{view}_mu"], full[f"{view}_mu"])
    whole = gaussian_of(extract(real, extractor, "C"))
    np.testing.assert_array_equal(lean["perceptual_C_mu"], whole.mean)
    np.testing.assert_array_equal(lean["perceptual_C_sigma"], whole.covariance)
    for images in (generated, generated[:10]):  # of full rank and below it
        with_features, without = (measure(images, known, eyes, plain)["scores"] for known in (full, lean))
        assert without == with_features
    few = reference_arrays(real[:7], eyes, plain)
    assert views(few) == {"own_A", "own_A_spatial", "perceptual_C"}, "no more images than dimensions"


@pytest.mark.parametrize("key", ["torch_fidelity", "clean_fid", "pytorch_fid"])
def test_a_library_that_sees_a_chunk_at_a_time_makes_the_same_features(
    key: str, real: np.ndarray, extractor: FunctionExtractor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = libraries.LIBRARIES[key].features(real[:41], extractor, batch=8)
    monkeypatch.setattr(passes, "CHUNK", 8)  # chunks of 8 images, of which the last has 9
    for cache in (None, FeatureCache(tmp_path), FeatureCache(tmp_path)):
        chunked = library_features(libraries.LIBRARIES[key], real[:41], extractor, cache, 8)
        np.testing.assert_array_equal(chunked, whole)
    assert len(list(tmp_path.iterdir())) == 5


def test_features_in_files_are_the_same_bytes_and_have_the_same_scores(
    generated: np.ndarray,
    real: np.ndarray,
    extractor: FunctionExtractor,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Mapped from within an archive, where numbers do not lie at multiples of their size."""
    monkeypatch.setattr(bounded_arrays, "LEAST_MAPPED", 0)
    names = scores_of(["fid_own", "fdn", "fid_torch_fidelity", "fid_edm", "kid", "mind", "precision", "fid_infinity"])
    held, mapped = {}, {}
    for scratch in (None, tmp_path):
        known = reference_arrays(real, {"own": extractor}, names, scratch=scratch)
        found = sample_arrays(generated, {"own": extractor}, names, known, scratch=scratch)
        for side, arrays in (("sample", found), ("reference", known)):
            np.savez(tmp_path / f"{side}.npz", **arrays)
            read = (tmp_path / f"{side}.npz").read_bytes()
            assert held.setdefault(side, (arrays, read))[1] == read
            mapped[side] = FeatureSet(bounded_arrays.map_npz(tmp_path / f"{side}.npz"), side)
    assert not mapped["sample"]["own_A"].flags.owndata
    sides = [FeatureSet(held[side][0], side) for side in ("sample", "reference")]
    assert score(names, *sides) == score(names, mapped["sample"], mapped["reference"])


@pytest.mark.parametrize("side", ["reference", "sample"])
def test_nothing_but_features_grows_with_the_number_of_images(
    side: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The columns of a paper benchmark: 12 kB of pixels an image, of which 4 features are kept in each class."""
    monkeypatch.setattr(passes, "CHUNK", 32)
    small = tiny_extractor(dim=4, size=16)
    names = scores_of(Plan.load(str(ROOT / "configs/benchmarks/cifar10.yaml")).tables["table1"].columns)
    assert len([name for name in names if name.startswith("fid_")]) == 5 and "kid" in names
    np.save(tmp_path / "images.npy", np.random.default_rng(0).integers(0, 256, (192, 3, 64, 64), np.uint8))
    images = np.load(tmp_path / "images.npy", mmap_mode="r")
    known = reference_arrays(images[:64], {"own": small}, names)

    def measure(count: int) -> None:
        if side == "reference":
            reference_arrays(images[:count], {"own": small}, names, batch=32)
        else:
            arrays = sample_arrays(images[:count], {"own": small}, names, known, batch=32, ranges=3)
            score(names, FeatureSet(arrays, "sample"), FeatureSet(known, "reference"), ranges=3)

    measure(64)  # what is loaded once, by libraries too
    few, many = (allocated(partial(measure, count)) for count in (64, 192))
    assert many - few < 128 * 5 * 8 * 8, "bytes: five sets of 4 features in float64, with room for as many again"


def test_a_layer_that_an_extractor_lacks_is_refused(real: np.ndarray, extractor: FunctionExtractor) -> None:
    with pytest.raises(MetricError, match="FD-tiny: has no spatial, only features; leave the column out"):
        reference_arrays(real, {"own": extractor}, ["sfid"])
    with pytest.raises(MetricError, match=r"extractor 'dinov2': not given, but dinov2_C needs it"):
        reference_arrays(real, {"own": extractor}, ["fd_dinov2"])


def test_an_extractor_that_declares_the_wrong_dimension_is_refused(
    generated: np.ndarray, extractor: FunctionExtractor
) -> None:
    with pytest.raises(MetricError, match=r"declares 99 dimensions, returned \(64, 16\)"):
        extract(generated, replace(extractor, dim=99))
