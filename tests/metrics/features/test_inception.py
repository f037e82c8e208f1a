"""The fast network equals torch-fidelity's and pytorch-fid's on the same seeded random weights."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from hkd.metrics.features import inception, libraries
from hkd.metrics.features.extract import extract
from hkd.metrics.features.inception import (
    LAYERS,
    InceptionV3,
    published_inception,
    random_inception,
    random_state,
    torchscript_inception,
)
from hkd.metrics.features.inputs import MetricError
from hkd.metrics.measure import check_name, reference_arrays
from hkd.store.atomic import sha256
from hkd.store.published import WEIGHTS
from hkd.store.refusals import ArtifactError


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    return random_state(0)


@pytest.fixture(scope="module")
def weights(state: dict[str, torch.Tensor], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("torch") / "hub" / "checkpoints" / "pt_inception-2015-12-05-6726825d.pth"
    path.parent.mkdir(parents=True)
    torch.save(state, path)
    return path


@pytest.fixture(scope="module")
def network(state: dict[str, torch.Tensor]) -> InceptionV3:
    return InceptionV3(state)


def relative_error(actual: np.ndarray, expected: np.ndarray) -> float:
    return float(np.linalg.norm(actual - expected) / np.linalg.norm(expected))


def test_the_state_has_the_published_layout(state: dict[str, torch.Tensor]) -> None:
    assert len(state) == 472
    assert sum(value.numel() for value in state.values()) == 23_885_392


@pytest.fixture(scope="module")
def theirs(weights: Path) -> nn.Module:
    """torch-fidelity's network, of the same weights."""
    module = pytest.importorskip("torch_fidelity.feature_extractor_inceptionv3")
    layers = ["2048", "logits_unbiased"]
    return module.FeatureExtractorInceptionV3("tf", layers, feature_extractor_weights_path=str(weights))


def test_features_equal_those_of_torch_fidelity(theirs: nn.Module, network: InceptionV3, photos: np.ndarray) -> None:
    with torch.inference_mode():
        pool3, logits = (part.numpy() for part in theirs(torch.from_numpy(photos)))
    ours = inception.Inception(network, name="FD-random", digest="")
    assert relative_error(extract(photos, ours, "A"), pool3) < 2e-5
    ours = inception.Inception(network, name="FD-random", digest="", layer="logits_unbiased")
    assert relative_error(extract(photos, ours, "A"), logits) < 2e-5


@pytest.fixture(scope="module")
def archive(theirs: nn.Module, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same weights as a TorchScript archive in the layout that clean-fid loads: `layers` from input to pool3."""
    path = tmp_path_factory.mktemp("script") / "inception-2015-12-05.pt"
    layers = torch.nn.Sequential(*(child for name, child in theirs.named_children() if name != "fc"))
    archive = nn.Module()
    archive.layers = torch.jit.trace(layers, torch.zeros(1, 3, 299, 299), check_trace=False)
    torch.jit.save(torch.jit.script(archive), str(path))
    return path


@pytest.mark.filterwarnings("ignore::FutureWarning")  # of TorchScript
def test_the_other_port_and_clean_fid_have_the_features_of_ours(
    archive: Path, network: InceptionV3, photos: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "inception-torchscript"
    with pytest.raises(ArtifactError, match=f"delete it and run `hkd fetch {name}`"):
        torchscript_inception(archive)
    monkeypatch.setitem(WEIGHTS, name, replace(WEIGHTS[name], sha256=sha256(archive)))
    port, photos = torchscript_inception(archive), photos[:2]
    assert (check_name(port), port.digest) == ("FD-inception-torchscript", sha256(archive))
    ours = inception.Inception(network, name="FD-random", digest="")
    assert relative_error(extract(photos, port, "A"), extract(photos, ours, "A")) < 2e-5

    clean = pytest.importorskip("cleanfid.inception_torchscript").InceptionV3W(str(archive.parent), download=False)
    features = pytest.importorskip("cleanfid.fid").get_model_features(
        libraries._padded_batches(photos, 2), clean, mode="clean", z_dim=1, num_gen=2, batch_size=2,
        device=torch.device("cpu"), verbose=False,
    )  # fmt: skip
    assert relative_error(extract(photos, ours, "C"), features) < 2e-4


def test_features_equal_those_of_pytorch_fid(
    weights: Path, network: InceptionV3, photos: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = pytest.importorskip("pytorch_fid.inception")
    monkeypatch.setenv("TORCH_HOME", str(weights.parents[2]))
    theirs = module.InceptionV3().eval()
    with torch.inference_mode():
        expected = theirs(torch.from_numpy(photos) / 255.0)[0][:, :, 0, 0].numpy()
    ours = inception.Inception(network, name="FD-random", digest="")
    assert relative_error(extract(photos, ours, "B"), expected) < 2e-4


def test_packed_and_plain_kernels_agree(
    network: InceptionV3, photos: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = torch.from_numpy(photos[:2]).float()
    x = torch.nn.functional.interpolate(x, size=(299, 299)) / 128 - 1
    with torch.inference_mode():
        packed = network(x)
        monkeypatch.setattr(inception, "PACKING", False)
        plain = network(x)
    for name, dim in LAYERS.items():
        assert packed[name].shape == (2, dim)
        torch.testing.assert_close(packed[name], plain[name], rtol=1e-4, atol=1e-4)


def test_the_spatial_layer_is_seven_channels_of_a_17_by_17_map(network: InceptionV3) -> None:
    x = torch.rand(1, 3, 299, 299) * 2 - 1
    with torch.inference_mode():
        spatial = network(x)["spatial"].reshape(17, 17, 7)
    assert (spatial >= 0).all() and spatial.std() > 0


def test_a_number_from_random_weights_is_never_called_fid(photos: np.ndarray) -> None:
    ours = random_inception(0)
    assert ours.name == "FD-random-inception-pool3"
    assert check_name(ours) == ours.name
    ours.name = "FID"
    with pytest.raises(MetricError, match="a number from it is no FID"):
        check_name(ours)
    with pytest.raises(MetricError, match="a number from it is no FID"):
        reference_arrays(photos, {"own": ours}, ["fdn"])


def test_files_other_than_the_published_are_refused(weights: Path, tmp_path: Path) -> None:
    with pytest.raises(
        ArtifactError, match=r"sha256 is .* not that of pt_inception.*delete it and run `hkd fetch incep"
    ):
        published_inception(weights)
    with pytest.raises(
        ArtifactError, match=r"are absent; run `hkd fetch inception`, or copy it there \(sha256 6726825d"
    ):
        published_inception(tmp_path / "nothing.pth")


def test_states_of_another_network_are_refused(state: dict[str, torch.Tensor]) -> None:
    with pytest.raises(MetricError, match="not in the published PyTorch layout"):
        InceptionV3({"fc.weight": torch.zeros(1)})
    with pytest.raises(MetricError, match="Conv2d_2a_3x3 is"):
        InceptionV3({**state, "Conv2d_2a_3x3.conv.weight": torch.zeros(32, 3, 3, 3)})
