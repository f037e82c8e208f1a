"""Save and restore everything that a resumed training needs.

The folder holds the last two states and `checkpoints.json`, which lists them with digests. A state counts once it
is listed; a damaged newest one is passed over for the one before it. How far a state has come is in its own header, so
its digest covers that too.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from hkd.store import bounded
from hkd.store.artifacts import save_weights
from hkd.store.atomic import sha256, write_json
from hkd.store.superseded import STATE_NAME, step_of
from hkd.store.temporary import clear_leftovers

KEEP = 2
ENTRY: dict[str, Any] = {"file": str, "sha256": str, "identity": str}
PROGRESS: dict[str, Any] = {
    "identity": str,
    "step": int,
    "network_evals": (int, float),
    "teacher_evals": (int, float),
    "seconds": (int, float),
    "cpu_seconds": (int, float, type(None)),
    "codes": list,
    "nonfinite": list,
    "nonfinite_steps": int,
}


@dataclass
class Progress:
    """How far a training has come, over all its attempts."""

    step: int = 0
    network_evals: int = 0
    teacher_evals: int = 0  # of those above
    seconds: float = 0.0
    cpu_seconds: float | None = 0.0  # of all processes; None where an attempt did not count them
    codes: list[str] = field(default_factory=list)  # digests of the code that made the steps, in order
    nonfinite: list[int] = field(default_factory=list)  # the latest steps whose loss or gradient was not finite
    nonfinite_steps: int = 0  # how many there were in all


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
        about = {"identity": self.identity, **asdict(progress)}
        save_weights(self.folder / name, tensors, about, finite=False)  # the step after this one finds what is not
        entry = {"file": name, "sha256": sha256(self.folder / name), "identity": self.identity}
        refused = set(self._refused)  # damaged or of other settings: they must not push a whole state off the list
        entries = [e for e in self._entries() if e["file"] != name and e["file"] not in refused]
        entries = [*entries, entry][-KEEP:]
        write_json(self.folder / "checkpoints.json", entries)
        listed = {e["file"] for e in entries}
        for path in self.folder.glob("step*.safetensors"):
            if path.name not in listed:
                path.unlink()

    def load(self, most: int | None = None) -> tuple[dict[str, Tensor], Progress] | None:
        """Return the newest whole state, or None when there is none.

        States of another configuration are never resumed: their identity differs, so they are passed over.

        Args:
            most: steps of the training; a state beyond them is of a longer one, and passed over too.
        """
        self.passed_over, self._refused = [], []
        for entry in reversed(self._entries()):
            path = self.folder / entry["file"]
            if entry["identity"] != self.identity:
                self._pass_over(path, f"of other settings ({entry['identity']})")
            elif most is not None and step_of(path.name) > most:
                self._pass_over(path, f"of a longer training than one of {most} steps")
            elif not path.is_file() or sha256(path) != entry["sha256"]:
                self._pass_over(path, "damaged")
            else:
                try:
                    return self._state(path)
                except bounded.Damaged as error:
                    self._pass_over(path, str(error))
        return None

    def _state(self, path: Path) -> tuple[dict[str, Tensor], Progress]:
        tensors, about = bounded.read_tensors(path)
        found = {"cpu_seconds": None} | bounded.check_fields(about, PROGRESS, optional=("cpu_seconds",))
        counts = [value for value in found.values() if isinstance(value, int | float)]
        if found["identity"] != self.identity or not all(value >= 0 for value in counts):
            raise bounded.Damaged("its header is of other settings than its entry")
        if not all(isinstance(code, str) for code in found["codes"]):
            raise bounded.Damaged("its header holds no digests of code")
        if not all(type(step) is int for step in found["nonfinite"]):
            raise bounded.Damaged("its header holds no steps that were not finite")
        return tensors, Progress(**{name: found[name] for name in asdict(Progress())})

    def _pass_over(self, path: Path, why: str) -> None:
        self._refused.append(path.name)
        self.passed_over.append(f"{path}: {why}")

    def _entries(self) -> list[dict[str, Any]]:
        """Return what the list says, entry by entry; what is no entry is passed over."""
        path = self.folder / "checkpoints.json"
        try:
            listed = bounded.parse_json(bounded.read_bytes(path, bounded.SHORT_JSON_BYTES))
        except FileNotFoundError:
            return []
        except bounded.Damaged:
            self.passed_over.append(f"{path}: unreadable, so no state beside it can be trusted")
            return []
        entries = []
        for entry in listed if isinstance(listed, list) else []:
            try:
                found = bounded.check_fields(entry, ENTRY)
            except bounded.Damaged as error:
                self.passed_over.append(f"{path}: {error}")
                continue
            if STATE_NAME.fullmatch(found["file"]):
                entries.append(found)
        return entries
