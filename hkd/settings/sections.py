"""The checked sections of every settings file: data sets, runs, trajectories, feature networks."""

from __future__ import annotations

from posixpath import normpath
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, field_validator, model_validator

from hkd.settings.origins import Section, nearest
from hkd.store.source import PACKAGE, module_file

CODE = ("hkd", "configs", "rules", "tests", "docs", "profiles")  # folders of the checkout that hold no results
Positive = Annotated[int, Field(gt=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Momentum = Annotated[float, Field(ge=0, lt=1)]
Rate = Annotated[float, Field(gt=0, le=1e6)]
Steps = Annotated[int, Field(ge=0, le=1_000_000_000)]
Batch = Annotated[int, Field(gt=0, le=1_000_000)]
Images = Annotated[int, Field(gt=0, le=100_000_000)]
Width = Annotated[int, Field(gt=0, le=4096)]
Scale = Literal["embedded", "cpu", "paper"]
Route = Literal["train", "shipped"]


def _method_class(target: str) -> str:
    module, _, name = target.rpartition(".")
    inside = module.startswith("hkd.methods.") and target.isascii() and "__" not in target
    if not (inside and name.isidentifier() and module_file(module)):
        raise ValueError("expected a class of the package's methods, as in hkd.methods.multistep.edm.EDM")
    return target


def _folder(name: str) -> str:
    """Refuse what is no folder of results: Snakemake takes braces for wildcards, commands a dash for an option."""
    _line(name)
    if not name.strip():
        raise ValueError("expected a folder, found nothing")
    if any(mark in name for mark in "{}"):
        raise ValueError("braces mean wildcards in the workflow; name a folder without them")
    if name.startswith("~"):
        raise ValueError("~ is not read as your home; write the folder in full, or ./~ for one of that name")
    if name.startswith("-"):
        raise ValueError("a folder that begins with a dash reads as an option; write it as ./" + name)
    if normpath(name).split("/")[0] in (".", *CODE):
        raise ValueError("that is the checkout, or a folder of its files; name one of its own, as in results/mine")
    if any(len(part.encode()) > 200 for part in name.split("/")):
        raise ValueError("the name of a folder has at most 200 bytes")
    return name


def _path(name: str) -> str:
    if name.startswith("~"):
        raise ValueError("~ is not read as your home; write the path in full, or ./~ for one of that name")
    return _line(name)


def _line(text: str) -> str:
    if not text.isprintable():
        raise ValueError("expected one line of printable text")
    return text


Folder = Annotated[str, AfterValidator(_folder)]
FilePath = Annotated[str, AfterValidator(_path)]
Title = Annotated[str, Field(max_length=200), AfterValidator(_line)]
Target = Annotated[str, AfterValidator(_method_class)]


class Data(Section):
    """Where the images come from and how many there are."""

    kind: Annotated[str, Field(pattern=r"^[a-z0-9_]+$")]
    path: FilePath | None = None
    resolution: Annotated[int, Field(ge=8, le=4096)] | None = None
    count: Images | None = None
    reference: Images | None = None
    seed: int = 0
    convert_to_rgb: bool = False
    class_folders: bool = False

    @field_validator("kind")
    @classmethod
    def _known(cls, kind: str) -> str:
        if module_file(f"hkd.data.kinds.{kind}") is None:
            known = [path.stem for path in (PACKAGE / "data/kinds").glob("[!_]*.py")]
            raise ValueError(f"there is no such kind of data. {nearest(kind, known)}")
        return kind


class Dataset(Section):
    """One file of configs/datasets, less its `run` and `scales` sections.

    `licence`: what the authors of the images say of their use.
    `shipped`: weights in the package, by what they stand in for (`methods/edm`); `students`: those of rows that were
    trained before, for long (`methods/ecm`), which a table may show beside what a run trains itself.
    """

    title: Title
    data: Data
    licence: Title = ""
    shipped: dict[str, str] = {}
    students: dict[str, str] = {}


class Optimizer(Section):
    """One of torch's optimisers, by name, with its settings."""

    name: Literal["adam", "adamw", "radam"]
    lr: Rate
    betas: tuple[Momentum, Momentum]
    eps: Rate
    weight_decay: Annotated[float, Field(ge=0)]


class UnpacedOptimizer(Section):
    """An optimiser whose learning rate stands elsewhere."""

    name: Literal["adam", "adamw", "radam"]
    betas: tuple[Momentum, Momentum]
    eps: Rate
    weight_decay: Annotated[float, Field(ge=0)]


class Ema(Section):
    """The averaged weights that are evaluated: per-step decay, or a half-life in images with a ramp."""

    kind: Literal["none", "constant", "warmup", "halflife"]
    decay: Fraction | None = None
    halflife_images: Positive | None = None
    ramp: Annotated[float, Field(gt=0)] | None = None

    @model_validator(mode="after")
    def _complete(self) -> Ema:
        if self.kind in ("constant", "warmup") and self.decay is None:
            raise ValueError(f"kind '{self.kind}' needs 'decay'")
        if self.decay == 1:
            raise ValueError("decay 1 keeps the weights of the start; make it less, or say kind 'none'")
        if self.kind == "halflife" and (self.halflife_images is None or self.ramp is None):
            raise ValueError("kind 'halflife' needs 'halflife_images' and 'ramp'")
        return self


class Training(Section):
    """Length, batch, optimiser and learning-rate law of a training; `milestones` are shares of it, 0 its start.

    `nonfinite`: what becomes of a step whose loss or gradient is not finite: `skip` passes it over, `zero` makes it
    with 0 in place of NaN and ±1e5 in place of ±infinity in the gradient. More than 1 % of such steps among the last
    1,000 (or all, of a shorter training; one is let pass) end it. `draws`: where random numbers come from: one
    sequential `stream` for a step's batch, or an address of its own for every number of every `image`.
    """

    steps: Steps
    batch: Batch
    optimizer: Optimizer
    warmup_steps: Steps
    schedule: Literal["constant", "cosine", "linear", "exponential"]
    final_lr: Fraction
    clip: Rate | None
    ema: Ema
    flip: bool
    nonfinite: Literal["zero", "skip"] = "skip"
    draws: Literal["stream", "image"] = "stream"
    milestones: tuple[Fraction, ...] = ()

    @model_validator(mode="after")
    def _complete(self) -> Training:
        if self.schedule == "exponential" and not self.final_lr:
            raise ValueError("schedule 'exponential' never reaches 'final_lr' 0; give the share of the rate it ends at")
        return self


def _distinct(numbers: tuple[int, ...]) -> tuple[int, ...]:
    if not numbers:
        raise ValueError("expected at least one number")
    if len(set(numbers)) < len(numbers):
        raise ValueError("a number stands here twice; each is a row of its own")
    return numbers


class Sampling(Section):
    """What is generated for measurement. `nfe`: each value is a row of the table.

    `nominal`: with fewer images than this a score is marked as an estimate. `ranges`: into how many disjoint ranges of
    seeds the images are divided for scoring; a score is then the mean over them. `draws`: who draws the noise of a
    sampler's later steps, the `host` from a stream for each image, or the `device` itself; all start from the host's.
    """

    nfe: Annotated[tuple[Positive, ...], AfterValidator(_distinct)]
    n_samples: Images
    nominal: Images
    ranges: Positive = 1
    batch: Batch
    draws: Literal["host", "device"] = "host"

    @model_validator(mode="after")
    def _complete(self) -> Sampling:
        if self.ranges > self.n_samples:
            raise ValueError(f"{self.ranges} 'ranges' of {self.n_samples} images; make them fewer than 'n_samples'")
        return self


class Resources(Section):
    """What a training job asks of the machine at most; not part of what it computes.

    It asks for less where its counts say so (`hkd.plan.asked`), and for more memory when it is tried again. `minutes`:
    its wall time too, for which it takes several GPUs where the benchmark lets it. `gpus`: the most that it can use.
    """

    mem_mb: Annotated[int, Field(gt=0, le=1_000_000_000)]
    minutes: Annotated[int, Field(gt=0, le=1_000_000)]
    gpus: Annotated[int, Field(gt=0, le=1024)] | None = None


NOT_TRAINING = ("title", "category", "sampling", "weights_folder", "resources")  # keys that no weight depends on
PARTS = frozenset({"student", "teacher", "distance", "grader", "total_steps"})  # given to a method beside its `params`


class Run(Section):
    """The resolved settings of one method on one data set at one scale.

    `target` names a class of `hkd.methods`. `init_weights`: which weights of the run named by `init` a training starts
    from, the averaged ones or those of its last step (`raw`).
    """

    title: Title
    category: Title
    target: Target
    feed: Annotated[str, Field(pattern=r"^(images|none|trajectories/[a-z0-9_-]+)$")]
    init: str | None
    init_weights: Literal["averaged", "raw"] = "averaged"
    teacher: str | None
    perceptual: bool
    perceptual_backbone: Literal["cnn", "effnet", "lpips-vgg", "lpips-alex", "piq-vgg"]
    perceptual_resize: Width | None
    conditional: bool
    weights_folder: FilePath
    network: dict[str, Any]
    params: dict[str, Any]
    training: Training
    sampling: Sampling
    resources: Resources


class TrajectorySet(Section):
    """Stored solutions of a base's probability-flow ODE, or pairs of its own sampler.

    `solver`: `heun` and `euler` solve the ODE of an EDM's denoiser in `steps` steps over its noise levels. `sampler`
    calls the base's own sampler with `steps` evaluations, `adaptive` its error-controlled one; both know the two ends
    only. `keep`: `all` states, the `ends` alone, or x_0 and the seed of the noise (`x0+seed`), which is then drawn
    again on reading: the same numbers as `ends` on half the disk.
    """

    title: Title
    teacher: str
    solver: Literal["heun", "euler", "sampler", "adaptive"]
    keep: Literal["all", "ends", "x0+seed"] = "all"
    steps: Annotated[int, Field(ge=2, le=100_000)] | None = None
    sigma_min: Rate | None = None
    sigma_max: Rate | None = None
    rho: Rate | None = None
    count: Images
    shards: Batch
    chunk: Batch
    seed: int

    @model_validator(mode="after")
    def _complete(self) -> TrajectorySet:
        if self.count % self.shards:
            raise ValueError(f"count {self.count} is not a multiple of shards {self.shards}")
        if self.solver != "adaptive" and self.steps is None:
            raise ValueError(f"solver '{self.solver}' needs 'steps'")
        levels = (self.sigma_min, self.sigma_max, self.rho)
        if self.solver in ("heun", "euler") and None in levels:
            raise ValueError(f"solver '{self.solver}' needs 'sigma_min', 'sigma_max' and 'rho'")
        if self.sigma_min and self.sigma_max and self.sigma_min >= self.sigma_max:
            raise ValueError(f"sigma_min {self.sigma_min:g} is not below sigma_max {self.sigma_max:g}")
        if self.solver in ("sampler", "adaptive") and self.keep == "all":
            raise ValueError(
                f"solver '{self.solver}' knows no states between the ends; set 'keep: ends' or 'keep: x0+seed'"
            )
        return self


class Extractor(Section):
    """A small feature network, trained by the workflow: for the metric, or for the perceptual distance."""

    title: Title
    task: Literal["auto", "factors", "labels", "rotation"]
    width: Width
    features: Width
    image_size_factor: Rate
    preprocessing: Literal["A", "B", "C", "E"]
    steps: Annotated[Steps, Field(gt=0)]
    batch: Batch
    lr: Rate
    optimizer: UnpacedOptimizer
    schedule: Literal["constant", "cosine", "linear"]
    final_lr: Fraction
    bar: Annotated[float, Field(ge=0, le=1)]
    seed: int


class PublishedExtractor(Section):
    """A feature network that is not trained here: weights of pinned digest, or seeded random ones.

    `weights` name a file that `hkd fetch` puts into `folder`; those of `effnet` come with a package.
    """

    title: Title
    kind: Literal["inception", "random-inception", "dinov2", "clip", "effnet", "random-effnet"]
    weights: str = ""
    folder: FilePath = "weights"
    seed: int = 0
    diversity: Literal["alex", "vgg"] | None = None
