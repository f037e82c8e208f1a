"""What the study of interpretability asks: its settings, and which of them are refused."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from hkd.plan.runs import Plan
from hkd.settings.origins import ConfigError, Section, nearest
from hkd.settings.sections import Fraction, Positive
from hkd.settings.studies import Draws, Edges, OrderBy, Shown, StudySection

NAME = "interpretability"


class Spectrum(StudySection):
    """What the bands of a run's spectrum are, decode to, and add over time.

    Attributes:
        run: whose spectrum the figure shows.
        order_by, ascending, edges: how modes are sorted within a level, and at which shares the order is cut.
        images, batch: images that are decoded, and how many at once.
        times: noise levels, equally spaced in mapped time.
        substitutes: what stands for the modes outside a band.
        groups, moments: by the magnitude of the real part, as in the paper's figure, and at how many times.
        shown: images in the figure.
    """

    run: str
    order_by: OrderBy
    ascending: bool
    edges: Edges
    images: Positive
    batch: Positive
    times: Annotated[int, Field(ge=2)]
    substitutes: tuple[Literal["zero", "mean"], ...]
    groups: Positive
    moments: Annotated[int, Field(ge=2)]
    shown: Shown


class Rules(Section):
    """What counts as an answer, fixed before looking.

    Attributes:
        closed_below: largest relative closure error of latents that counts as closed.
        accessible_below: largest relative error of a decoded state that counts as that state.
        apart: noise level above which a state and its clean image are not nearly the same.
        determined_above: rank correlation of two spectra from which they count as the same.
        significance: of permutation tests. confidence: of intervals over seeds.
        middle: noise levels between which errors from the middle of a trajectory are averaged.
    """

    closed_below: Fraction
    accessible_below: Fraction
    apart: Annotated[float, Field(gt=0)]
    determined_above: Fraction
    significance: Fraction
    confidence: Fraction
    middle: tuple[float, float]

    @field_validator("middle")
    @classmethod
    def _ascending(cls, middle: tuple[float, float]) -> tuple[float, float]:
        if not middle[0] < middle[1]:
            raise ValueError("the first noise level must be below the second")
        return middle


class Interpretability(StudySection):
    """Which runs answer which question about HKD's interpretability, and by which rules.

    Attributes:
        closure: runs whose intermediate states are held against the teacher's; trajectories: at most so many; batch: at
            once.
        spectra: runs whose spectra are compared between seeds; initialisations: and with the run named beside each,
            whose operators started elsewhere. control: the one whose spectrum the loss can determine.
        factors: runs whose bands are tested for factors, for each of `orders`; pairs: of images; draws: permutations;
            tolerance: share of a factor's range within which two images count as alike.
        trajectory_loss, equal_steps, equal_compute: the run with that loss, and those without.
    """

    closure: tuple[str, ...]
    trajectories: Positive
    batch: Positive
    spectra: tuple[str, ...]
    control: str
    initialisations: dict[str, str]
    factors: tuple[str, ...]
    orders: tuple[OrderBy, ...]
    pairs: Positive
    draws: Draws
    tolerance: Fraction
    trajectory_loss: str
    equal_steps: str
    equal_compute: str
    rules: Rules


def settings(plan: Plan) -> Interpretability:
    """Return the study's settings."""
    return plan.study(NAME, Interpretability)


def spectrum_settings(plan: Plan) -> Spectrum:
    """Return the settings of the bands."""
    return plan.study("spectrum", Spectrum)


def dataset(plan: Plan) -> str:
    """Return the study's data set."""
    return plan.study_dataset(settings(plan).dataset)


def spectrum_dataset(plan: Plan) -> str:
    """Return the data set of the run whose spectrum is shown."""
    return plan.study_dataset(spectrum_settings(plan).dataset)


# -- what is refused ---------------------------------------------------------------------------------------------------


def check(plan: Plan) -> None:
    """Refuse questions that name nothing to compare, and settings that contradict each other.

    Raises:
        ConfigError: naming the key.
    """
    study, order_by = settings(plan), spectrum_settings(plan).order_by
    for key in ("closure", "spectra", "factors", "orders"):
        if not getattr(study, key):
            raise ConfigError(f"studies/{NAME}.yaml, {key}: is empty; name at least one")
    if order_by not in study.orders:
        hint = nearest(order_by, list(study.orders))
        raise ConfigError(f"studies/spectrum.yaml, order_by: '{order_by}' is not among the orders of {NAME}. {hint}")
    for key, compared in {"control": (study.control,), "initialisations": study.initialisations}.items():
        for run in compared:
            if run not in study.spectra:
                hint = nearest(run, list(study.spectra))
                raise ConfigError(f"studies/{NAME}.yaml, {key}: '{run}' is not among its spectra. {hint}")


def check_runs(plan: Plan) -> None:
    """Refuse runs that no config describes. Benchmarks that do not ask for the study may lack them.

    Raises:
        ConfigError: naming the key.
    """
    study = settings(plan)
    named = {"closure": study.closure, "spectra": study.spectra, "factors": study.factors}
    named["initialisations"] = (*study.initialisations, *study.initialisations.values())
    for key in ("trajectory_loss", "equal_steps", "equal_compute", "control"):
        named[key] = (getattr(study, key),)
    for key, runs in named.items():
        for run in runs:
            try:
                plan.run(dataset(plan), run)
            except ConfigError as error:
                raise ConfigError(f"studies/{NAME}.yaml, {key}: '{run}' is no run ({error})") from None
