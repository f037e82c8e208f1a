"""A training of a small network, for `test_ranks`: FOLDER STEPS MICRO_BATCH [CHECKPOINT_SECONDS [diverging]].

It has 16 images a step. A diverging one is not finite from step 9 on, which is found out when its losses are read.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import torch
from torch import nn

from hkd import interrupt
from hkd.draws import Draws
from hkd.methods.base import Method
from hkd.settings.sections import Ema, Optimizer, Training
from hkd.training.checkpoint import Checkpoints
from hkd.training.loop import Conduct, train
from hkd.training.nonfinite import Diverged
from hkd.training.ranks import of_environment
from hkd.training.trainer import Trainer

BATCH, BAD = 16, 2


class Denoiser(Method):
    """A linear denoiser of points; in one step its loss is not finite."""

    def __init__(self, *, diverging: bool) -> None:
        super().__init__()
        self.diverging = diverging
        torch.manual_seed(0)
        self.student = nn.Linear(6, 6)

    def losses(self, batch: torch.Tensor, *, step: int, draws: Draws) -> dict[str, torch.Tensor]:
        noisy = batch + draws.normal(batch.shape).to(batch)
        error = (self.student(noisy) - batch).square().mean()
        bad = step >= 9 if self.diverging else step == BAD
        return {"student": error * (float("nan") if bad else 1.0)}


def main(folder: Path, steps: int, micro: int, seconds: float = 600.0, diverging: bool = False) -> None:
    interrupt.install()
    folder.mkdir(parents=True, exist_ok=True)
    ranks, device = of_environment(), torch.device(os.environ.get("TOGETHER_DEVICE", "cpu"))
    (folder / f"rank{ranks.rank}.pid").write_text(str(os.getpid()))
    settings = Training(
        steps=steps,
        batch=BATCH,
        optimizer=Optimizer(name="adam", lr=0.01, betas=(0.9, 0.99), eps=1e-8, weight_decay=0.0),
        warmup_steps=0,
        schedule="constant",
        final_lr=1.0,
        clip=1.0,
        ema=Ema(kind="constant", decay=0.9),
        flip=False,
        draws="image",
    )

    def feed(step: int, rows: slice = slice(None)) -> Any:
        time.sleep(0.05 if seconds < 1 else 0)
        return torch.sin(torch.arange(BATCH * 6, dtype=torch.float32).view(BATCH, 6) + step)[rows].to(device)

    with ranks.joined(device):
        built = Denoiser(diverging=diverging).to(device)
        trainer = Trainer(built, settings, seed=0, ranks=ranks, immediate=False if diverging else None)
        conduct = Conduct(micro_batch=micro, checkpoint_seconds=seconds)
        try:
            train(trainer, feed, Checkpoints(folder, "x"), title="t", conduct=conduct)
        except Diverged as error:
            (folder / f"diverged{ranks.rank}").write_text(str(error.step))
            return
        if ranks.first:
            torch.save(trainer.state(), folder / "weights.pt")
            progress = trainer.progress
            facts = {"network_evals": progress.network_evals, "nonfinite": progress.nonfinite}
            (folder / "progress.json").write_text(json.dumps(facts))


if __name__ == "__main__":
    given = sys.argv[1:]
    main(Path(given[0]), int(given[1]), int(given[2]), *map(float, given[3:4]), diverging=given[4:] == ["diverging"])
