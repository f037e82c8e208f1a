"""The base class of all methods: the interface that the training loop and the sampler use."""

from __future__ import annotations

from typing import Any, ClassVar, Self

from torch import Tensor, nn

from hkd.draws import Draws
from hkd.seeding import ImageStreams
from hkd.settings.origins import ConfigError


class Method(nn.Module):
    """One method of the tables: an objective for training and a sampler.

    A method is built by `hkd.experiment.build`. Its constructor takes keyword arguments without defaults. Those named
    `student`, `teacher`, `distance`, `total_steps` are handed to it; all others are the `params` of its config. One
    that is a dataclass is built from those `params` that are its fields.

    Attributes:
        trains: attributes that hold a network with an optimiser of its own; empty when nothing is trained.
        samples_with: attributes whose averaged weights are the artefact of a training.
        frozen: attributes that never change, so that no checkpoint keeps them.
        whole_batch: whether the losses are not means over images, so that no part of a batch can go by itself.
    """

    trains: ClassVar[tuple[str, ...]] = ("student",)
    samples_with: ClassVar[tuple[str, ...]] = ("student",)
    frozen: ClassVar[tuple[str, ...]] = ("teacher", "distance")
    whole_batch: bool = False

    def losses(self, batch: Any, *, step: int, draws: Draws) -> dict[str, Tensor]:
        """Return one scalar per trained network, in the order in which the networks are stepped.

        Args:
            batch: what the method's feed yields (`ImageBatch` or `TrajectoryBatch`), on the training device.
            step: optimiser steps made so far.
            draws: random numbers of this step for the images of the batch, on the CPU or on its device.
        """
        raise TypeError(f"{type(self).__name__} trains nothing")

    def after_step(self, step: int) -> None:
        """Update targets, curricula and rounds after optimiser step number `step` (counted from 1)."""

    def rate_factor(self, step: int) -> float:
        """Return the method's own factor of the learning rate at step `step`, counted from 0."""
        return 1.0

    def forgets(self, step: int) -> bool:
        """Whether the optimisers start anew, without their moments, after optimiser step number `step`."""
        return False

    def parameter_groups(self, name: str) -> list[dict[str, Any]]:
        """Return the optimiser groups of network `name`; `lr_scale` multiplies the learning rate of a group."""
        return [{"params": list(getattr(self, name).parameters()), "lr_scale": 1.0}]

    def initialise(self, name: str, state: dict[str, Tensor]) -> None:
        """Load the weights of the base run named by `init` into network `name`."""
        getattr(self, name).load_state_dict(state)

    def diagnostics(self) -> dict[str, float]:
        """Return further numbers to log beside the loss, by name."""
        return {}

    def sample(self, noise: Tensor, *, labels: Tensor | None, nfe: int, streams: ImageStreams) -> Tensor:
        """Return images in [-1, 1] from unit normal noise, both (B, C, H, W), in `nfe` network evaluations.

        Args:
            labels: one-hot classes (B, label_dim) of a conditional model, else None.
            streams: further randomness of each image, for samplers that need it.
        """
        raise TypeError(f"{type(self).__name__} has no sampler")

    def solve(self, noise: Tensor, *, labels: Tensor | None) -> Tensor:
        """Return the images at the other end of the method's own ODE, solved to its own tolerance."""
        raise TypeError(f"{type(self).__name__} has no adaptive solver")

    def one_step(self, x: Tensor, sigma: float, labels: Tensor | None) -> Tensor:
        """Return the clean image that the method predicts, in one evaluation, from a state x at noise level sigma."""
        return getattr(self, self.samples_with[0])(x, sigma, labels)

    def train(self, mode: bool = True) -> Self:
        """Switch dropout on or off; frozen networks stay in evaluation mode."""
        super().train(mode)
        for name in self.frozen:
            part = getattr(self, name, None)
            if isinstance(part, nn.Module):
                part.eval()
        return self

    def artefact(self) -> dict[str, Tensor]:
        """Return the tensors that sampling needs, by name."""
        state: dict[str, Tensor] = {}
        for name in self.samples_with:
            state |= {f"{name}.{key}": value for key, value in getattr(self, name).state_dict().items()}
        return state

    def sampling_parameters(self) -> int:
        """Return how many parameters the networks for sampling have; those that only training needs do not count."""
        return sum(p.numel() for name in self.samples_with for p in getattr(self, name).parameters())

    def load_artefact(self, state: dict[str, Tensor]) -> None:
        """Load what `artefact` returned; every name must be there and no other."""
        for name in self.samples_with:
            part = {key.removeprefix(f"{name}."): v for key, v in state.items() if key.startswith(f"{name}.")}
            getattr(self, name).load_state_dict(part)

    def training_state(self) -> dict[str, Tensor]:
        """Return every tensor that training may change, by name."""
        skip = tuple(f"{name}." for name in self.frozen)
        return {key: value for key, value in self.state_dict().items() if not key.startswith(skip)}

    def load_training_state(self, state: dict[str, Tensor]) -> None:
        """Load what `training_state` returned."""
        own = self.training_state()
        if own.keys() != state.keys():
            raise ValueError(f"the state lacks or adds: {sorted(own.keys() ^ state.keys())[:4]}")
        self.load_state_dict(state, strict=False)


def refuse_nfe(method: Method, nfe: int, allowed: str) -> ConfigError:
    """Return the error for a number of evaluations that a sampler cannot make."""
    return ConfigError(f"{type(method).__name__} samples with {allowed} network evaluations, not {nfe}")
