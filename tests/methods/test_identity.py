"""The settings of every row at full scale, typed a second time from its source."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest
import torch

from hkd.nets.assemble import build as build_network
from hkd.nets.presets import NetworkConfig
from hkd.plan.runs import Plan

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
CONTROLS = {
    "regression",
    "regression_perceptual",
    "metric_trained",
    "untrained",
}  # ours, with nobody's identity to keep

# What it is. `parameters`: of the network at 32 pixels, where it is known. `start`: the base whose weights it begins
# with. `feed`: what it learns from. `distance`: the perceptual one, and its resize.
IS = """
method          class             network parameters wrapper     dropout start    teacher  feed           distance
ddpm            DDPM              ddpm    35746307   none        0.1     -        -        images         -
ddim            DDIM              ddpm    35746307   none        0.1     ddpm     -        none           -
score_sde       ScoreSDE          ncsnpp  62758787   none        0.1     -        -        images         -
score_sde_deep  ScoreSDE          ncsnpp  -          none        0.1     -        -        images         -
edm             EDM               ddpmpp  55733891   edm         0.13    -        -        images         -
edm_cond        EDM               ddpmpp  55735299   edm         0.13    -        -        images         -
edm_ve          EDM               ncsnpp  56397827   edm         0.13    -        -        images         -
kd              KD                ddpm    35746307   none        0.0     ddpm     -        ddim-pairs     -
pd              PD                ncsnpp  56397827   edm         0.0     edm_ve   edm_ve   images         -
cd              CD                ncsnpp  56397827   consistency 0.0     edm_ve   edm_ve   images         lpips-vgg 224
ct              CT                ncsnpp  56395523   consistency 0.0     -        -        images         lpips-vgg 224
ict             ICT               ncsnpp  56395523   consistency 0.3     -        -        images         -
ict_deep        ICT               ncsnpp  97610499   consistency 0.3     -        -        images         -
ecm             ECM               ddpmpp  55733891   edm         0.2     edm      -        images         -
dmd             DMD               ddpmpp  55733891   edm         0.0     edm      edm      edm-pairs      piq-vgg 224
dmd_cond        DMD               ddpmpp  55735299   edm         0.0     edm_cond edm_cond edm-cond-pairs piq-vgg 224
dmd_no_reg      DMD               ddpmpp  55733891   edm         0.0     edm      edm      images         -
dmd_no_reg_cond DMD               ddpmpp  55735299   edm         0.0     edm_cond edm_cond images         -
dmd_no_kl       DMDRegressionOnly ddpmpp  55733891   edm         0.0     edm      edm      edm-pairs      piq-vgg 224
dmd_no_kl_cond  DMDRegressionOnly ddpmpp  55735299   edm         0.0     edm_cond edm_cond edm-cond-pairs piq-vgg 224
flow1           RectifiedFlow     ddpmpp  61804419   none        0.15    -        -        images         -
flow2           Reflow            ddpmpp  61804419   none        0.1     flow1    -        flow1-reflow   -
flow3           Reflow            ddpmpp  61804419   none        0.1     flow2    -        flow2-reflow   -
rf1             FlowDistillation  ddpmpp  61804419   none        0.1     flow1    -        flow1-distil   lpips-vgg raw
rf2             FlowDistillation  ddpmpp  61804419   none        0.1     flow2    -        flow2-distil   lpips-vgg raw
rf3             FlowDistillation  ddpmpp  61804419   none        0.1     flow3    -        flow3-distil   lpips-vgg raw
rf2pp           RF2PlusPlus       ncsnpp  56397827   edm         0.13    edm_ve   -        edm-ve-pairs   piq-vgg 224
kdm             KDM               kdm     47476165   none        0.1     -        -        edm-kdm        piq-vgg raw
hkd             HKD               ddpmpp  55733891   edm         0.0     edm      -        edm-heun       lpips-vgg raw
hkd_cond        HKD               ddpmpp  55735299   edm         0.0     edm_cond -        edm-cond-heun  lpips-vgg raw
"""

# How it is trained. `decay`: of the weights. `average`: kind and decay, or half-life in images and its ramp.
TRAINED = """
method           optimiser lr   beta2 decay warmup clip average                batch steps   flip nfe
ddpm             adam      2e-4 0.999 0     5000   1    constant 0.9999        128   800000  yes  1000
ddim             adam      2e-4 0.999 0     5000   1    constant 0.9999        128   0       yes  100,10
score_sde        adam      2e-4 0.999 0     5000   1    warmup 0.999           128   1300000 yes  2000
score_sde_deep   adam      2e-4 0.999 0     5000   1    warmup 0.999           128   950000  yes  2000
edm              adam      1e-3 0.999 0     19531  -    halflife 500000 0.05   512   390625  no   35,15
edm_cond         adam      1e-3 0.999 0     19531  -    halflife 500000 0.05   512   390625  no   35
edm_ve           adam      1e-3 0.999 0     19531  -    halflife 500000 0.05   512   390625  no   35,15
kd               adam      2e-4 0.98  0     5000   -    constant 0.995         512   50000   no   1
pd               adam      5e-5 0.999 0     0      1    none                   512   750000  yes  1
cd               radam     4e-4 0.999 0     0      -    constant 0.9999        512   800000  yes  1
ct               radam     4e-4 0.999 0     0      -    constant 0.9999        512   800000  yes  1
ict              radam     1e-4 0.999 0     0      -    constant 0.99993       1024  400000  yes  1
ict_deep         radam     1e-4 0.999 0     0      -    constant 0.99993       1024  400000  yes  1
ecm              radam     1e-4 0.999 0     0      -    constant 0.9999        128   400000  no   1
dmd              adamw     5e-5 0.999 0.01  500    10   none                   392   300000  no   1
dmd_cond         adamw     5e-5 0.999 0.01  500    10   none                   392   300000  no   1
dmd_no_reg       adamw     1e-5 0.999 0.01  500    10   none                   392   300000  no   1
dmd_no_reg_cond  adamw     1e-5 0.999 0.01  500    10   none                   392   300000  no   1
dmd_no_kl        adamw     5e-5 0.999 0.01  500    10   none                   392   300000  no   1
dmd_no_kl_cond   adamw     5e-5 0.999 0.01  500    10   none                   392   300000  no   1
flow1            adam      2e-4 0.999 0     5000   1    warmup 0.999999        128   1300000 yes  1
flow2            adam      2e-4 0.999 0     5000   1    constant 0.9999        128   300000  no   1
flow3            adam      2e-4 0.999 0     5000   1    constant 0.9999        128   300000  no   1
rf1              adam      2e-4 0.999 0     5000   1    constant 0.9999        128   300000  no   1
rf2              adam      2e-4 0.999 0     5000   1    constant 0.9999        128   300000  no   1
rf3              adam      2e-4 0.999 0     5000   1    constant 0.9999        128   300000  no   1
rf2pp            adam      2e-4 0.999 0     5000   -    constant 0.9999        512   800000  no   1
kdm              adam      3e-4 0.999 0     0      -    constant 0.9999        128   800001  no   1
hkd              adam      1e-3 0.999 0     0      -    warmup   0.9999        256   50000   no   1
hkd_cond         adam      1e-3 0.999 0     0      -    warmup   0.9999        256   50000   no   1
"""

GRID = {"sigma_min": 0.002, "sigma_max": 80.0, "rho": 7.0}
EDM = {"p_mean": -1.2, "p_std": 1.2, "sigma_data": 0.5, "augment": 0.12, **GRID}
DDPM = {"diffusion_steps": 1000, "beta_first": 1e-4, "beta_last": 0.02}
SCORE_SDE = {"sigma_min": 0.01, "sigma_max": 50.0, "t_min": 1e-5, "snr": 0.16, "corrector_norms": "image"}
ICT = {"s0": 10, "s1": 1280, "p_mean": -1.1, "p_std": 2.0, "huber": 0.00054, **GRID}
ECM = {"p_mean": -1.1, "p_std": 2.0, "q": 2.0, "k": 8.0, "b": 1.0, "c": 0.0, "stage_steps": 25000}
ECM |= {"sigma_data": 0.5, "sigma_max": 80.0, "evaluation_sigma_min": 0.003}
DMD = {"regression_weight": 0.5, "levels": 1000, "lowest": 0.02, "highest": 0.98, "sigma_data": 0.5, **GRID}
FLOW = {"t_min": 1e-3, "rtol": 1e-5, "atol": 1e-5}
HKD = {**GRID, "levels": "per_skip", "bottleneck_operator": "shared", "coupling": "none", "pairing": "half"}
HKD |= {"time_map": "sigma", "encoder_sigma": "input", "decoder_sigma": "sigma_min", "output_wrapper": "scaled"}
HKD |= {"conditioning": "shared", "alpha_clamp": None, "alpha_bound": None, "radius_bound": None, "frozen": False}
HKD |= {"operator_init": 0.0, "operator_lr_scale": 1.0, "time_dist": "uniform_t", "time_states": "interp"}
HKD |= {"time_draw": "per_sample", "time_support": "eps_to_T", "n_intermediate": 4, "combine": "mean_plus_recon"}
HKD |= {"target_state": "x_eps", "distance_form": "weighted", "mse_reduction": "mean", "lambda1_law": "anneal"}
HKD |= {"lambda2": 1.0, "closure_weight": 0.0, "closure_norm": "image", "state_weight": 0.0}
PARAMS = {
    "ddpm": DDPM,
    "ddim": {**DDPM, "eta": 0.0, "sequence": "quadratic"},
    "score_sde": SCORE_SDE,
    "score_sde_deep": SCORE_SDE,
    **dict.fromkeys(("edm", "edm_cond", "edm_ve"), EDM),
    "kd": {"time": 999.0},
    "pd": {"first_segments": 4096, "stage_steps": 50000, **GRID},
    "cd": {"points": 18, **GRID},
    "ct": {"s0": 2, "s1": 150, "mu0": 0.9, "decay_over": "intervals", **GRID},
    "ict": ICT,
    "ict_deep": ICT,
    "ecm": ECM,
    "dmd": DMD,
    "dmd_cond": {**DMD, "regression_weight": 0.25},
    "dmd_no_reg": {**DMD, "regression_weight": 0.0},
    "dmd_no_reg_cond": {**DMD, "regression_weight": 0.0},
    "dmd_no_kl": {**DMD, "regression_weight": 1.0},
    "dmd_no_kl_cond": {**DMD, "regression_weight": 1.0},
    **dict.fromkeys(("flow1", "flow2", "flow3", "rf1", "rf2", "rf3"), FLOW),
    "rf2pp": {"t_margin": 1e-5, "t_rate": 4.0, "huber": 0.00054},
    "kdm": {"sigma_max": 80.0, "latent_noise": 0.4, "adversarial_weight": 0.01, "discriminator_width": 64},
    "hkd": HKD,
    "hkd_cond": HKD,
}

PAIRS = """
set            teacher  solver   steps count   keep
ddim-pairs     ddim     sampler  100   1024000 ends
edm-heun       edm      heun     18    50000   all
edm-cond-heun  edm_cond heun     18    50000   all
edm-pairs      edm      heun     18    500000  ends
edm-cond-pairs edm_cond heun     18    100000  ends
edm-kdm        edm      heun     18    1000000 ends
edm-ve-pairs   edm_ve   heun     18    1000000 ends
flow1-reflow   flow1    adaptive -     1000000 ends
flow1-distil   flow1    adaptive -     1000000 ends
flow2-reflow   flow2    adaptive -     1000000 ends
flow2-distil   flow2    adaptive -     1000000 ends
flow3-distil   flow3    adaptive -     1000000 ends
"""


def lines(table: str) -> dict[str, list[str]]:
    return {words[0]: words[1:] for words in map(str.split, table.strip().splitlines()[1:])}


def short(value) -> str:
    """A value as the tables write it: `-` for none, a base without its group, a number without zeros."""
    if value is None or value is False:
        return "-"
    return value.rpartition("/")[2] if isinstance(value, str) else f"{value:.12g}"


def test_every_row_has_an_entry_in_every_table_of_sources():
    names = {path.stem for path in CONFIGS.glob("methods/*.yaml")} - CONTROLS
    assert set(lines(IS)) == set(lines(TRAINED)) == set(PARAMS) == names
    assert {row[7] for row in lines(IS).values()} - {"images", "none"} == set(lines(PAIRS))


@pytest.mark.parametrize("name", lines(IS))
def test_a_row_stands_on_what_its_source_says(settings, name):
    run = settings(name)
    distance = f"{run.perceptual_backbone} {run.perceptual_resize or 'raw'}" if run.perceptual else "-"
    kind, preset, _, *rest = lines(IS)[name]
    assert (run.target.rpartition(".")[2], run.network["preset"]) == (kind, preset)
    found = [run.network["precond"], str(run.network["dropout"]), short(run.init), short(run.teacher)]
    assert [*found, short(run.feed), *distance.split()] == rest
    assert run.conditional == name.endswith("_cond")


@pytest.mark.parametrize(("name", "count"), [(name, row[2]) for name, row in lines(IS).items() if row[2] != "-"])
def test_a_full_size_network_has_the_number_of_parameters_of_its_source(settings, name, count):
    run = settings(name)
    network = NetworkConfig(**{**run.network, "dropout": 0.0})
    assert parameters(network, 10 if run.conditional else 0) == int(count)


@cache
def parameters(config: NetworkConfig, label_dim: int) -> int:
    with torch.device("meta"):
        network = build_network(config, resolution=32, channels=3, label_dim=label_dim)
    return sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize("name", lines(TRAINED))
def test_a_row_is_trained_as_its_source_says(settings, name):
    training, nfe = settings(name).training, settings(name).sampling.nfe
    optimizer, ema = training.optimizer, training.ema
    words = [optimizer.name, optimizer.lr, optimizer.betas[1], optimizer.weight_decay, training.warmup_steps]
    words += [training.clip, ema.kind, *(v for v in (ema.decay, ema.halflife_images, ema.ramp) if v is not None)]
    words += [training.batch, training.steps, "yes" if training.flip else "no", ",".join(map(str, nfe))]
    plain = [short(float(word)) if word[0].isdigit() and "," not in word else word for word in lines(TRAINED)[name]]
    assert [short(word) for word in words] == plain
    assert (optimizer.betas[0], optimizer.eps, training.schedule) == (0.9, 1e-8, "constant")


@pytest.mark.parametrize("name", PARAMS)
def test_a_row_has_the_parameters_of_its_source(settings, name):
    assert settings(name).params == PARAMS[name]


@pytest.mark.parametrize("name", lines(PAIRS))
def test_pairs_are_made_as_their_source_says(name):
    spec = Plan.load(str(CONFIGS / "benchmarks/embedded.yaml"), {"scale": "paper"}, CONFIGS).trajectory_set(
        "cifar10", name
    )
    steps = "-" if spec.solver == "adaptive" else short(spec.steps)
    assert [short(spec.teacher), spec.solver, steps, short(spec.count), spec.keep] == lines(PAIRS)[name]
