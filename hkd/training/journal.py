"""What a training says of itself on the way: a line of `history.jsonl` and of the terminal or log, now and then."""

from __future__ import annotations

import json
import math
import resource
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from hkd.settings.origins import ConfigError
from hkd.store.atomic import write_text
from hkd.training.trainer import Trainer

FILE = "history.jsonl"


class Journal:
    """The lines of one training.

    A line has the losses and gradient norms of its step, their means since the line before (`mean/...`), the learning
    rate, the method's own diagnostics, images and operations per second since the line before, the latter also as a
    share of what the devices can do at most (`mfu`), seconds so far and to the end, the most memory that was in use, in
    GiB, and how many steps were not finite. Of operations and shares nothing is said where they are not known.

    Args:
        folder: of the checkpoints. title: of the run. total: steps of the whole training.
        events: folder for TensorBoard's events besides; needs the package `tensorboard`.
    Raises:
        ConfigError: events are wanted, and that package is missing.
    """

    def __init__(self, folder: Path, title: str, total: int, trainer: Trainer, events: Path | None = None) -> None:
        self._path, self._title, self._total, self._trainer = folder / FILE, title, total, trainer
        self._step, self._time = trainer.progress.step, time.monotonic()
        self._events = _event_writer(events, self._step) if events else None
        if (why := _no_share(trainer)) and self._step < total:
            tqdm.write(f"{title}: no MFU is given, {why}", file=sys.stderr)
        # lines beyond the checkpoint belong to steps that will be made again
        lines = self._path.read_text(encoding="utf-8", errors="replace").splitlines() if self._path.is_file() else []
        kept = [line for line in lines if _step_of(line) <= self._step]
        write_text(self._path, "".join(f"{line}\n" for line in kept))

    def remark(self) -> None:
        """Say what was noted about steps that are not finite."""
        for line in self._trainer.remarks:
            tqdm.write(f"{self._title}: {line}", file=sys.stderr)
        self._trainer.remarks.clear()

    def add(self, bar: tqdm[Any]) -> None:
        """Write the line of the step that was just made: to the file, and on a terminal beside the bar, else below."""
        trainer, progress = self._trainer, self._trainer.progress
        facts = trainer.read()
        self.remark()
        facts = facts | _means(trainer.take_recent()) | trainer.method.diagnostics() | self._pace()
        with self._path.open("a", encoding="utf-8") as file:
            line = {key: value if math.isfinite(value) else None for key, value in facts.items()}
            file.write(json.dumps({"step": progress.step, **line}) + "\n")
        if self._events is not None:
            for key, value in facts.items():
                self._events.add_scalar(key, value, progress.step)
            self._events.flush()
        shown = "  ".join(f"{key} {value:.4g}" for key, value in facts.items() if key not in ("seconds", "mean"))
        if bar.disable:
            tqdm.write(f"{self._title}: step {progress.step}/{self._total}  {shown}", file=sys.stderr)
        else:
            share = f", mfu {facts['mfu']:.1%}" if "mfu" in facts else ""
            loss, rate = facts.get("mean/loss/student", math.nan), facts.get("lr", 0)
            bar.set_postfix_str(f"loss {loss:.4g}, lr {rate:.3g}{share}")

    def _pace(self) -> dict[str, float]:
        """Return speed, time and memory, and how many steps were not finite."""
        progress, now = self._trainer.progress, time.monotonic()
        steps, seconds = progress.step - self._step, max(now - self._time, 1e-9)
        self._step, self._time = progress.step, now
        images = steps * self._trainer.settings.batch / seconds
        return {
            "images_per_second": images,
            **self._operations(images),
            "seconds": progress.seconds,
            "seconds_left": (self._total - progress.step) * seconds / max(steps, 1),
            "memory_gib": _most_memory(self._trainer.device) / 2**30,
            "nonfinite_steps": float(progress.nonfinite_steps),
        }

    def _operations(self, images: float) -> dict[str, float]:
        """Return the operations of so many images per second, over all processes, as far as they are known."""
        trainer = self._trainer
        if trainer.flops is None:
            return {}
        found = {"tflops_per_second": trainer.flops * images / 1e12}
        if trainer.peak is not None:
            found["mfu"] = trainer.flops * images / (trainer.peak * trainer.ranks.size)
        return found


def _no_share(trainer: Trainer) -> str:
    """Return why a training's share of its devices' peak is not known; empty where it is."""
    if trainer.peak is None:
        name = torch.cuda.get_device_name(trainer.device) if trainer.device.type == "cuda" else "a CPU"
        return f"because nobody has written down what {name} can do at most (hkd/accelerators.py)"
    return "because the operations of its step were not counted" if trainer.flops is None else ""


def _most_memory(device: torch.device) -> int:
    """Return the most bytes that were in use: on a GPU by tensors, else by this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _means(recent: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return the mean of every loss over some steps, those that are not finite left out."""
    keys = [key for key in recent[-1] if key.startswith("loss/")] if recent else []
    found = {key: [facts[key] for facts in recent if math.isfinite(facts.get(key, math.nan))] for key in keys}
    return {f"mean/{key}": sum(values) / len(values) for key, values in found.items() if values}


def _event_writer(folder: Path, step: int) -> Any:
    """Return what writes events; those beyond a step belong to steps that will be made again."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise ConfigError(
            "--tensorboard: its package is missing; pip install tensorboard, or leave the option out"
        ) from None
    return SummaryWriter(str(folder), purge_step=step + 1 if step else None)


def _step_of(line: str) -> float:
    """Return the step of a line of the history, or infinity for a line that is cut short."""
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return math.inf  # cut short when the training was killed
