"""The interface of a method, tested for every config of configs/methods and configs/ablations."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from hkd.data.image_shape import ImageShape
from hkd.data.kinds import shapes
from hkd.draws import StreamDraws
from hkd.experiment import finished
from hkd.experiment.record import read_run, run_document
from hkd.experiment.sample import sample_images
from hkd.methods.evaluations import EvaluationCounter, networks
from hkd.nets.precond import Precond
from hkd.plan.runs import Plan
from hkd.seeding import ImageStreams, stream
from hkd.settings.origins import to_yaml
from hkd.store.artifacts import load_weights, save_weights
from hkd.store.atomic import write_text
from hkd.store.refusals import ArtifactError
from hkd.training.trainer import Trainer

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
METHODS = sorted(f"{path.parent.name}/{path.stem}" for g in ("methods", "ablations") for path in CONFIGS.glob(f"{g}/*"))
SHAPE = ImageShape(8, 3, len(shapes.CLASSES))
PLAN = Plan.load(str(CONFIGS / "benchmarks/smoke.yaml"), configs=CONFIGS)
MANY = 100  # network evaluations an image, beyond which sampling is a longer proof
# network passes for one image of a batch in one training step, counted by hand from the losses; of all others, one
PASSES = {
    "methods/cd": 4,  # student, target, and both evaluations of the teacher's Heun step
    "methods/pd": 3,  # student, and two steps of the teacher
    "methods/kdm": 2,  # the latents of both ends are decoded
    **dict.fromkeys(("methods/ct", "methods/ict", "methods/ict_deep", "methods/ecm"), 2),  # two adjacent times
    # images of fresh noise, real and fake denoiser of them, images of the pairs, and the fake denoiser's own loss
    **dict.fromkeys(("methods/dmd", "methods/dmd_cond"), 5),
    **dict.fromkeys(("methods/dmd_no_reg", "methods/dmd_no_reg_cond"), 4),
    # the start of the trajectory, and one state on it
    **dict.fromkeys((name for name in METHODS if name.startswith(("methods/hkd", "ablations/"))), 2),
    **dict.fromkeys((f"ablations/abl_no_{name}" for name in ("koopman", "traj", "traj_equal_steps")), 1),
    "ablations/abl_paper_readings": 5,  # and four states
    "ablations/abl_decoder_time": 3,  # and the evolved latents, decoded to that state
}


def sampled(name: str) -> object:
    """A method whose sampling is tested: at once when it is quick, else among the longer proofs."""
    many = min(PLAN.run("shapes8", name).sampling.nfe) > MANY
    in_ci = [pytest.mark.ci] if name == "methods/ddpm" else []
    return pytest.param(name, marks=[pytest.mark.slow, *in_ci] if many else ())


every_method = pytest.mark.parametrize("name", METHODS)
every_sampler = pytest.mark.parametrize("name", [sampled(name) for name in METHODS])


@pytest.fixture
def made(tiny_run, build):
    """A method of that name, built as a training builds it, and its settings."""

    def make(name: str, **sections):
        run = tiny_run(name, **sections)
        return build(run), run

    return make


def parameters(network: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in network.named_parameters()}


def sample(method, run, indices, nfe):
    return sample_images(method, run, SHAPE, indices, seed=0, nfe=nfe, to=torch.device("cpu"))


@every_method
def test_a_step_has_one_finite_loss_per_trained_network_and_every_pass_is_counted(name, made, feed):
    method, run = made(name)
    if not method.trains:
        pytest.skip("trains nothing")
    method.train()
    with EvaluationCounter(networks(method)) as counter:
        losses = method.losses(feed(run)(0), step=0, draws=StreamDraws(stream(0, "train", 0)))
    assert counter.counted == PASSES.get(name, 1) * run.training.batch
    assert tuple(losses) == method.trains
    for loss in losses.values():
        assert loss.shape == () and loss.requires_grad and bool(torch.isfinite(loss))


@every_method
def test_a_loss_is_a_function_of_batch_step_and_stream(name, made, feed):
    found = []
    for _ in range(2):
        method, run = made(name)
        if not method.trains:
            pytest.skip("trains nothing")
        method.train()
        torch.manual_seed(4)  # as the loop does, for dropout
        losses = method.losses(feed(run)(0), step=1, draws=StreamDraws(stream(0, "train", 1)))
        found.append({key: float(loss.detach()) for key, loss in losses.items()})
    assert found[0] == found[1]


@every_method
def test_trained_networks_move_and_frozen_ones_do_not(name, made, feed):
    method, run = made(name)
    if not method.trains:
        pytest.skip("trains nothing")
    frozen = [getattr(method, part) for part in method.frozen if isinstance(getattr(method, part, None), nn.Module)]
    before, still = {n: parameters(getattr(method, n)) for n in method.trains}, [parameters(part) for part in frozen]
    trainer, batches = Trainer(method, run.training, seed=0), feed(run)
    method.train()
    for step in range(7 if run.training.optimizer.name == "radam" else 3):  # RAdam begins with five tiny steps
        facts = trainer.step(batches(step))
    assert all(facts[f"grad_norm/{n}"] > 0 for n in method.trains)  # at first DMD's denoisers agree, and its is 0
    for n in method.trains:
        after = parameters(getattr(method, n))
        moved = [key for key in after if not torch.equal(after[key], before[n][key])]
        asked = [key for key, value in getattr(method, n).named_parameters() if value.requires_grad]
        # a weight of 1 does not feel the first steps of a small rate
        assert len(moved) > 0.5 * len(asked), f"only {len(moved)} of {len(asked)} tensors moved"
    for part, values in zip(frozen, still, strict=True):
        assert all(torch.equal(value, values[key]) for key, value in parameters(part).items())


@every_method
def test_every_parameter_of_a_trained_network_has_one_optimiser_group(name, made):
    method, _ = made(name)
    for n in method.trains:
        grouped = [id(p) for group in method.parameter_groups(n) for p in group["params"]]
        trainable = {id(p) for p in getattr(method, n).parameters() if p.requires_grad}
        assert len(grouped) == len(set(grouped))
        assert trainable <= set(grouped)


@every_method
def test_the_parameters_that_are_counted_are_those_of_what_is_sampled(name, made):
    method, _ = made(name)
    others = [
        part
        for part in ("fake", "target", "teacher", "discriminator")
        if isinstance(getattr(method, part, None), nn.Module)
    ]
    frozen_base = sum(p.numel() for part in others for p in getattr(method, part).parameters())
    perceptual = sum(p.numel() for key, p in method.named_parameters() if key.startswith(("distance.", "grader.")))
    assert method.sampling_parameters() == sum(p.numel() for p in method.parameters()) - frozen_base - perceptual


@every_sampler
def test_images_take_the_requested_number_of_evaluations(name, made):
    method, run = made(name)
    method.eval()
    nfe = min(run.sampling.nfe)
    with EvaluationCounter(networks(method)) as counter:
        images = sample(method, run, range(2), nfe)
    assert counter.counted == 2 * nfe
    assert images.shape == (2, 3, 8, 8) and images.dtype == torch.float32
    assert bool(torch.isfinite(images).all())


@every_sampler
def test_an_image_does_not_depend_on_its_batch(name, made):
    method, run = made(name)
    method.eval()
    if run.init is None:  # a fresh network's last map is almost zero: give it the size of a trained one's
        with torch.no_grad():
            for index, value in enumerate(method.student.parameters()):
                value.add_(0.05 * torch.randn(value.shape, generator=stream(6, "moved", index)))
    nfe = min(run.sampling.nfe)
    together = sample(method, run, [2, 0, 1], nfe)
    alone = torch.cat([sample(method, run, [index], nfe) for index in (2, 0, 1)])
    assert_close(together, alone, rtol=2e-4, atol=2e-4)  # sums of another batch size round differently
    assert float((together[0] - together[1]).abs().max()) > 1e-3


@every_method
def test_one_step_rows_start_image_i_from_the_same_noise(name, made):
    method, run = made(name)
    if run.sampling.nfe != (1,):
        pytest.skip("takes several steps")
    noise, seen = ImageStreams(0, [5, 2]).randn(SHAPE.chw), []
    entered = method.student.model if isinstance(method.student, Precond) else method.student
    with entered.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0])):
        sample(method.eval(), run, [5, 2], 1)
    (state,) = seen
    scaled = hasattr(method, "sigma_max") and not isinstance(method.student, Precond)  # which undoes the scale
    assert_close(state.float(), (80.0 if scaled else 1.0) * noise, rtol=1e-3, atol=1e-3)


@every_method
def test_an_impossible_number_of_evaluations_is_refused(name, made):
    method, _ = made(name)
    with pytest.raises(ValueError, match="0"):
        method.sample(torch.zeros(1, 3, 8, 8), labels=None, nfe=0, streams=None)


@every_method
def test_a_training_that_starts_from_a_run_has_its_weights(name, made, base_weights):
    method, run = made(name)
    if not run.init:
        pytest.skip("starts from nothing")
    own = {key.rpartition("model.")[2]: value for key, value in method.artefact().items()}
    for key, value in load_weights(base_weights(run.init)).items():
        if "map_augment" not in key:
            assert torch.equal(own[key.rpartition("model.")[2]], value), key


@every_sampler
def test_weights_from_anywhere_and_their_config_are_all_that_sampling_needs(name, made, tmp_path):
    method, run = made(name)
    document = run_document(run, SHAPE, seed=99)
    write_text(tmp_path / "config.yaml", to_yaml(document))
    save_weights(tmp_path / "weights.safetensors", method.artefact())
    other, nfe = finished.base(tmp_path / "weights.safetensors"), min(run.sampling.nfe)
    assert torch.equal(sample(method.eval(), run, [3], nfe), sample(other, run, [3], nfe))


@pytest.mark.parametrize("change, odd", [({"augment": None}, "augment is missing"), ({"old": 1}, "old is not known")])
def test_a_run_of_another_version_is_refused_with_what_to_do(made, tmp_path, change, odd):
    document = run_document(made("methods/edm")[1], SHAPE, seed=0)
    params = {**document["run"]["params"], **change}
    document["run"]["params"] = {key: value for key, value in params.items() if value is not None}
    write_text(tmp_path / "config.yaml", to_yaml(document))
    with pytest.raises(ArtifactError, match=rf"of another version \(params\.{odd}\); delete .* and train again"):
        read_run(tmp_path / "config.yaml")


@every_method
def test_the_training_state_is_whole_and_leaves_out_what_never_changes(name, made):
    method, _ = made(name)
    state = method.training_state()
    assert not [key for key in state if key.startswith(tuple(f"{part}." for part in method.frozen))]
    for n in method.trains:
        assert {f"{n}.{key}" for key in getattr(method, n).state_dict()} <= state.keys()
    method.load_training_state(state)
    with pytest.raises(ValueError, match="lacks or adds"):
        method.load_training_state({**state, "stray": torch.zeros(1)})
