"""Every name of a file below the results folder, for rules (with wildcards) and commands (with values) alike."""

from __future__ import annotations

from dataclasses import dataclass

DATASET, METHOD, SEED, NFE = "{dataset}", "{group}/{method}", "{seed}", "{nfe}"


class Folder(str):
    """A folder as a path that can be printed, and the files inside it."""

    def of(self, name: str) -> str:
        """Return the path of a file inside, by its name relative to the folder."""
        return f"{self}/{name}"

    def log(self, name: str) -> str:
        """Return where the log and the benchmark record of a job lie, without their suffix."""
        return f"{self}/logs/{name}"


class DataFiles(Folder):
    """A prepared split: images, labels and factors where there are any, and the manifest that counts them."""

    @property
    def images(self) -> str:
        """Pixels as one uint8 array."""
        return self.of("images.npy")

    @property
    def manifest(self) -> str:
        """What the split holds; written last."""
        return self.of("manifest.json")


class TrajectoryFiles(Folder):
    """A set of stored trajectories: shards, and the manifest that lists them."""

    @property
    def manifest(self) -> str:
        """What the set holds; written when all shards are there."""
        return self.of("manifest.json")

    def shard(self, number: int | str = "{shard}") -> str:
        """States of one shard."""
        return self.of(f"shard{number}.npy")

    def parts(self, number: int) -> str:
        """Folder of what is finished of a shard that is not."""
        return self.of(f"parts{number}")


class RunFiles(Folder):
    """One run: everything that is made of one method, on one data set, from one seed."""

    @property
    def weights(self) -> str:
        """Averaged weights."""
        return self.of("weights.safetensors")

    @property
    def raw(self) -> str:
        """Weights of the last step, not averaged."""
        return self.of("raw.safetensors")

    @property
    def config(self) -> str:
        """Resolved settings: enough to repeat the run."""
        return self.of("config.yaml")

    @property
    def milestones(self) -> str:
        """Folder of the weights on the way, averaged and raw."""
        return self.of("milestones")

    @property
    def checkpoints(self) -> str:
        """Folder of the states that a stopped training goes on from; no rule declares it, so nothing deletes it."""
        return self.of("checkpoints")

    @property
    def finished(self) -> str:
        """Folder with a second name of every file that the training left, which the workflow does not know of."""
        return self.of("finished")

    @property
    def superseded(self) -> str:
        """Folder of what earlier settings, code or inputs left, one folder for each."""
        return self.of("superseded")

    def samples(self, nfe: int | str = NFE) -> str:
        """Generated images."""
        return self.of(f"samples/nfe{nfe}.npz")

    def samples_raw(self, nfe: int | str = NFE) -> str:
        """Images generated from the raw weights; no rule makes them."""
        return self.of(f"samples/nfe{nfe}-raw.npz")

    def features(self, nfe: int | str = NFE) -> str:
        """Features of the generated images."""
        return self.of(f"features/nfe{nfe}.npz")

    def metrics(self, nfe: int | str = NFE) -> str:
        """Scores of the generated images, each with its protocol."""
        return self.of(f"metrics/nfe{nfe}.json")

    @property
    def trajectory_error(self) -> str:
        """Errors of the clean image that is predicted from each state of held-out trajectories."""
        return self.of("metrics/trajectory_error.json")


@dataclass(frozen=True)
class Layout:
    """Where each stage's files lie: results below `root`, figures in `figures`. Every method fills one pattern."""

    root: str = "results"
    figures: str = "paper_figures"

    @property
    def top(self) -> Folder:
        """The results folder itself, which holds the tables."""
        return Folder(self.root)

    @property
    def figure_folder(self) -> Folder:
        """The folder of figures."""
        return Folder(self.figures)

    def dataset(self, dataset: str = DATASET) -> Folder:
        """Folder of everything that belongs to a data set."""
        return Folder(f"{self.root}/{dataset}")

    def data(self, dataset: str = DATASET, split: str = "{split}") -> DataFiles:
        """Folder of a prepared split."""
        return DataFiles(f"{self.root}/{dataset}/data/{split}")

    def extractor(self, dataset: str = DATASET, role: str = "{role}") -> str:
        """Weights of a feature network; `role` is metric or perceptual."""
        return self.extractor_folder(dataset, role).of("weights.safetensors")

    def extractor_folder(self, dataset: str = DATASET, role: str = "{role}") -> Folder:
        """Folder of a feature network."""
        return Folder(f"{self.root}/{dataset}/extractors/{role}")

    def reference(self, dataset: str = DATASET) -> str:
        """Features of the reference images."""
        return self.reference_folder(dataset).of("features.npz")

    def reference_folder(self, dataset: str = DATASET) -> Folder:
        """Folder of the reference, and of what is compared with it."""
        return Folder(f"{self.root}/{dataset}/reference")

    def trajectories(self, dataset: str = DATASET, name: str = "{trajectories}") -> TrajectoryFiles:
        """Folder of a set of stored trajectories."""
        return TrajectoryFiles(f"{self.root}/{dataset}/trajectories/{name}")

    def run(self, dataset: str = DATASET, method: str = METHOD, seed: int | str = SEED) -> RunFiles:
        """Folder of one run. `method` is `group/name`."""
        return RunFiles(f"{self.root}/{dataset}/{method}/seed{seed}")

    def table(self, name: str = "{table}") -> str:
        """A table without its suffix."""
        return f"{self.root}/{name}"

    def verdicts(self, table: str = "") -> str:
        """What was reproduced of what was printed, without its suffix: of all claims, or one of the paper's tables."""
        return f"{self.root}/comparison/{table}" if table else f"{self.root}/comparison"

    def figure(self, name: str) -> str:
        """A figure without its suffix."""
        return f"{self.figures}/{name}"

    @property
    def trajectory_errors(self) -> str:
        """The errors over time of all methods that the benchmark asks for."""
        return f"{self.root}/trajectory_error.csv"

    @property
    def feature_cache(self) -> str:
        """Folder of features by the content of the images; it can be deleted at any time."""
        return f"{self.root}/feature_cache"

    @property
    def source_memory(self) -> str:
        """What is remembered of the user's files, so that they are read once; it can be deleted at any time."""
        return f"{self.root}/sources.json"


def record_of(path: str) -> str:
    """Return where the record of a result lies."""
    return f"{path}.record.json"
