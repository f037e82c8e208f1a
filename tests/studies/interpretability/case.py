"""A made-up study with known answers, for the table, the findings and the figure."""

from __future__ import annotations

from typing import Any

import numpy as np

from hkd.studies.interpretability.questions import Interpretability

HKD, CONTROL, MENDED = "methods/hkd", "ablations/abl_encoder_constant", "ablations/abl_closure_loss"
STEPS, COMPUTE = "ablations/abl_no_traj_equal_steps", "ablations/abl_no_traj"
TITLES = {HKD: "HKD", CONTROL: "control", MENDED: "closure loss", STEPS: "equal steps", COMPUTE: "equal compute"}
# what the tests on finished runs change in the smoke benchmark
KEYS: dict[str, Any] = {
    "seeds": 2,
    "studies": {
        "spectrum": {"images": 4, "times": 3},
        "interpretability": {
            "pairs": 16,
            "draws": 100,
            "orders": ["alpha"],
            "factors": [HKD],
            "closure": [HKD, "ablations/abl_decoder_time"],
        },
    },
}
SIGMAS = [80.0, 10.0, 2.0, 0.6, 0.05, 0.002]
STUDY = Interpretability.model_validate(
    {
        "closure": (HKD, MENDED),
        "trajectories": 8,
        "batch": 4,
        "spectra": (HKD, CONTROL),
        "control": CONTROL,
        "initialisations": {HKD: MENDED},
        "factors": (HKD,),
        "orders": ("alpha", "abs_alpha"),
        "pairs": 8,
        "draws": 100,
        "tolerance": 0.1,
        "trajectory_loss": HKD,
        "equal_steps": STEPS,
        "equal_compute": COMPUTE,
        "rules": {
            "closed_below": 0.1,
            "accessible_below": 0.25,
            "apart": 0.5,
            "determined_above": 0.9,
            "significance": 0.05,
            "confidence": 0.95,
            "middle": (0.5, 20.0),
        },
    }
)


def closure(
    latent: float = 0.5, state: float = 0.9, clean: float = 0.1, still: float = 1.0, **beside: float
) -> dict[str, Any]:
    """Errors that are the same at all noise levels; states have size 1, as their clean image."""
    count = len(SIGMAS)
    flat = {"state": state, "clean": clean, "one_step": 0.3, "size": 1.0}
    flat |= {"state_perfect": 0.99, "state_teacher": 0.98, "predicted": 0.3, "predicted_teacher": 0.4}
    flat |= {"denoised": 0.7, "denoised_perfect": 0.8, "denoised_teacher": 0.6}
    flat |= {"skipped": 0.4, "skipped_perfect": 0.2, "skipped_teacher": 0.5, **beside}
    return {
        "n": 8,
        "sigmas": SIGMAS,
        "latent": [[0.0, 0.0], *[[latent, latent]] * (count - 1)],
        "still": [[0.0, 0.0], *[[still, still]] * (count - 1)],
        **{name: [value] * count for name, value in flat.items()},
    }


def factors(separation: float = 0.3, control: float = 0.5, seed: int = 0, special: float = 0.3) -> dict[str, Any]:
    """A test whose null reaches about 0.1."""
    null = 0.05 + 0.03 * np.random.default_rng(seed).random(100)
    p_value, special_p = ((1 + int((null >= score).sum())) / 101 for score in (separation, special))
    shares = np.random.default_rng(seed + 1).random((3, 4))
    return {
        "factors": ["hue", "class", "size", "stripe_phase"],
        "heights": [16, 8],
        "weights": shares.tolist(),
        "separation": separation,
        "null": null.tolist(),
        "p_value": p_value,
        "specialisation": special,
        "specialisation_null": null.tolist(),
        "specialisation_p_value": special_p,
        "control": shares[:2].tolist(),
        "control_separation": control,
        "control_specialisation": control / 2,
        "carries": p_value < 0.05,
    }


def pair(run: str, kind: str, mean: float, order: str = "alpha", p_value: float = 0.01) -> dict[str, Any]:
    null = np.random.default_rng(0).normal(0, 0.02, 100).tolist()
    return {"run": run, "kind": kind, "order_by": order, "mean": mean, "p_value": p_value, "null": null}


def losses(fdn: list[float], error: list[float]) -> dict[str, Any]:
    errors = [{"sigmas": [80.0, 10.0, 2.0, 0.002], "mse_to_x_eps": [9.0, value, value, 9.0]} for value in error]
    return {"fdn": fdn, "doubts": [], "errors": errors}


def quality(*fdn: float) -> dict[str, Any]:
    return {"fdn": list(fdn), "doubts": []}


def measured(**changes: Any) -> dict[str, Any]:
    """Three seeds: latents not closed and mended, seeds that agree in part, a loss that helps from the middle alone."""
    agreement = [
        pair(run, kind, mean + shift, order)
        for order in STUDY.orders
        for run, kind, mean in ((HKD, "seeds", 0.5), (CONTROL, "seeds", 0.95), (HKD, "initial operators", 0.3))
        for shift in (-0.01, 0.0, 0.01)
    ]
    return {
        "closure": {
            HKD: [closure(0.5 + k / 100) for k in range(3)],
            MENDED: [closure(0.05 + k / 1000) for k in range(3)],
        },
        "quality": {HKD: quality(15.0, 16.0, 15.5), MENDED: quality(15.9, 16.8, 16.6)},
        "agreement": agreement,
        "factors": {HKD: {order: [factors(seed=k) for k in range(3)] for order in STUDY.orders}},
        "losses": {
            HKD: losses([15.0, 16.0, 15.5], [0.010, 0.011, 0.012]),
            STEPS: losses([15.4, 15.8, 15.6], [0.030, 0.032, 0.033]),
            COMPUTE: losses([14.0, 15.1, 14.4], [0.028, 0.029, 0.031]),
        },
        **changes,
    }
