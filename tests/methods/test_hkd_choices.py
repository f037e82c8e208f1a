"""Every value of every open choice does something: the values are read from the types, so none can be forgotten.

On a fixed batch two values of one key must differ in the loss, the parameters or the images; those of the training,
in the weights after a few steps; those of the perceptual distance, in the distance.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any, Literal, get_args, get_origin

import numpy as np
import pytest
import torch

from hkd.data.image_shape import ImageShape
from hkd.data.trajectories import Trajectories
from hkd.draws import StreamDraws
from hkd.experiment import build as experiment
from hkd.experiment.perceptual import perceptual as distance_of
from hkd.nets.efficientnet import random_state
from hkd.plan.runs import Plan
from hkd.seeding import stream
from hkd.settings.origins import ConfigError
from hkd.settings.sections import Ema, Optimizer, Run, Training
from hkd.settings.signatures import constructor_arguments
from hkd.store.atomic import sha256
from hkd.store.published import BACKBONES, WEIGHTS
from hkd.training.trainer import Trainer

BASE = {
    "time_map": "rho",
    "time_dist": "uniform_index",
    "time_states": "interp",
    "n_intermediate": 2,
    "lambda1_law": "constant",
    "lambda2": 0.3,
}


def literals(kinds: dict[str, Any]) -> dict[str, tuple[Any, ...]]:
    return {key: get_args(kind) for key, kind in kinds.items() if get_origin(kind) is Literal}


def fields(section: Any) -> dict[str, Any]:
    return {name: field.annotation for name, field in section.model_fields.items()}


CHOICES = literals(constructor_arguments("hkd.methods.hkd.HKD"))


def numbers(value: Any) -> list[float]:
    if isinstance(value, list | tuple):
        return [number for part in value for number in numbers(part)]
    return [value] if isinstance(value, int | float) else []


def pairwise_distinct(seen: dict[Any, Any]) -> None:
    for key, value in seen.items():
        assert np.isfinite(numbers(value)).all(), f"{key} makes what is no number"
        same = [other for other, found in seen.items() if other != key and found == value]
        assert not same, f"{key} does what {same} does"


@pytest.fixture(scope="module")
def batch(trajectories):
    return Trajectories(trajectories).batch(np.arange(4))


def test_the_choices_are_those_of_the_config(tiny_run):
    assert set(CHOICES) <= set(tiny_run("methods/hkd").params)
    assert {"levels", "time_map", "time_draw", "output_wrapper", "combine"} <= set(CHOICES)


@pytest.mark.parametrize("key", sorted(CHOICES))
@torch.no_grad()
def test_no_two_values_of_a_choice_do_the_same(key, tiny_run, build, batch):
    seen = {}
    base = BASE | ({"closure_weight": 0.5} if key == "closure_norm" else {})
    for value in CHOICES[key]:
        method = build(tiny_run("methods/hkd", params={**base, key: value})).eval()
        for index, generator in enumerate(method.student.koopman_parameters()):
            size = 0.3 / method.student.time.span  # in sigma-time rates count 80 times as much
            generator.copy_(size * torch.randn(generator.shape, generator=stream(0, "rates", index)))
        losses = [float(method.losses(batch, step=2, draws=StreamDraws(stream(0, "t")))["student"])]
        noise = torch.randn((2, 3, 8, 8), generator=stream(0, "n"))
        images = method.sample(noise, labels=None, nfe=1, streams=None)
        between = method.student.trajectory(80.0 * noise, [3.3])
        shapes = [(name, tuple(p.shape)) for name, p in method.student.named_parameters()]
        seen[value] = (losses, images.flatten()[:9].tolist(), between.flatten()[:9].tolist(), shapes)
    pairwise_distinct(seen)


# -- the training ----------------------------------------------------------------------------------------------------

EMA = {
    "none": {},
    "constant": {"decay": 0.95},
    "warmup": {"decay": 0.5},
    "halflife": {"halflife_images": 50, "ramp": 0.4},
}
DECAY = {  # the readings of the paper's "weight decay of 0.95"
    "none": {},
    "adamw_0.95": {"optimizer": {"name": "adamw", "weight_decay": 0.95}},
    "adam_l2_0.95": {"optimizer": {"name": "adam", "weight_decay": 0.95}},
    "lr_gamma_0.95": {"schedule": "exponential", "final_lr": 0.95**53},
    "ema_0.95": {"ema": {"kind": "constant", "decay": 0.95}},
}


@pytest.fixture(scope="module")
def weights(tiny_run, build, feed):
    """Averaged weights, as one number each, after three steps of HKD with some training settings."""

    def after(**training) -> list[float]:
        run = tiny_run("methods/hkd", params=BASE, training={"warmup_steps": 0, "schedule": "constant", **training})
        trainer, batches = Trainer(build(run), run.training, seed=0), feed(run)
        trainer.method.train()
        for step in range(3):
            trainer.step(batches(step))
        return [float(value.double().sum()) for value in trainer.averaged().values()]

    return after


def test_every_optimiser_law_and_average_makes_other_weights(weights):
    optimizers, schedules = literals(fields(Optimizer))["name"], literals(fields(Training))["schedule"]
    pairwise_distinct({name: weights(optimizer={"name": name, "weight_decay": 0.5}) for name in optimizers})
    pairwise_distinct({name: weights(schedule=name, final_lr=0.1) for name in schedules})
    kinds = literals(fields(Ema))["kind"]
    pairwise_distinct({kind: weights(ema={"kind": kind, **EMA[kind]}) for kind in kinds})
    pairwise_distinct({clip: weights(clip=clip) for clip in (None, 0.1)})


def test_every_reading_of_the_weight_decay_makes_other_weights(weights):
    pairwise_distinct({name: weights(**training) for name, training in DECAY.items()})


# -- the perceptual distance -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def backbones(tmp_path_factory):
    """A folder of random backbones, stored as torchvision stores its own, whose digests are the pinned ones."""
    lpips = pytest.importorskip("lpips")
    folder = tmp_path_factory.mktemp("backbones")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.nn.Linear, "reset_parameters", lambda self: None)  # of the classifiers, which are dropped
        torch.manual_seed(0)
        for name in sorted(set(BACKBONES.values())):
            network = lpips.LPIPS(net=name.removeprefix("lpips-"), pnet_rand=True, verbose=False).net
            state = {f"features.{key.partition('.')[2]}": value for key, value in network.state_dict().items()}
            torch.save(state, folder / WEIGHTS[name].filename)
    with pytest.MonkeyPatch.context() as patch:
        for name in set(BACKBONES.values()):
            pinned = replace(WEIGHTS[name], sha256=sha256(folder / WEIGHTS[name].filename))
            patch.setitem(WEIGHTS, name, pinned)
        torch.save(random_state(1), folder / "effnet.pth")
        patch.setattr("hkd.experiment.perceptual.located", lambda entry: folder / "effnet.pth")
        yield folder


@pytest.mark.slow
@pytest.mark.ci
def test_every_backbone_and_resize_is_another_distance(tiny_run, perceptual, backbones):
    a, b = (torch.rand((1, 3, 32, 32), generator=stream(0, "picture", k)) * 2 - 1 for k in (0, 1))
    run, seen = tiny_run("methods/hkd"), {}
    for backbone in literals(fields(Run))["perceptual_backbone"]:
        for resize in (None, 64):
            changes = {"perceptual_backbone": backbone, "perceptual_resize": resize, "weights_folder": str(backbones)}
            distance = distance_of(run.model_copy(update=changes), perceptual)
            with torch.no_grad():
                seen[backbone, resize] = float(distance(a, distance.features(b)))
    assert all(value > 0 for value in seen.values())
    pairwise_distinct(seen)


# -- what the ablations say of themselves ----------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["methods/hkd", "ablations/abl_coupled"])
def test_coupled_places_take_as_many_numbers_as_independent_ones(method, root):
    run = Plan.load(str(root / "configs/benchmarks/embedded.yaml"), configs=root / "configs").run("shapes16", method)
    student = experiment.method(run, ImageShape(16, 3, 0), seed=0, parts=None).student
    assert sum(p.numel() for p in student.koopman_parameters()) == 12_288
    assert sum(p.numel() for p in student.parameters()) == 329_987


@pytest.mark.parametrize("name, bound", [("0_1", 0.1), ("0_3", 0.3), ("1", 1.0)])
@torch.no_grad()
def test_a_bounded_radius_keeps_every_mode_within_its_factor(name, bound, tiny_run, build):
    method = build(tiny_run(f"ablations/abl_radius_{name}"))
    for generator in method.student.koopman_parameters():
        generator.fill_(50.0)
    facts = method.diagnostics()
    assert facts["max_abs_alpha"] * method.student.time.span <= bound * (1 + 1e-6)
    for operator in method.student.koopman.values():
        z = torch.ones((1, *operator.generator.shape))
        grown = operator(z, -method.student.time.span).square().sum().sqrt() / z.square().sum().sqrt()
        assert np.exp(-bound) * 0.999 < float(grown) < np.exp(bound) * 1.001


def test_the_corners_of_koopman_and_trajectory_loss_differ_in_what_they_are_named_for(tiny_run):
    def corner(name):
        params = tiny_run(name).params
        return params["frozen"], params["n_intermediate"] > 0

    names = ("methods/hkd", "ablations/abl_no_traj", "ablations/abl_no_koopman_with_traj", "ablations/abl_no_koopman")
    assert [corner(name) for name in names] == [(False, True), (False, False), (True, True), (True, False)]


def test_the_perceptual_ablation_has_no_pixel_loss(tiny_run, build, batch):
    method = build(tiny_run("ablations/abl_lpips_only", params={"n_intermediate": 0})).eval()
    with torch.no_grad():
        image = method.student(batch.state(0), 80.0)
        expected = method.loss.lambda2 * method.distance(image, method.distance.features(batch.near_clean)).mean()
        found = method.losses(batch, step=1, draws=StreamDraws(stream(0, "t")))["student"]
    assert float(found) == pytest.approx(float(expected), rel=1e-5)


def test_settings_that_the_method_refuses_are_one_line_that_names_the_run(tiny_run):
    run = tiny_run("methods/hkd", params={"n_intermediate": 0, "state_weight": 1.0})
    with pytest.raises(ConfigError, match=f"{re.escape(run.title)} cannot be built: state_weight: 1 needs") as refused:
        experiment.method(run, ImageShape(8, 3, 0), seed=0, parts=None)
    assert "\n" not in str(refused.value)
