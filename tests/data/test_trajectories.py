"""Stored trajectories: what is written comes back within float16, and between the stored states lies the ODE."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from hkd.data.shards import labels_path, shard_name, write_shard
from hkd.data.trajectories import Trajectories, state_scales
from hkd.diffusion.ode import solve
from hkd.diffusion.schedules import edm_sigmas
from hkd.seeding import stream
from hkd.store.atomic import sha256
from hkd.store.records import Record
from hkd.store.refusals import ArtifactError
from tests.fuzzed import COMPARED, COUNTS, refused

SIGMAS = edm_sigmas(18, sigma_min=0.002, sigma_max=80.0, rho=7.0)


@pytest.fixture(scope="module")
def states(gaussian):
    noise = torch.randn((6, 3, 8, 8), generator=stream(3, "noise"))
    return solve(gaussian, noise, SIGMAS, "heun")


@pytest.fixture
def stored(tmp_path, states, write_trajectories):
    write_trajectories(tmp_path, states, SIGMAS)
    return tmp_path


@pytest.fixture(scope="module")
def exact(gaussian, tmp_path_factory, write_trajectories):
    """Closed-form states on the grid, so that interpolation alone errs."""
    noise = torch.randn((8, 3, 8, 8), generator=stream(4, "noise"), dtype=torch.float64)
    folder = tmp_path_factory.mktemp("exact")
    along = torch.stack([gaussian.solution(80 * noise, 80.0, float(s)) for s in SIGMAS], dim=1)
    return write_trajectories(folder, along, SIGMAS), 80 * noise


def test_states_come_back_within_half_precision(stored, states):
    batch = Trajectories(stored).batch(np.arange(6))
    scales = state_scales(SIGMAS, 0.5)
    for k in range(len(SIGMAS)):
        relative = (batch.state(k) - states[:, k]).abs() / scales[k]
        bound = 2**-11 * (states[:, k].abs() / scales[k]).clamp(min=2**-14)
        assert bool((relative <= 1.01 * bound).all()), f"state {k}"


def test_scaled_states_are_of_order_one_at_every_level(stored):
    for shard in stored.glob("shard*.npy"):
        values = np.load(shard).astype(np.float64)
        spread = values.std(axis=(0, 2, 3, 4))
        assert values.dtype == np.float64 and spread.max() < 1.6 and spread.min() > 0.3


def test_the_named_states_are_the_ends(stored, states):
    batch = Trajectories(stored).batch(np.array([4, 0]))
    assert len(batch) == 2
    assert_close(batch.noise, states[[4, 0], 0].float() / 80, rtol=1e-3, atol=1e-3)
    assert_close(batch.near_clean, states[[4, 0], -2].float(), rtol=1e-3, atol=1e-3)
    assert_close(batch.clean, states[[4, 0], -1].float(), rtol=1e-3, atol=1e-3)


def test_a_batch_reads_across_shards_in_any_order(stored, states):
    order = np.array([5, 0, 3, 2, 5])
    batch = Trajectories(stored).batch(order)
    assert_close(batch.state(0), states[order, 0].float(), rtol=1e-3, atol=0.05)


def test_each_trajectory_can_be_read_at_its_own_state(stored, states):
    batch = Trajectories(stored).batch(np.arange(3))
    mixed = batch.state(torch.tensor([0, 7, 17]))
    assert torch.equal(mixed, torch.stack([batch.state(k)[i] for i, k in enumerate((0, 7, 17))]))


# -- between the stored states ---------------------------------------------------------------------------------------


def test_on_the_grid_interpolation_gives_the_stored_state(exact):
    batch = exact[0].batch(np.arange(8))
    for k in (0, 1, 9, 16, 17):
        assert_close(batch.at(SIGMAS[k].repeat(8)), batch.state(k), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("sigma", [70.0, 25.0, 5.0, 1.5, 0.4, 0.1, 0.01, 0.003])
def test_between_grid_points_interpolation_follows_the_ode(exact, gaussian, sigma):
    stored, start = exact
    found = stored.batch(np.arange(8)).at(torch.full((8,), sigma))
    truth = gaussian.solution(start, 80.0, sigma).float()
    scale = (sigma**2 + 0.25) ** 0.5
    assert float((found - truth).abs().max()) / scale < 0.01
    nearest = int((SIGMAS[:-1] - sigma).abs().argmin())
    by_state = float((stored.batch(np.arange(8)).state(nearest) - truth).abs().max())
    assert float((found - truth).abs().max()) < 0.2 * by_state + 2e-3 * scale  # far better than the nearest state


def test_each_trajectory_can_be_interpolated_at_its_own_time(exact, gaussian):
    stored, start = exact
    sigma = torch.tensor([80.0, 60.0, 20.0, 4.0, 1.0, 0.3, 0.05, 0.002])
    found = stored.batch(np.arange(8)).at(sigma)
    truth = gaussian.solution(start, 80.0, sigma.double()).float()
    scale = (sigma**2 + 0.25).sqrt()[:, None, None, None]
    assert float(((found - truth) / scale).abs().max()) < 0.01


@pytest.mark.parametrize("sigma", [80.1, 0.0019, 0.0, -1.0])
def test_a_time_outside_is_refused(exact, sigma):
    with pytest.raises(ValueError, match=r"noise levels must lie in \[0.002, 80\]"):
        exact[0].batch(np.arange(1)).at(torch.tensor([sigma]))


# -- classes ---------------------------------------------------------------------------------------------------------


def test_classes_come_back_as_one_hot_rows(stored):
    numbers = [np.array([2, 0, 1]), np.array([1, 2, 0])]
    for shard, classes in enumerate(numbers):
        np.save(labels_path(stored / shard_name(shard)), classes)
    classify(stored, 3)
    labels = Trajectories(stored).batch(np.array([5, 0])).labels
    assert labels.tolist() == [[1, 0, 0], [0, 0, 1]]


# -- damage ----------------------------------------------------------------------------------------------------------


def edit(folder, **changes) -> None:
    path = folder / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def classify(folder, classes: int) -> None:
    """Make a set one of a conditional teacher, whose labels are known by their digests if they are there."""
    shards = json.loads((folder / "manifest.json").read_text())["shards"]
    for shard in shards:
        labels = labels_path(folder / shard["file"])
        shard["labels_sha256"] = sha256(labels) if labels.exists() else "0" * 64
    edit(folder, label_dim=classes, shards=shards)


def test_a_missing_set_names_its_stage(tmp_path):
    with pytest.raises(ArtifactError, match=r"manifest.json: missing; run `hkd trajectories`"):
        Trajectories(tmp_path)


def test_a_missing_shard_names_its_stage(stored):
    (stored / "shard1.npy").unlink()
    with pytest.raises(ArtifactError, match=r"shard1.npy: missing; .*run `hkd trajectories`"):
        Trajectories(stored)


def test_missing_classes_name_their_stage(stored):
    classify(stored, 3)
    with pytest.raises(ArtifactError, match=r"shard0.labels.npy: missing; .*run `hkd trajectories`"):
        Trajectories(stored)


@pytest.mark.parametrize("keep", [0, 60, 500])
def test_a_truncated_shard_names_its_stage(stored, keep):
    path = stored / "shard0.npy"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ArtifactError, match=r"shard0.npy: .*run `hkd trajectories`"):
        Trajectories(stored)


def test_a_shard_of_another_size_is_refused(stored):
    np.save(stored / "shard0.npy", np.zeros((2, 19, 3, 8, 8), np.float16))
    with pytest.raises(ArtifactError, match="not what the manifest says"):
        Trajectories(stored)


def test_one_flipped_bit_is_found_by_the_digest(stored, flip_byte):
    flip_byte(stored / "shard1.npy")
    opened = Trajectories(stored)
    with pytest.raises(ArtifactError, match=r"shard1.npy: damaged; delete it and run `hkd trajectories`"):
        opened.verify()
    flip_byte(stored / "shard1.npy")
    Trajectories(stored).verify()


def test_a_changed_label_is_found_on_opening(stored):
    for shard in range(2):
        np.save(labels_path(stored / shard_name(shard)), np.array([2, 0, 1]))
    classify(stored, 3)
    np.save(labels_path(stored / shard_name(1)), np.array([2, 0, 2]))
    with pytest.raises(ArtifactError, match=r"shard1.labels.npy: damaged; delete it and run `hkd trajectories`"):
        Trajectories(stored)


def test_a_class_that_there_is_not_is_refused(stored):
    for shard in range(2):
        np.save(labels_path(stored / shard_name(shard)), np.array([2, 0, 5]))
    classify(stored, 3)
    with pytest.raises(ArtifactError, match=r"shard0.labels.npy: holds no class for each trajectory"):
        Trajectories(stored)


def test_one_noise_level_in_the_manifest_is_found_by_its_record(stored):
    Record("trajectories").write(stored / "manifest.json")
    sigmas = json.loads((stored / "manifest.json").read_text())["sigmas"]
    edit(stored, sigmas=[*sigmas[:3], sigmas[3] * 1.01, *sigmas[4:]])
    with pytest.raises(ArtifactError, match=r"manifest.json: damaged, its digest is not the recorded"):
        Trajectories(stored)


@pytest.mark.parametrize(
    "change",
    [
        {"sigmas": [1.0]},
        {"sigmas": [1.0, "x"]},
        {"sigmas": 3},
        {"sigma_data": 0},
        {"label_dim": -1},
        {"label_dim": True},
        {"shards": []},
        {"shards": [3]},
        {"shards": [{"file": "../../x.npy", "count": 3, "sha256": "0"}]},
        {"shards": [{"file": "shard0.npy", "count": -3, "sha256": "0"}]},
        {"network_evals": "many"},
    ],
)
def test_a_manifest_of_what_no_set_has_is_refused_in_one_line(stored, change):
    edit(stored, **change)
    with pytest.raises(ArtifactError, match=r"manifest.json: .*run `hkd trajectories`") as error:
        Trajectories(stored)
    assert len(str(error.value).splitlines()) == 1


def verified(folder) -> np.ndarray:
    """The states of all trajectories, after their digests were compared."""
    opened = Trajectories(folder)
    opened.verify()
    batch = opened.batch(np.arange(len(opened)))
    return np.stack([batch.state(k).numpy() for k in range(len(batch.sigmas))])


@pytest.mark.parametrize("count", COUNTS)
def test_a_damaged_manifest_is_refused_in_one_line(stored, count):
    assert refused(stored / "manifest.json", lambda: Trajectories(stored).verify(), count, ArtifactError) > count // 4


@pytest.mark.parametrize("count", COMPARED)
def test_a_damaged_shard_is_read_as_it_was_or_refused(stored, count):
    good = verified(stored)
    read = lambda: verified(stored)  # noqa: E731
    assert refused(stored / "shard1.npy", read, count, ArtifactError, lambda x: np.array_equal(x, good)) > count // 4


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_states_that_are_not_finite_are_not_written(tmp_path, value):
    states = np.ones((2, 3, 3, 8, 8), np.float16)
    states[1, 2, 0, 0, 0] = value
    with pytest.raises(
        ArtifactError, match=r"shard0.npy: not written, its states hold 1 values .*weights of the teacher"
    ):
        write_shard(tmp_path / "shard0.npy", states, None)
    assert not list(tmp_path.iterdir())
