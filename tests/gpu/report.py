"""What a run of the GPU tests leaves: `probe.json` for programs, `table.md` for docs/gpu.md, in one folder."""

from __future__ import annotations

import json
import platform
from pathlib import Path
from typing import Any

import torch


class Report:
    """Facts by name, written when the tests end."""

    def __init__(self, device: torch.device) -> None:
        self.facts: dict[str, Any] = {"torch": torch.__version__, "python": platform.python_version(), "device": "cpu"}
        if device.type == "cuda":
            about = torch.cuda.get_device_properties(device)
            self.facts |= {"device": about.name, "memory_gib": round(about.total_memory / 2**30, 1)}
            self.facts |= {"cuda": torch.version.cuda, "capability": f"{about.major}.{about.minor}"}

    def note(self, name: str, value: Any) -> None:
        """Keep a fact."""
        self.facts[name] = round(value, 6) if isinstance(value, float) else value

    def write(self, folder: Path) -> list[Path]:
        """Write both files and return them."""
        folder.mkdir(parents=True, exist_ok=True)
        probe, table = folder / "probe.json", folder / "table.md"
        probe.write_text(json.dumps(self.facts, indent=1) + "\n", encoding="utf-8")
        lines = ["| what | found |", "| --- | --- |", *(f"| {key} | {value} |" for key, value in self.facts.items())]
        table.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return [probe, table]
