"""The score before training under every reading: settings, files and parts."""

from __future__ import annotations

from itertools import product
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from hkd.plan.asked import evaluating, passing
from hkd.plan.memory import quality_mb
from hkd.plan.rows import reported
from hkd.plan.runs import Plan
from hkd.plan.scores import extractor_files, feature_code, features_settings
from hkd.plan.stages import run_code
from hkd.plan.study import Study
from hkd.plan.work import Definition, Files, Needs, Stage
from hkd.settings.sections import Ema, Fraction, Positive
from hkd.settings.studies import StudySection
from hkd.store.paths import Layout

NAME = "fingerprint"
OF_THE_PAPER = ("paper", "cifar10", "inception")  # scale, data set and feature network of the printed score


class Fingerprint(StudySection):
    """Readings of the network before training.

    Attributes:
        run: of HKD, whose other settings stay as they are.
        weights: a file in the layout of EDM's released networks; null for the base that the run starts from.
        images, seed: made of each reading.
        decoder_sigma, output_wrapper, operator_init: values of HKD's settings, in every combination.
        averaging: laws of averaging by name, of which the share of initial weights after `epoch_steps` steps of `batch`
            images is printed; share_limit: from where the paper's course excludes a law.
    """

    run: str
    weights: str | None
    images: Annotated[int, Field(ge=2)]
    seed: int
    decoder_sigma: tuple[Literal["sigma_min", "sigma_max", "same_as_input", "latent_time"], ...]
    output_wrapper: tuple[Literal["scaled", "raw", "edm"], ...]
    operator_init: tuple[float, ...]
    averaging: Annotated[dict[str, Ema], Field(min_length=1)]
    epoch_steps: Positive
    batch: Positive
    share_limit: Fraction

    @model_validator(mode="after")
    def _complete(self) -> Fingerprint:
        for key in ("decoder_sigma", "output_wrapper", "operator_init"):
            if not getattr(self, key):
                raise ValueError(f"{key}: state at least one")
        return self


def settings(plan: Plan) -> Fingerprint:
    """Return the study's settings."""
    return plan.study(NAME, Fingerprint)


def dataset(plan: Plan) -> str:
    """Return the study's data set."""
    return plan.study_dataset(settings(plan).dataset)


def readings(plan: Plan) -> list[dict[str, Any]]:
    """Return every reading, as values of HKD's settings."""
    study = settings(plan)
    keys = ("decoder_sigma", "output_wrapper", "operator_init")
    return [dict(zip(keys, values, strict=True)) for values in product(*(getattr(study, key) for key in keys))]


def printed(plan: Plan) -> tuple[float | None, float | None]:
    """Return what the paper prints before training and after its epoch 0; None where no table stands for its data."""
    tables = [table for table in plan.tables.values() if table.dataset == dataset(plan)]
    found = [reported(plan, table).get("tables", {}).get("table5") for table in tables]
    rows = {row["epoch"]: row["mean"] for row in next((table["rows"] for table in found if table), [])}
    return rows.get(None), rows.get(0)


def comparable(plan: Plan) -> bool:
    """Return whether scale, data and feature network are those of the printed score."""
    return (plan.benchmark.scale, dataset(plan), plan.benchmark.extractor) == OF_THE_PAPER


def _measured_files(layout: Layout) -> Files:
    return Files({"readings": layout.top.of(f"{NAME}.json")}, layout.top.log("readings"), recorded=("readings",))


def _measured(plan: Plan) -> Definition:
    study, on = settings(plan), dataset(plan)
    run = plan.run(on, study.run)
    total = study.images * len(readings(plan))
    asked = evaluating(plan, on, study.run, total, least=60) + passing(plan, on, total, least=0)
    init = study.weights or plan.base_weights(on, run.init or "methods/edm")
    return Definition(
        inputs={
            "weights": init,
            "images": plan.layout.data(on, "train").manifest,
            "reference": plan.layout.reference(on),
            "extractors": extractor_files(plan, on),
        },
        settings={
            "readings": readings(plan),
            "released": study.weights is not None,
            **study.model_dump(mode="json", include={"images", "seed"}),
            "network": run.network,
            "params": run.params,
            "features": features_settings(plan, on),
        },
        code=(
            "hkd.studies.fingerprint.readings",
            "hkd.experiment.quality",
            *run_code(plan, on, study.run),
            *feature_code(plan, on),
        ),
        needs=Needs(gpu=plan.gpus, mem_mb=quality_mb(plan, on, study.run, study.images), minutes=asked),
    )


def _table_files(layout: Layout) -> Files:
    return Files({"table": layout.top.of(f"{NAME}.csv")}, layout.top.log(NAME), recorded=("table",))


def _table(plan: Plan) -> Definition:
    include = {"averaging", "epoch_steps", "batch", "share_limit"}
    return Definition(
        inputs={"readings": _measured_files(plan.layout).outputs["readings"]},
        settings={
            **settings(plan).model_dump(mode="json", include=include),
            "printed": list(printed(plan)),
            "comparable": comparable(plan),
        },
        code=("hkd.studies.fingerprint.table",),
    )


MEASURED = Stage("readings", _measured_files, _measured)
TABLE = Stage(NAME, _table_files, _table, local=True)
STUDY = Study(name=NAME, sections={NAME: Fingerprint}, parts=(MEASURED, TABLE))
