"""The section `compute` of a benchmark: in which precision and how a GPU computes."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from hkd.settings.origins import Section

Precision = Literal["fp32", "tf32", "bf16"]


class Compute(Section):
    """In which precision trainings and evaluations compute, and how. A CPU knows no `tf32`.

    Attributes:
        precision: of trainings: everything in float32 (`fp32`), its products and convolutions rounded to 10 bits
            (`tf32`), or the networks alone in bfloat16 (`bf16`).
        evaluation: of everything else on a GPU: trajectories, images, errors, studies. Features are `fp32` always.
        compile: whether trainings compile their networks. Changes speed and rounding, no setting of a result.
        deterministic: whether a GPU is kept to algorithms that give the same bits every time, at a cost in speed.
        evolution_mb: MiB that the evolution of latents may take at a time beside the latents: what takes more is cut
            into pieces. No number of a result depends on it. A compiled training needs no tables, and does not ask.
    """

    precision: Precision = "fp32"
    evaluation: Literal["fp32", "tf32"] = "fp32"
    compile: bool = False
    deterministic: bool = False
    evolution_mb: Annotated[int, Field(gt=0, le=1 << 20)] = 1024
