"""Distances that objectives use, against the formulas and the packages that define them."""

from __future__ import annotations

import shutil
from dataclasses import replace

import pytest
import torch
from torch.testing import assert_close

import hkd.experiment.perceptual as perceptual
from hkd.experiment.networks import feature_network
from hkd.experiment.perceptual import perceptual as distance_of
from hkd.methods.distances import LPIPS, PerceptualDistance, pseudo_huber
from hkd.nets.efficientnet import random_state
from hkd.seeding import stream
from hkd.store.atomic import sha256
from hkd.store.published import WEIGHTS
from hkd.store.refusals import ArtifactError


def pictures(index: int, size: int = 8) -> torch.Tensor:
    return torch.rand((3, 3, size, size), generator=stream(0, "pictures", index)) * 2 - 1


@pytest.fixture
def distance(perceptual) -> PerceptualDistance:
    network = feature_network(perceptual)
    return PerceptualDistance(network, network.maps)


def test_equal_images_have_distance_zero(distance):
    a = pictures(0)
    assert_close(distance(a, distance.features(a)), torch.zeros(3))


def test_the_distance_is_symmetric_and_positive(distance):
    a, b = pictures(0), pictures(1)
    there, back = distance(a, distance.features(b)), distance(b, distance.features(a))
    assert_close(there, back)
    assert bool((there > 0).all())


def test_each_image_has_its_own_distance(distance):
    a, b = pictures(0), pictures(1)
    alone = torch.cat([distance(a[i : i + 1], distance.features(b[i : i + 1])) for i in range(3)])
    assert_close(distance(a, distance.features(b)), alone)


def test_the_distance_equals_its_formula(distance):
    a, b = pictures(0), pictures(1)
    expected = torch.zeros(3)
    maps = distance.network.maps
    for x, y in zip(maps(127.5 * (a + 1)), maps(127.5 * (b + 1)), strict=True):
        x, y = (m / (m.square().sum(dim=1, keepdim=True) + 1e-10).sqrt() for m in (x, y))
        expected += (x - y).square().sum(dim=1).mean(dim=(1, 2))
    assert_close(distance(a, distance.features(b)), expected)


def test_the_network_of_a_distance_never_changes(distance):
    distance.train()
    assert not distance.network.training
    assert not any(p.requires_grad for p in distance.parameters())
    a = pictures(0).requires_grad_()
    distance(a, distance.features(pictures(1))).sum().backward()
    assert a.grad is not None and float(a.grad.abs().max()) > 0


@pytest.mark.parametrize("c", [0.0, 0.03, 2.0])
def test_pseudo_huber_is_one_norm_over_the_whole_image(c):
    a, b = pictures(0), pictures(1)
    norms = (a - b).flatten(1).norm(dim=1)
    assert_close(pseudo_huber(a, b, c), (norms**2 + c**2).sqrt() - c)
    assert_close(pseudo_huber(a, a, c), torch.zeros(3))


@pytest.fixture(scope="module")
def alex(tmp_path_factory):
    """The package's LPIPS on a random backbone, and ours from that backbone as torchvision would store it."""
    lpips = pytest.importorskip("lpips")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.nn.Linear, "reset_parameters", lambda self: None)  # of the classifier, which is dropped
        torch.manual_seed(0)
        theirs = lpips.LPIPS(net="alex", pnet_rand=True, verbose=False).eval()
        state = {f"features.{name.partition('.')[2]}": value for name, value in theirs.net.state_dict().items()}
        path = tmp_path_factory.mktemp("lpips") / "alexnet.pth"
        torch.save({**state, "classifier.1.weight": torch.zeros(2, 2)}, path)
        return theirs, LPIPS("alex", path, None), path


def test_lpips_equals_that_of_its_package(alex):
    theirs, ours, _ = alex
    a, b = pictures(0, 64), pictures(1, 64)
    with torch.no_grad():
        expected = theirs(a, b).flatten()
        assert_close(ours(a, ours.features(b)), expected, rtol=1e-4, atol=1e-6)
    assert float(expected.min()) > 0


def test_lpips_resizes_where_it_is_told_to(alex, monkeypatch):
    theirs, ours, _ = alex
    monkeypatch.setattr(ours, "resize", 64)
    a, b = pictures(0, 32), pictures(1, 32)
    up = [torch.nn.functional.interpolate(x, size=(64, 64), mode="bilinear", align_corners=False) for x in (a, b)]
    with torch.no_grad():
        assert_close(ours(a, ours.features(b)), theirs(*up).flatten(), rtol=1e-4, atol=1e-6)


def test_the_distance_on_photographs_is_that_of_the_network_at_the_asked_side(tiny_run, tmp_path, monkeypatch):
    torch.save(random_state(0), tmp_path / "weights.pth")
    monkeypatch.setattr(perceptual, "located", lambda entry: tmp_path / "weights.pth")
    run = tiny_run("methods/hkd").model_copy(update={"perceptual_backbone": "effnet", "perceptual_resize": 32})
    distance = distance_of(run, None)
    a, b = pictures(0), pictures(1)
    assert [found.shape[-1] for found in distance.features(a)] == [16, 8, 4, 2]
    assert_close(distance(a, distance.features(a)), torch.zeros(len(a)))
    assert float(distance(a, distance.features(b)).min()) > 0


@pytest.fixture
def run_on(tiny_run, tmp_path):
    """A run whose perceptual loss is LPIPS on a backbone of a temporary folder."""

    def made(backbone):
        changes = {"perceptual_backbone": backbone, "weights_folder": str(tmp_path)}
        return tiny_run("methods/hkd").model_copy(update=changes)

    return made


@pytest.mark.parametrize("backbone, name", [("lpips-vgg", "lpips-vgg"), ("piq-vgg", "lpips-vgg"), ("lpips-alex",) * 2])
def test_a_missing_or_other_backbone_is_named_with_its_digest_and_the_command(run_on, tmp_path, backbone, name):
    entry = WEIGHTS[name]
    parts = (str(tmp_path / entry.filename), entry.sha256, f"`hkd fetch {name}`")
    for content, what in ((None, "are absent"), (b"half a file", "sha256 is ")):
        if content is not None:
            (tmp_path / entry.filename).write_bytes(content)
        with pytest.raises(ArtifactError, match=what) as found:
            distance_of(run_on(backbone), None)
        assert all(part in str(found.value) for part in parts) and "\n" not in str(found.value)


def test_a_training_reads_the_backbone_of_the_pinned_digest(alex, run_on, tmp_path, monkeypatch):
    theirs, _, stored = alex
    monkeypatch.setattr(torch.nn.Linear, "reset_parameters", lambda self: None)
    path = shutil.copy(stored, tmp_path / WEIGHTS["lpips-alex"].filename)
    monkeypatch.setitem(WEIGHTS, "lpips-alex", replace(WEIGHTS["lpips-alex"], sha256=sha256(path)))
    ours = distance_of(run_on("lpips-alex"), None)
    a, b = pictures(0, 64), pictures(1, 64)
    with torch.no_grad():
        assert_close(ours(a, ours.features(b)), theirs(a, b).flatten(), rtol=1e-4, atol=1e-6)
