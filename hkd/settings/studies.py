"""The checked sections of configs/studies: what each study of finished runs does, and on which runs.

A study reads weights, trajectories or metrics that the workflow has made, and writes arrays or a table of its own.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationInfo, field_validator, model_validator

from hkd.settings.origins import Section, nearest
from hkd.settings.sections import Fraction, Positive, Rate

OrderBy = Literal["alpha", "abs_alpha", "abs_eig"]
Draws = Annotated[int, Field(ge=100)]


def _increasing(edges: tuple[float, ...]) -> tuple[float, ...]:
    if any(low >= high for low, high in pairwise((0.0, *edges, 1.0))):
        raise ValueError("must increase within (0, 1)")
    return edges


def _of_the_images(shown: int, about: ValidationInfo) -> int:
    images = about.data.get("images", shown)
    if shown > images:
        raise ValueError(f"there are only {images} images; make it smaller, or `images` larger")
    return shown


Edges = Annotated[tuple[Fraction, ...], AfterValidator(_increasing)]
Shown = Annotated[Positive, AfterValidator(_of_the_images)]


class Variation(Section):
    """One open choice, taken otherwise than the arm that it varies takes it.

    `choice` and `value` name it in the table. `set` are settings of a run, laid over those of `against`. `paper`
    says that the full-scale settings take this value. `not_run` says why there is none.
    """

    choice: str
    value: str
    paper: bool = False
    against: str = "centre"
    set: dict[str, Any] = {}
    not_run: str = ""

    @model_validator(mode="after")
    def _complete(self) -> Variation:
        if bool(self.set) == bool(self.not_run):
            raise ValueError("state either what it sets (`set`) or why it is not run (`not_run`)")
        return self


class Ambiguity(Section):
    """One-at-a-time variations around a run, the centre: which of the choices left open matters?

    `set` is laid over the settings of the centre, for all arms alike. `level` and `power`: of the smallest change
    that the table prints beside each change.
    """

    centre: str
    seeds: Annotated[int, Field(ge=2)]
    nfe: Positive
    level: Annotated[Fraction, Field(gt=0, lt=1)]
    power: Annotated[Fraction, Field(gt=0, lt=1)]
    set: dict[str, Any]
    variations: dict[Annotated[str, Field(pattern=r"^[a-z0-9_]+$")], Variation]

    @field_validator("power")
    @classmethod
    def _above_the_level(cls, power: float, about: ValidationInfo) -> float:
        level = about.data.get("level", 0.0)
        if power <= level:
            raise ValueError(f"must be above the level, {level:g}: a test that sees nothing rejects as often")
        return power

    @model_validator(mode="after")
    def _complete(self) -> Ambiguity:
        if "centre" in self.variations:
            raise ValueError("no variation may be named 'centre'")
        for name, variation in self.variations.items():
            other = variation.against
            known = [n for n, v in self.variations.items() if v.set and v.against == "centre" and n != name]
            if other != "centre" and other not in known:
                raise ValueError(f"variations.{name}.against = '{other}'. {nearest(other, ['centre', *known])}")
        return self


class Spectrum(Section):
    """What the bands of a run's spectrum are, decode to, and add over time.

    Attributes:
        run: whose spectrum the figure shows.
        order_by, ascending, edges: how modes are sorted within a level, and at which shares the order is cut.
        images, batch: images that are decoded, and how many at once.
        times: noise levels, equally spaced in mapped time.
        substitutes: what stands for the modes outside a band.
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


class Interpretability(Section):
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


class Budget(Section):
    """One-step methods at equal numbers of evaluations of the networks that they train.

    Attributes:
        set: settings laid over those of every method.
        methods: what each needs besides, so that its training makes `evaluations`.
        evaluations: of student, target and fake denoiser together, that each training makes.
        images, batch: measured at each milestone, and made at once.
    """

    set: dict[str, Any]
    methods: dict[str, dict[str, Any]]
    evaluations: Positive
    images: Positive
    batch: Positive


class Editing(Section):
    """Blending the modes of one image with those of another, in one region and one band.

    Attributes:
        run: whose figure is drawn.
        source: images drawn by the run, or those of the data set that no method trains on, where there are any.
        ratios: of the other image; control: the ratio at which all modes are blended.
        order_by, ascending, edges, band: which modes are blended.
        mid: noise level at which they are; None for half way through mapped time.
        shown: rows in the figure.
    """

    run: str
    source: Literal["generated", "dataset"]
    images: Positive
    region: Literal["lower_left_triangle", "lower_half", "lower_left_quadrant"]
    ratios: tuple[Fraction, ...]
    control: Fraction
    order_by: OrderBy
    ascending: bool
    edges: Edges
    band: Annotated[int, Field(ge=0)]
    mid: Rate | None
    shown: Shown

    @model_validator(mode="after")
    def _complete(self) -> Editing:
        if not self.ratios:
            raise ValueError("ratios: state at least one")
        if self.band > len(self.edges):
            raise ValueError(f"band {self.band}: {len(self.edges)} edges make the bands 0 to {len(self.edges)}")
        return self


class Inpainting(Section):
    """Restoring images from a part of their pixels or from their luminance; `shown`: columns in the figure."""

    run: str
    source: Literal["generated", "dataset"]
    images: Positive
    masks: tuple[Literal["lower_half", "centre", "grid"], ...]
    steps: Positive
    shown: Shown

    @model_validator(mode="after")
    def _complete(self) -> Inpainting:
        if not self.masks:
            raise ValueError("masks: state at least one")
        return self


class StatesOverTime(Section):
    """What a run makes of a teacher's trajectories: `levels` of their noise levels, `shown` of them in the figure."""

    run: str
    trajectories: str
    images: Positive
    levels: Annotated[int, Field(ge=2)]
    shown: Shown


class Stability(Section):
    """Quality at the milestones of a training; `epochs`: how many the printed ones are counted of."""

    run: str
    epochs: Positive


# What checks each file of configs/studies.
SECTIONS: dict[str, type[Section]] = {
    "ambiguity": Ambiguity,
    "budget": Budget,
    "editing": Editing,
    "inpainting": Inpainting,
    "interpretability": Interpretability,
    "spectrum": Spectrum,
    "stability": Stability,
    "trajectories": StatesOverTime,
}
