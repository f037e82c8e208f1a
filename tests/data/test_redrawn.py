"""Sets that keep x_0 and the address of their noise: the pairs of a set that keeps its ends, on half the disk."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from hkd.data.ahead import TrajectoriesAhead
from hkd.data.resident import ResidentTrajectories
from hkd.data.trajectories import Trajectories
from hkd.experiment.solve import solved_again
from hkd.store.atomic import write_json
from hkd.store.refusals import ArtifactError
from tests.experiment.sets_solved import ODE, solved_set
from tests.fuzzed import COUNTS, refused

CPU = torch.device("cpu")
SAMPLER = {"solver": "sampler", "steps": 3}


@pytest.fixture(scope="module")
def source(teacher, tmp_path_factory):
    """The same pairs, with their noise and without."""
    folder = tmp_path_factory.mktemp("pairs")
    return (
        folder / "ends",
        folder / "seed",
        [solved_set(folder / "ends", teacher, keep="ends"), solved_set(folder / "seed", teacher, keep="x0+seed")],
    )


@pytest.fixture
def seeded(source, tmp_path):
    """A copy of the set without noise, for damage."""
    for file in source[1].iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    return tmp_path


def ends(batch) -> torch.Tensor:
    return torch.stack((batch.noise, batch.clean, batch.state(torch.arange(len(batch)) % 2)))


ORDER = np.array([5, 0, 3, 2, 5])


@pytest.mark.parametrize("solver", [ODE, SAMPLER], ids=["ode", "sampler"])
def test_pairs_are_those_of_a_set_that_keeps_its_ends(teacher, tmp_path, solver):
    for keep in ("ends", "x0+seed"):
        solved_set(tmp_path / keep, teacher, keep=keep, **solver)
    kept, drawn = (Trajectories(tmp_path / keep) for keep in ("ends", "x0+seed"))
    drawn.verify()
    assert torch.equal(ends(kept.batch(ORDER)), ends(drawn.batch(ORDER)))
    assert len(kept) == len(drawn) == 6 and kept.nbytes == drawn.nbytes
    sizes = [sum(shard.nbytes for shard in opened.shards) for opened in (kept, drawn)]
    assert sizes[0] == 2 * sizes[1] > 0


@pytest.mark.parametrize("place", [ResidentTrajectories, TrajectoriesAhead])
def test_a_device_and_the_reader_ahead_get_the_same_pairs(source, place):
    kept, drawn = Trajectories(source[0]), place(Trajectories(source[1]), CPU)
    for order in (ORDER, np.array([1, 4])):
        assert torch.equal(ends(kept.batch(order)), ends(drawn.batch(order)))


def test_a_finished_set_is_checked_against_its_teacher(source, teacher):
    of_ends, of_seed = source[2]
    assert max(solved_again(of_seed, source[1], teacher, CPU, 6)) < 5e-3  # what the command lets pass
    # settings that ask for other states than the set keeps
    assert solved_again(of_ends, source[1], teacher, CPU, 2) == [float("inf")] * 2


def edit(folder, **changes) -> None:
    path = folder / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


NOISE = "delete it and run `hkd trajectories` again"
SHARDS = ", for each shard too where this torch draws other numbers than the one that made them"


@pytest.mark.parametrize(
    ("noise", "message"),
    [
        ({"seed": 5}, f"noise of shard0.npy, drawn again from seed 5, is not that of its images; {NOISE}{SHARDS}"),
        ({"generator": "numpy"}, f"its noise is of 'numpy', which this version of hkd cannot draw; {NOISE}"),
        ({"seed": "4"}, f"its field 'seed' is of type str, not int; {NOISE}"),
        ({"seed": True}, f"its field 'seed' is of type bool, not int; {NOISE}"),
        ({"generator": None}, f"its field 'generator' is of type NoneType, not str; {NOISE}"),
    ],
)
def test_a_damaged_address_is_refused_in_one_line(seeded, noise, message):
    edit(seeded, noise={**json.loads((seeded / "manifest.json").read_text())["noise"], **noise})
    with pytest.raises(ArtifactError) as error:
        Trajectories(seeded)
    assert str(error.value) == f"{seeded / 'manifest.json'}: {'the ' if 'drawn again' in message else ''}{message}"


def test_the_digest_of_one_shards_noise_is_compared(seeded):
    shards = json.loads((seeded / "manifest.json").read_text())["shards"]
    edit(seeded, shards=[shards[0], {**shards[1], "noise_sha256": "0" * 64}])
    with pytest.raises(ArtifactError, match=r"manifest.json: the noise of shard1.npy, .* is not that of its images"):
        Trajectories(seeded)


def test_half_an_address_is_refused(seeded, source):
    manifest = json.loads((seeded / "manifest.json").read_text())
    write_json(seeded / "manifest.json", {key: value for key, value in manifest.items() if key != "noise"})
    with pytest.raises(ArtifactError, match=r"manifest.json: it says where its noise comes from or what its digest is"):
        Trajectories(seeded)


def test_noise_in_the_place_of_one_of_many_states_is_refused(seeded):
    edit(seeded, sigmas=[80.0, 1.0, 0.0])
    with pytest.raises(ArtifactError, match="noise that is drawn again, and states at 3 noise levels; delete it"):
        Trajectories(seeded)


@pytest.mark.parametrize("count", [7, 0, -6])
def test_a_count_that_is_not_that_of_the_shards_is_refused(seeded, count):
    edit(seeded, count=count)
    with pytest.raises(ArtifactError, match=f"manifest.json: a count of {count}, and shards of 6 trajectories; delete"):
        Trajectories(seeded)


def test_a_state_larger_than_any_image_is_refused_before_noise_of_its_size_is_drawn(seeded):
    for name in ("shard0.npy", "shard1.npy"):
        with open(seeded / name, "wb") as file:  # with a hole: it takes no room on the disk
            header = {"descr": "<f2", "fortran_order": False, "shape": (3, 1, 3, 5000, 5000)}
            np.lib.format.write_array_header_1_0(file, header)
            file.truncate(file.tell() + 2 * 3 * 3 * 5000**2)
    with pytest.raises(ArtifactError, match=r"shard0.npy: holds states of \(3, 5000, 5000\), larger than any image"):
        Trajectories(seeded)


def test_stored_noise_beside_its_address_is_refused(seeded, source):
    (seeded / "shard0.npy").write_bytes((source[0] / "shard0.npy").read_bytes())
    with pytest.raises(ArtifactError, match=r"shard0.npy: holds float16 .* not what the manifest says"):
        Trajectories(seeded)


@pytest.mark.parametrize("count", COUNTS)
def test_a_damaged_manifest_is_refused_in_one_line(seeded, count):
    assert refused(seeded / "manifest.json", lambda: Trajectories(seeded).verify(), count, ArtifactError) > count // 4
