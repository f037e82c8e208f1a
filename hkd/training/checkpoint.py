"""Save and restore everything that a resumed training needs.

The folder holds the last two states and `checkpoints.json`, which lists them with digests. A state counts once it
is listed; a damaged newest one is passed over for the one before it.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from hkd.store.artifacts import ArtifactError, clear_leftovers, save_weights, sha256, write_json

KEEP = 2


@dataclass
class Progress:
    """How far a training has come, over all its attempts."""

    step: int = 0
    network_evals: int = 0
    teacher_evals: int = 0  # of those above
    seconds: float = 0.0
    codes: list[str] = field(default_factory=list)  # digests of the code that made the steps, in order


class Checkpoints:
    """The training states of one run, of one configuration."""

    def __init__(self, folder: Path | str, identity: str) -> None:
        self.folder, self.identity = Path(folder), identity
        self.passed_over: list[str] = []
        self._refused: list[str] = []

    def save(self, tensors: dict[str, Tensor], progress: Progress) -> None:
        """Write a state, then list it, then drop all but the last two."""
        clear_leftovers(self.folder)
        # the list is replaced between writing the new state and dropping an old one, so a kill at any moment
        # leaves a list whose files are all there
        name = f"step{progress.step:09d}.safetensors"
        save_weights(self.folder / name, tensors)
        entry = {"file": name, "sha256": sha256(self.folder / name), "identity": self.identity, **asdict(progress)}
        refused = set(self._refused)  # damaged or of other settings: they must not push a whole state off the list
        entries = [e for e in self._entries() if e["file"] != name and e["file"] not in refused]
        entries = [*entries, entry][-KEEP:]
        write_json(self.folder / "checkpoints.json", entries)
        listed = {e["file"] for e in entries}
        for path in self.folder.glob("step*.safetensors"):
            if path.name not in listed:
                path.unlink()

    def load(self) -> tuple[dict[str, Tensor], Progress] | None:
        """Return the newest whole state, or None when there is none.

        States of another configuration are never resumed: their identity differs, so they are passed over.
        """
        self.passed_over, self._refused = [], []
        for entry in reversed(self._entries()):
            path = self.folder / entry["file"]
            if entry["identity"] != self.identity:
                self._refused.append(entry["file"])
                self.passed_over.append(f"{path}: of other settings ({entry['identity']})")
            elif not path.exists() or sha256(path) != entry["sha256"]:
                self._refused.append(entry["file"])
                self.passed_over.append(f"{path}: damaged")
            else:
                try:
                    tensors = load_file(path)
                except SafetensorError as error:
                    raise ArtifactError(f"{path}: unreadable ({error}); delete {self.folder}") from error
                return tensors, Progress(**{name: entry[name] for name in asdict(Progress()) if name in entry})
        return None

    def _entries(self) -> list[dict[str, Any]]:
        path = self.folder / "checkpoints.json"
        try:
            entries = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return []
        except (UnicodeDecodeError, json.JSONDecodeError):
            self.passed_over.append(f"{path}: unreadable, so no state beside it can be trusted")
            return []
        return [e for e in entries if isinstance(e, dict) and "identity" in e] if isinstance(entries, list) else []
