"""The checked sections of configs/benchmarks: tables, published statistics, and the benchmark itself."""

from __future__ import annotations

from posixpath import normpath
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationInfo, field_validator

from hkd.settings.columns import DEFAULT, column
from hkd.settings.numerics import Compute
from hkd.settings.origins import Section
from hkd.settings.sections import Batch, FilePath, Folder, Route, Scale, Title


def _once(names: tuple[str, ...]) -> tuple[str, ...]:
    if twice := [name for name in dict.fromkeys(names) if names.count(name) > 1]:
        raise ValueError(f"'{twice[0]}' stands here twice; keep one")
    return names


class Table(Section):
    """One table: the rows printed in the paper, on the data set that stands for the paper's, and our extra rows.

    `run` names the printed rows that this benchmark runs; without it, every row that has a config. The others stay
    visible, without numbers. `columns`: the columns of scores, of those that `hkd.settings.columns` knows. `students`:
    whether rows take shipped weights where the benchmark's `students` says so and the package has them; `live` names
    those of them that are trained in the run as well, as a row of their own. `may_diverge`: runs whose divergence is a
    result, which the table states in the place of numbers; of any other it ends the workflow.
    """

    dataset: str
    reported: str
    rows: str
    run: tuple[str, ...] | None = None
    extra: Annotated[tuple[str, ...], AfterValidator(_once)] = ()
    columns: tuple[str, ...] = DEFAULT
    students: bool = False
    live: Annotated[tuple[str, ...], AfterValidator(_once)] = ()
    may_diverge: Annotated[tuple[str, ...], AfterValidator(_once)] = ()

    @field_validator("columns")
    @classmethod
    def _known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(column(name).name for name in names)


class PublishedStatistics(Section):
    """Statistics of reference images that others have published: an .npz with mu and sigma, and whose layout it has.

    `sha256`: the digest that the file must have. `within`: the largest Fréchet distance of our own reference from it;
    beyond, one of the two is of something else.
    """

    path: FilePath
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    layout: Literal["edm", "ttur", "adm", "clean-fid"] | None = None
    within: Annotated[float, Field(gt=0, le=1e6)]


class Benchmark(Section):
    """What one call of the workflow makes: which tables, on which data, at which scale, with how many seeds.

    Attributes:
        dataset: of the studies, unless a study's own section names one.
        teacher, extractors, students: whether bases, feature networks and the rows of tables that say `students` take
            shipped weights where there are any, or are trained.
        released: imported weights that stand for the training of a run: data set -> run (group/name) -> file.
        source: path of the user's images, where there is one data set of images; data: settings of data sets by name.
        statistics: published statistics by data set, that the reference made of its images is held against.
        rerun: what makes a finished training again: its settings alone, or its `code` too. By default code at the
            small scales and settings at `paper` scale, where a training costs days.
        compute: precision and ways of computing; see `Compute`.
        gpus: how many of them a training may take, if it would not end within its wall time (`resources.minutes`) on
            fewer and its batch can be shared so; every other job takes one. 0: none.
        replace: whether other trainings may take the place of finished ones at `paper` scale.
        fork_server: whether jobs of this machine's CPU are forked from one process that has loaded the libraries.
        leftovers: of jobs that a dead workflow left in SLURM's queue: `wait` for them, or `cancel` them.
    """

    benchmark: Title
    inherits: str | None = None
    scale: Scale
    results: Folder
    figures: Folder
    dataset: str
    seeds: Annotated[int, Field(gt=0, le=10_000)]
    teacher: Route
    extractors: Route
    students: Route = "train"
    extractor: str = "metric"
    rerun: Literal["code", "settings"] | None = None
    replace: bool = False
    leftovers: Literal["wait", "cancel"] = "wait"
    fork_server: bool = True
    released: dict[str, dict[str, FilePath]] = {}
    source: FilePath | None = None
    data: dict[str, dict[str, Any]] = {}
    statistics: dict[str, PublishedStatistics] = {}
    tables: dict[str, Table]
    set: dict[str, Any] = {}
    set_trajectories: dict[str, Any] = {}
    trajectories: dict[str, dict[str, Any]] = {}
    set_extractors: dict[str, Any] = {}
    methods: dict[str, dict[str, Any]] = {}
    studies: dict[str, dict[str, Any]] = {}
    samples_shown: Batch
    trajectory_errors: tuple[str, ...] = ()
    bars: tuple[str, ...] = ()
    gpus: Annotated[int, Field(ge=0, le=1024)] = 0
    compute: Compute = Compute()

    @field_validator("figures")
    @classmethod
    def _beside_the_results(cls, figures: str, about: ValidationInfo) -> str:
        if normpath(figures) == normpath(about.data.get("results", "")):
            raise ValueError("that is the folder of the results; name another")
        return figures

    @property
    def reruns(self) -> str:
        """What makes a finished training again: `code` or `settings`."""
        return self.rerun or ("settings" if self.scale == "paper" else "code")
