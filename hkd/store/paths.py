"""The paths of all results, for the rules (with wildcards) and the commands (with values) alike."""

from __future__ import annotations

from dataclasses import dataclass

RUN = "{dataset}/{group}/{method}/seed{seed}"


@dataclass(frozen=True)
class Layout:
    """The paths of each stage's files below the results folder `root`; arguments left out stay wildcards."""

    root: str = "results"

    def data(self, dataset: str = "{dataset}", split: str = "{split}") -> str:
        """Folder of a prepared split: images.npy, manifest.json, labels.npy and factors.npz where they exist."""
        return f"{self.root}/{dataset}/data/{split}"

    def extractor(self, dataset: str = "{dataset}", role: str = "{role}") -> str:
        """Weights of a feature network; `role` is metric or perceptual."""
        return f"{self.root}/{dataset}/extractors/{role}/weights.safetensors"

    def reference(self, dataset: str = "{dataset}") -> str:
        """Features of the reference images."""
        return f"{self.root}/{dataset}/reference/features.npz"

    def trajectories(self, dataset: str = "{dataset}", name: str = "{trajectories}") -> str:
        """Folder of stored teacher trajectories: shards and manifest.json."""
        return f"{self.root}/{dataset}/trajectories/{name}"

    def run(self, dataset: str = "{dataset}", method: str = "{group}/{method}", seed: int | str = "{seed}") -> str:
        """Folder of one run: weights, samples, features, metrics, logs, checkpoints."""
        return f"{self.root}/{dataset}/{method}/seed{seed}"

    def table(self, name: str = "{table}") -> str:
        """A table without its suffix."""
        return f"{self.root}/{name}"
