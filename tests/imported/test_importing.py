"""Released weights of every layout become those of our networks, which then answer as those that they are of."""

from __future__ import annotations

import json
import math

import pytest
import torch
from torch.testing import assert_close

from hkd.data.image_shape import ImageShape
from hkd.experiment.build import method as built_method
from hkd.experiment.importing import import_weights, released
from hkd.nets.precond import EDMPrecond
from hkd.nets.unet import DhariwalUNet, SongUNet
from hkd.settings.sections import Data
from hkd.store.artifacts import load_weights
from hkd.store.atomic import sha256
from hkd.store.refusals import ArtifactError
from tests.imported.official import SOURCE, snapshot
from tests.imported.others import AdmNet, SongNet, checkpoint

SIZE = 8
DATA = Data(kind="shapes", resolution=SIZE, count=8)
WIDTHS = {"model_channels": 8, "channel_mult": [1, 2], "num_blocks": 1, "attn_resolutions": [4]}


@pytest.fixture(autouse=True)
def drawn() -> None:
    torch.manual_seed(0)


def scattered(network: torch.nn.Module) -> torch.nn.Module:
    """Give every parameter values of an ordinary size: fresh networks have many zeros."""
    for name, p in network.named_parameters():
        p.data = torch.randn_like(p) / (p[0].numel() ** 0.5 if p.dim() > 1 else 4) + (p.dim() == 1 and "weight" in name)
    return network.eval()


def answers(network: torch.nn.Module, *labels: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return network(torch.randn(2, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1)), *labels)


def imported(path, run, tmp_path, name="methods/edm"):
    """Import a file; return the run's method with what was written, and the card."""
    out = tmp_path / "weights.safetensors"
    card = import_weights(path, out, run, DATA, dataset="shapes8", method=name)
    built = built_method(run, ImageShape(**card["shape"]), seed=1, parts=None)
    built.load_artefact(load_weights(out))
    return built.eval(), card, out


def song(**more):
    return SongUNet(
        img_resolution=SIZE,
        in_channels=3,
        out_channels=3,
        model_channels=8,
        channel_mult=(1, 2),
        num_blocks=1,
        attn_resolutions=(4,),
        **more,
    )


NCSNPP = {
    "embedding_type": "fourier",
    "encoder_type": "residual",
    "channel_mult_noise": 2,
    "resample_filter": (1, 3, 3, 1),
}


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize(
    ("preset", "more", "conditional"),
    [("ddpmpp", {"augment_dim": 9}, False), ("ncsnpp", NCSNPP, False), ("ddpmpp", {"label_dim": 5}, True)],
)
def test_snapshots_of_edm(tmp_path, tiny_run, preset, more, conditional, protocol):
    network = scattered(EDMPrecond(song(**more)))
    path = tmp_path / "edm.pkl"
    path.write_bytes(snapshot(network, protocol=protocol, img_resolution=SIZE, label_dim=more.get("label_dim", 0)))
    settings = {**WIDTHS, "preset": preset, "augment_dim": more.get("augment_dim", 0)}
    run = tiny_run("methods/edm", network=settings, conditional=conditional)
    built, card, out = imported(path, run, tmp_path)
    sigma = torch.tensor([0.5, 10.0])
    labels = (torch.eye(5)[[1, 3]],) if conditional else ()
    assert torch.equal(answers(built.student, sigma, *labels), answers(network, sigma, *labels))
    assert card["sha256"] == sha256(out) and card["source_sha256"] == sha256(path)
    assert card["licence"] == "CC BY-NC-SA 4.0" and card["about"]["class"] == "EDMPrecond"
    assert card["parameters"] == sum(p.numel() for p in network.parameters())
    assert len(card["names"]) == len(network.state_dict())
    assert SOURCE.encode() in path.read_bytes()  # and it was not executed


def test_snapshots_of_ect(tmp_path, tiny_run):
    network = scattered(EDMPrecond(song()))
    path = tmp_path / "ecm.pkl"
    path.write_bytes(snapshot(network, class_name="ECMPrecond"))
    built, card, _ = imported(path, tiny_run("methods/ecm"), tmp_path, "methods/ecm")
    assert torch.equal(answers(built.student, torch.tensor([80.0])), answers(network, torch.tensor([80.0])))
    assert card["about"]["class"] == "ECMPrecond" and "not the one of the printed FID" in card["remark"]


@pytest.mark.parametrize("old", [False, True], ids=["zip", "before zips"])
@pytest.mark.parametrize("method", ["methods/score_sde", "methods/flow1"])
def test_checkpoints_of_score_sde_and_rectified_flow(tmp_path, tiny_run, method, old):
    fir = method == "methods/score_sde"
    theirs, last = (scattered(SongNet(SIZE, 8, (1, 2), 1, (4,), fir)) for _ in range(2))
    path = tmp_path / "checkpoint_8.pth"
    torch.save(checkpoint(theirs, last), path, _use_new_zipfile_serialization=not old)
    built, card, _ = imported(path, tiny_run(method, network={**WIDTHS, "num_blocks": 1}), tmp_path, method)
    label = torch.tensor([0.3, 2.0])
    assert_close(answers(built.student, label), answers(theirs, label), atol=2e-5, rtol=1e-4)
    assert card["names_of"] == "score_sde"


def test_states_with_edm_names(tmp_path, tiny_run):
    """As the code of 2-Rectified flow++ saves them."""
    network = scattered(EDMPrecond(song(**NCSNPP, augment_dim=9)))
    torch.save(network.state_dict(), tmp_path / "rfpp.pth")
    run = tiny_run("methods/rf2pp", network={"augment_dim": 9})
    built, _, _ = imported(tmp_path / "rfpp.pth", run, tmp_path, "methods/rf2pp")
    sigma = torch.tensor([0.5, 10.0])
    assert torch.equal(answers(built.student, sigma), answers(network, sigma))


def test_states_of_consistency_models(tmp_path, tiny_run):
    """Names, heads and classes are theirs; the network is told 250 ln(sigma) of a noise level."""
    theirs = scattered(AdmNet(SIZE, 64, (1, 2), 1, (4,), classes=5))
    torch.save({name: value.half().float() for name, value in theirs.state_dict().items()}, tmp_path / "cd.pt")
    theirs.load_state_dict(torch.load(tmp_path / "cd.pt", weights_only=True))
    network = {**WIDTHS, "preset": "adm", "model_channels": 64, "noise_scale": 1000.0}
    run = tiny_run("methods/cd", network=network, conditional=True)
    built, card, _ = imported(tmp_path / "cd.pt", run, tmp_path, "methods/cd")
    assert isinstance(built.student.model, DhariwalUNet) and card["shape"]["label_dim"] == 5
    label, classes = torch.tensor([1.5, 30.0]), torch.tensor([1, 4])
    expected = answers(theirs, label, classes)
    assert_close(answers(built.student.model, label, torch.eye(5)[classes]), expected, atol=2e-5, rtol=1e-4)
    sigma = torch.tensor([[[[2.0]]]])
    assert_close(built.student.coefficients(sigma).c_noise, torch.tensor([250 * math.log(2.0)]))


# -- what does not fit -------------------------------------------------------------------------------------------------


def refused(path, run, tmp_path, match, method="methods/edm"):
    out = tmp_path / "refused.safetensors"
    with pytest.raises(ArtifactError, match=match) as found:
        import_weights(path, out, run, DATA, dataset="shapes8", method=method)
    assert "\n" not in str(found.value) and str(path) in str(found.value)
    assert not out.exists() and not out.with_suffix(".json").exists()


def test_names_shapes_and_counts_that_do_not_fit_are_named(tmp_path, tiny_run):
    run = tiny_run("methods/edm")
    state = EDMPrecond(song()).state_dict()
    path = tmp_path / "state.pth"

    def saved(changed):
        torch.save(changed, path)
        return path

    lacking = {name: value for name, value in state.items() if "map_layer0" not in name}
    refused(saved(lacking), run, tmp_path, r"lacks 'map_layer0.bias' and 1 more; it holds \d+ tensors, the network \d+")
    refused(
        saved({**state, "model.more": torch.ones(1)}), run, tmp_path, "holds 'more', for which the network has no place"
    )
    wide = {**state, "model.map_layer0.bias": torch.ones(31)}
    refused(
        saved(wide), run, tmp_path, r"'map_layer0.bias' makes \(31,\) of 'map_layer0.bias', the network has \(32,\)"
    )
    broken = {**state, "model.map_layer0.bias": torch.full((32,), math.nan)}
    refused(saved(broken), run, tmp_path, "holds other than finite numbers")
    refused(saved({**state, "model.step": 3}), run, tmp_path, "holds int as 'model.step', expected a tensor")
    refused(saved([1]), run, tmp_path, "holds list, expected tensors by name")
    claims = {**state, "model.map_layer0.bias": torch.ones(1).expand(32)}
    refused(saved(claims), run, tmp_path, "a tensor of more elements than its storage has")
    refused(saved(state), tiny_run("methods/edm", conditional=True), tmp_path, "has no classes")
    refused(tmp_path / "none.pth", run, tmp_path, "no such file")
    refused(tmp_path, run, tmp_path, "a folder or a device")
    theirs = SongNet(SIZE, 8, (1, 2), 1, (4,), True)
    content = checkpoint(theirs, theirs)
    content["ema"]["shadow_params"].pop()
    refused(saved(content), run, tmp_path, r"\d+ averaged tensors for \d+ names")
    refused(
        saved(AdmNet(SIZE, 64, (1,), 1, (), 5).state_dict()),
        run,
        tmp_path,
        "preset adm, methods/edm has network.preset ddpmpp",
    )


def test_a_file_of_another_digest_than_expected_is_refused_unread(tmp_path, tiny_run):
    run, path, out = tiny_run("methods/edm"), tmp_path / "edm.pkl", tmp_path / "edm.safetensors"
    path.write_bytes(snapshot(scattered(EDMPrecond(song()))))
    given = {"dataset": "shapes8", "method": "methods/edm"}
    with pytest.raises(ArtifactError, match=f"edm.pkl: sha256 is {sha256(path)}, expected {'0' * 64}; ") as said:
        import_weights(path, out, run, DATA, **given, expected="0" * 64)
    assert "\n" not in str(said.value) and not out.exists()
    assert import_weights(path, out, run, DATA, **given, expected=sha256(path).upper())["source_sha256"] == sha256(path)


def test_what_a_snapshot_says_of_its_network_must_be_so(tmp_path, tiny_run):
    path = tmp_path / "edm.pkl"
    path.write_bytes(snapshot(EDMPrecond(song()), sigma_data=0.25))
    refused(path, tiny_run("methods/edm"), tmp_path, "is of a network with sigma_data 0.25, methods/edm has 0.5")


# -- what was imported -------------------------------------------------------------------------------------------------


def test_imported_weights_are_held_against_their_card(tmp_path, tiny_run):
    network = scattered(EDMPrecond(song()))
    path, run = tmp_path / "edm.pkl", tiny_run("methods/edm")
    path.write_bytes(snapshot(network))
    _, card, out = imported(path, run, tmp_path)
    about = {"dataset": "shapes8", "method": "methods/edm"}
    state, _ = released(out, run, **about)
    assert state.keys() == card["names"].keys()
    with pytest.raises(ArtifactError, match="not of the network of methods/edm"):
        released(out, tiny_run("methods/edm", network={"num_blocks": 2}), **about)
    with pytest.raises(ArtifactError, match="imported as methods/edm on shapes8; run `hkd import"):
        released(out, run, dataset="shapes8", method="methods/ecm")
    written = out.with_suffix(".json").read_text()
    out.with_suffix(".json").write_text(json.dumps({**card, "golden": {**card["golden"], "last": 9.0}}))
    with pytest.raises(ArtifactError, match=r"makes last = .* 9 when imported; import .*edm.pkl again"):
        released(out, run, **about)
    out.with_suffix(".json").write_text(written)
    out.write_bytes(out.read_bytes()[:-1] + b"\0")
    with pytest.raises(ArtifactError, match="its card says"):
        released(out, run, **about)


def test_a_file_of_somebody_else_is_not_replaced_by_a_card(tmp_path, tiny_run):
    network = scattered(EDMPrecond(song()))
    path, mine = tmp_path / "edm.pkl", tmp_path / "weights.json"
    path.write_bytes(snapshot(network))
    mine.write_text('{"mine": 1}')
    run = tiny_run("methods/edm", network={**WIDTHS, "preset": "ddpmpp", "augment_dim": 0})
    with pytest.raises(ArtifactError, match=r"weights\.json: stands where the card of weights\.safetensors would"):
        imported(path, run, tmp_path)
    assert mine.read_text() == '{"mine": 1}' and not (tmp_path / "weights.safetensors").exists()
    mine.unlink()
    (tmp_path / "weights.safetensors").write_bytes(b"mine")
    with pytest.raises(
        ArtifactError, match=r"weights\.safetensors: is there, and no card beside it says that hkd wrote"
    ):
        imported(path, run, tmp_path)
    assert (tmp_path / "weights.safetensors").read_bytes() == b"mine" and not mine.exists()
    (tmp_path / "weights.safetensors").unlink()
    _, card, out = imported(path, run, tmp_path)
    assert imported(path, run, tmp_path)[1] == card
    for side, value in (("resolution", 10**6), ("channels", 0), ("label_dim", -1)):
        mine.write_text(json.dumps({**card, "shape": {**card["shape"], side: value}}))
        with pytest.raises(ArtifactError, match=f"its shape has {side} {value}; run `hkd import"):
            released(out, run, dataset="shapes8", method="methods/edm")
