"""Released weights at full size: snapshots of EDM's 55.7 million parameters, and the published golden numbers."""

from __future__ import annotations

import json
import tracemalloc

import pytest
import torch
from typer.testing import CliRunner

from hkd.cli import Commands
from hkd.nets.precond import EDMPrecond
from hkd.nets.unet import SongUNet
from hkd.stages import import_weights
from hkd.store.artifacts import load_weights
from tests.imported.official import snapshot
from tests.imported.others import SongNet, checkpoint
from tests.nets.test_unet import CIFAR, GOLDEN, NCSNPP, fill

pytestmark = pytest.mark.slow


@pytest.fixture
def call(root, tmp_path, monkeypatch):
    """Import a file with the command, and return its card and its output."""
    monkeypatch.chdir(root)
    commands = Commands()
    import_weights.register(commands)

    def called(path, method):
        out = tmp_path / "out.safetensors"
        result = CliRunner().invoke(commands.app, ["import", str(path), method, "--out", str(out)])
        assert result.exit_code == 0, result.exception
        return json.loads(out.with_suffix(".json").read_text()), result.output, load_weights(out)

    return called


@pytest.mark.parametrize(
    ("name", "method", "more"),
    [
        pytest.param("cifar10 ddpm++", "methods/edm", {"augment_dim": 9}, marks=pytest.mark.ci),
        ("cifar10 ncsn++", "methods/edm_ve", {"augment_dim": 9, **NCSNPP}),
        ("cifar10 ddpm++ conditional", "methods/edm_cond", {"augment_dim": 9, "label_dim": 10}),
    ],
)
def test_a_full_snapshot_answers_with_the_published_numbers(call, tmp_path, name, method, more):
    """Names, counts, and the answer to the input whose numbers were computed with the official classes."""
    network = fill(EDMPrecond(SongUNet(**CIFAR, **more)))
    path = tmp_path / "edm.pkl"
    path.write_bytes(snapshot(network, img_resolution=32, label_dim=more.get("label_dim", 0)))
    card, said, state = call(path, method)
    mean, std, last, first = GOLDEN[name][2]
    for key, value in {"mean": mean, "std": std, "last": last, "first0": first}.items():
        assert card["golden"][key] == pytest.approx(value, abs=1e-4), key
    assert card["parameters"] == sum(p.numel() for p in network.parameters())
    assert f"{card['parameters']:,} parameters" in said and "CC BY-NC-SA 4.0" in said
    for key, tensor in network.state_dict().items():
        assert torch.equal(state[f"student.{key}"], tensor), key


@pytest.mark.parametrize(("method", "fir"), [("methods/score_sde", True), ("methods/flow1", False)])
def test_a_full_checkpoint_of_score_sde_s_layout_fits(call, tmp_path, method, fir):
    theirs = SongNet(32, 128, (1, 2, 2, 2), 4, (16,), fir)
    torch.save(checkpoint(theirs, theirs), tmp_path / "checkpoint.pth")
    card, *_ = call(tmp_path / "checkpoint.pth", method)
    assert card["parameters"] == 61_804_419 + (62_758_787 - 61_804_419) * fir


def test_memory_is_a_few_times_the_file(tmp_path):
    """Of Python's own; tensors are bytes of the pickle."""
    from hkd.imported.layouts import read

    path = tmp_path / "edm.pkl"
    path.write_bytes(snapshot(EDMPrecond(SongUNet(**CIFAR))))
    tracemalloc.start()
    read(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3.5 * path.stat().st_size
