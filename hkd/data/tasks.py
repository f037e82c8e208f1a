"""Tasks on which a small feature network is trained: predict the factors, labels or rotations of a data set."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from hkd.data.image_set import ImageSet
from hkd.data.kinds import kind
from hkd.seeding import permutation, stream, visit
from hkd.settings.sections import Data
from hkd.store.refusals import ArtifactError

Resize = Callable[[Tensor, int], Tensor]
NAMES = {"factors": "FD-factor-cnn", "labels": "FD-label-cnn", "rotation": "FD-rotation-cnn"}
HELD_OUT = 2000


class ExtractorTask:
    """Batches to train on, and the quality of a network on held-out images.

    Args:
        task: factors, labels, rotation, or auto: the first of these that the data set offers. Labels are offered
            where images differ in them: of one class a network would learn nothing, at an accuracy of 1.
        size: side in pixels of the network's input; `resize` brings images there.
    Raises:
        ArtifactError: the data set lacks the factors or labels that the task needs, or has a single image.
    """

    def __init__(self, task: str, images: Path, data: Data, *, size: int, resize: Resize, seed: int) -> None:
        self._set = ImageSet(images)
        self._data = data
        self._size = size
        self._resize = resize
        self._seed = seed
        self._set.verify()
        self._kind = kind(data.kind)
        offered = ["factors"] if hasattr(self._kind, "FACTORS") else []
        classes = self._set.class_numbers
        offered += ["labels"] if classes is not None and len(np.unique(classes)) > 1 else []
        if len(self._set) < 2:
            raise ArtifactError(f"{images}: a single image, from which no network learns; give a source of 2 or more")
        self.task = ([*offered, "rotation"])[0] if task == "auto" else task
        if self.task not in (*offered, "rotation"):
            lack = "one class alone" if self.task == "labels" and classes is not None else f"no {self.task}"
            raise ArtifactError(f"{images}: has {lack} to learn from; set extractor task: auto")
        order = permutation(seed, "held-out", 0, len(self._set))
        # images of known factors can be drawn afresh for the test, so none need to be held out
        kept = 0 if self.task == "factors" else max(len(order) // 10, 1)
        self._learn, self._held_out = order[kept:], order[:kept]

    @property
    def heads(self) -> dict[str, int]:
        """The number of outputs of each head, by name."""
        if self.task == "factors":
            return {name: factor.outputs for name, factor in self._kind.FACTORS.items()}
        return {"label": self._set.label_dim} if self.task == "labels" else {"rotation": 4}

    def batch(self, step: int, size: int, device: torch.device) -> ExtractorBatch:
        """Return the batch of a step."""
        indices = self._learn[visit(self._seed, "extractor-order", len(self._learn), step * size, size)]
        return self._examples(indices, stream(self._seed, "extractor-rotation", step), device)

    @torch.no_grad()
    def quality(
        self, network: Callable[[Tensor], Mapping[str, Tensor]], device: torch.device
    ) -> tuple[dict[str, float], dict[str, float]]:
        """Return the accuracy (classes) or R² (values) of every head on held-out images, and that of guessing.

        Guessing is to say the most frequent class, or the mean.
        """
        if self.task == "factors":
            values = self._kind.factors(self._data.seed, "heldout", range(HELD_OUT))
            levels = self._levels(torch.from_numpy(self._kind.render(values, self._set.resolution)))
            whole = ExtractorBatch(levels, self._encoded(values))
        else:
            whole = self._examples(self._held_out[:HELD_OUT], stream(self._seed, "held-out-rotation"), device)
        pieces = [network(levels.to(device)) for levels in whole.levels.split(250)]
        outputs = {name: torch.cat([piece[name] for piece in pieces]).cpu() for name in pieces[0]}
        answers = {name: answer.cpu() for name, answer in whole.answers.items()}
        guessed = {name: _guessed(answer) for name, answer in answers.items()}
        return {name: _score(outputs[name], answer) for name, answer in answers.items()}, guessed

    def _examples(self, indices: np.ndarray, generator: torch.Generator, device: torch.device) -> ExtractorBatch:
        """Return images of the set with their answers; sorted, as a file mapped into memory is read fastest."""
        pixels = torch.from_numpy(self._set.pixels[np.sort(indices)])
        indices = np.sort(indices)
        if self.task == "factors":
            answers = self._encoded(self._kind.factors(self._data.seed, "train", indices))
        elif self.task == "labels":
            assert self._set.class_numbers is not None
            answers = {"label": torch.from_numpy(self._set.class_numbers[indices])}
        else:
            turns = torch.randint(4, (len(indices),), generator=generator)
            pixels, answers = rotated(pixels, turns), {"rotation": turns}
        return ExtractorBatch(self._levels(pixels).to(device), {k: v.to(device) for k, v in answers.items()})

    def _encoded(self, values: Mapping[str, np.ndarray]) -> dict[str, Tensor]:
        answers = {}
        for name, factor in self._kind.FACTORS.items():
            encoded = torch.from_numpy(factor.encode(values[name]))
            answers[name] = encoded if factor.kind == "categorical" else encoded.to(torch.float32)
        return answers

    def _levels(self, pixels: Tensor) -> Tensor:
        return self._resize(pixels.to(torch.float32), self._size)


def _score(output: Tensor, answer: Tensor) -> float:
    """Return the accuracy of a classification, or R² = 1 - residual / variance of a regression."""
    if answer.dtype == torch.int64:
        return float((output.argmax(dim=1) == answer).double().mean())
    residual = (output.double() - answer).square().sum()
    return float(1 - residual / (answer.double() - answer.double().mean(dim=0)).square().sum())


def _guessed(answer: Tensor) -> float:
    """Return the score of the best constant answer."""
    return float(answer.bincount().max()) / len(answer) if answer.dtype == torch.int64 else 0.0


@dataclass(frozen=True)
class ExtractorBatch:
    """Levels in [0, 255], float32 (B, 3, S, S), and the answers that a network should give.

    `answers`: by head, class indices (B,), int64, or values (B, outputs), float32.
    """

    levels: Tensor
    answers: dict[str, Tensor]


def rotated(images: Tensor, quarter_turns: Tensor) -> Tensor:
    """Return square images (B, C, S, S), each turned by its number of quarter turns (B,)."""
    turned = torch.stack([torch.rot90(images, k, dims=(2, 3)) for k in range(4)])
    return turned[quarter_turns, torch.arange(len(images))]
