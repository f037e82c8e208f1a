"""The quantities of the study of interpretability: a short name for the code, and the words of the table."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Quantity:
    """What a row measures: a short name, and the words of the table."""

    key: str
    text: str


LATENT = Quantity("latent", "closure error of latents, largest over times")
MOVED = Quantity("moved", "closure error of latents over that of latents left as they are, mean over times")
STATE = Quantity("state", "decoded latents against the state, largest relative error over times")
NEARER = Quantity(
    "nearer", "share of noise levels at which decoded latents are nearer to the state than to the clean image"
)
ONE_STEP = Quantity(
    "one_step", "clean image predicted from x_T against that from the state, mean relative error over times"
)
DENOISED = Quantity("denoised", "decoded latents against E[x_0 | x_t], largest relative error over times")
SKIPPED = Quantity(
    "skipped", "decoded latents with the skip of their noise level against the state, largest relative error over times"
)
PREDICTED = Quantity(
    "predicted", "clean image predicted from every state against x_eps, mean relative error over times"
)
QUALITY = Quantity("quality", "FDn in one step")
PRICE = Quantity("price", "FDn in one step: of the variant less that of the first run")
FDN = Quantity("fdn", "FDn")
MIDDLE = Quantity("middle", "squared error of the clean image predicted from middle states")


def agreement_between(kind: str, order: str) -> Quantity:
    """Return the agreement of spectra between `seeds` or `initial operators`, with modes sorted by `order`."""
    return Quantity(f"agreement {kind} {order}", f"rank correlation of modes by {order} between {kind}")


def gain_at_equal(budget: str, of: Quantity) -> Quantity:
    """Return the gain from the trajectory loss at an equal budget, `steps` or `compute`."""
    return Quantity(f"gain {budget} {of.key}", f"{of.text}: without the loss less with it, at equal {budget}")


def separation_by(order: str) -> Quantity:
    """Return the separation of factors by bands."""
    return Quantity(f"separation {order}", f"separation by {order}")


def specialisation_by(order: str) -> Quantity:
    """Return the specialisation of bands."""
    return Quantity(f"specialisation {order}", f"specialisation by {order}")


def control_of(order: str) -> Quantity:
    """Return the separation by swapped resolutions, the positive control of an order of modes."""
    return Quantity(f"control {order}", f"separation by resolution, the positive control of {order}")
