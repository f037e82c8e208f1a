"""The table of docs/trust.md: what was attacked, by which tests, how often. `python tests/trust.py` writes it anew."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DOCUMENT = ROOT / "docs/trust.md"
START, END = "<!-- table:start -->\n", "<!-- table:end -->"
SOME = 500  # changed copies of a file that a default test reads; those of the full set read more
# how the names of tests say it (tests/fuzzed.py); "same": every value that was read is compared with the good one
COUNTED = re.compile(r"[\[-](\d+)-(read|same)\]$")
UNKNOWN, NOTHING_DAMAGED = "cannot be known", "–"

ATTACKS = {
    "pickles of CIFAR-10: calls, state, nesting, bombs": ("tests/data/test_plain_pickles.py",),
    "released weights: pickles of networks, files of torch, their cards": (
        "tests/imported/test_network_pickles.py",
        "tests/imported/test_importing.py",
        "tests/plan/test_released.py",
    ),
    "CIFAR-10's archive: flipped bits, truncation, bombs, links": ("tests/data/test_cifar.py",),
    "pictures: programs, formats, orientation, transparency, frames, bombs": (
        "tests/data/test_decoding.py",
        "tests/data/test_formats.py",
        "tests/data/test_structure.py",
    ),
    "single pictures, masks and arrays of users": ("tests/data/test_pictures.py", "tests/data/test_picture_arrays.py"),
    "digests of kept sets, CIFAR-10 in every form": ("tests/data/test_tree.py",),
    "folders and zips: names, links, copies, bombs": ("tests/data/test_picture_files.py", "tests/data/test_sources.py"),
    "labels and class folders": ("tests/data/test_picture_labels.py", "tests/stages/test_own_images.py"),
    "array files of other programs": ("tests/data/test_foreign.py",),
    "prepared sets and trajectories": (
        "tests/data/test_image_set.py",
        "tests/data/test_trajectories.py",
        "tests/data/test_redrawn.py",
    ),
    "statistics, features and networks of scores": (
        "tests/metrics/test_references.py",
        "tests/metrics/features/test_cache.py",
        "tests/experiment/test_networks.py",
    ),
    "cards of shipped weights, and released weights": (
        "tests/stages/test_ship.py",
        "tests/experiment/test_suitable.py",
        "tests/studies/fingerprint/test_readings.py",
    ),
    "scores and tables that are compared, and results that are cited": (
        "tests/studies/comparison/test_gathered.py",
        "tests/report/test_results.py",
    ),
    "settings: YAML, numbers, names": ("tests/settings/test_yaml_text.py", "tests/settings/test_ranges.py"),
    "targets and annotations of methods": ("tests/settings/test_signatures.py",),
    "names that reach a shell": ("tests/workflow/test_shell_names.py",),
    "locales": ("tests/test_encodings.py", "tests/data/test_file_names.py"),
    "JSON, npy, npz and safetensors that lie": ("tests/store/test_bounded.py",),
    "records, and artefacts swapped, cut, flipped or edited": (
        "tests/store/test_artifacts.py",
        "tests/store/test_records.py",
        "tests/plan/test_chain.py",
        "tests/experiment/test_record.py",
    ),
    "states, parts and milestones of unfinished work": (
        "tests/store/test_chunks.py",
        "tests/training/test_checkpoint.py",
        "tests/training/test_milestones.py",
    ),
    "power loss, and temporary files of others": (
        "tests/store/test_atomic.py",
        "tests/store/test_power_loss.py",
        "tests/store/test_temporary.py",
    ),
    "servers: endless, dripping, redirects in a loop": ("tests/stages/test_fetch.py",),
    "locks, dead parents, other users": ("tests/workflow/test_locks.py",),
    "steps that are not finite": ("tests/training/test_nonfinite.py",),
    "kills at any moment of a whole run (full set)": ("tests/workflow/test_kill.py",),
}


def collected() -> dict[str, list[str]]:
    """Return the tests of all attacks, by file."""
    files = sorted({file for files in ATTACKS.values() for file in files})
    command = [sys.executable, "-m", "pytest", "--collect-only", "-p", "no:cacheprovider", "-m", "not gpu", *files]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    found: dict[str, list[str]] = {file: [] for file in files}
    for line in ran.stdout.splitlines():
        if "::" in line:
            found[line.partition("::")[0]].append(line)
    return found


def copies(test: str) -> int:
    """Return how many changed copies of a file a test reads, by its name; 0 for any other test."""
    said = COUNTED.search(test)
    return int(said[1]) if said else 0


def compares(test: str) -> bool:
    """Whether a test compares what it reads of changed copies with the good value, by its name."""
    said = COUNTED.search(test)
    return bool(said and said[2] == "same")


def silent(tests: list[str]) -> str:
    """Return how many wrong values the tests let pass: 0 of those that they compare, and nobody knows of the others."""
    damaged = {same: sum(copies(t) == SOME for t in tests if compares(t) is same) * SOME for same in (True, False)}
    if damaged[True] and damaged[False]:
        return f"0 of {damaged[True]:,}, else {UNKNOWN}"
    if damaged[False]:
        return UNKNOWN
    return "0" if damaged[True] else NOTHING_DAMAGED


def table() -> str:
    """Return the table as Markdown: cases, and changed copies of files, of the default and of the full tests."""
    found = collected()
    lines = [
        "| attack | cases | damaged files | in the full set | executed | tracebacks | silent | tests |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | --- |",
    ]
    for attack, files in ATTACKS.items():
        tests = [test for file in files for test in found[file]]
        read = [copies(test) for test in tests]
        cases, some, many = read.count(0), read.count(SOME) * SOME, sum(number for number in read if number > SOME)
        named = ", ".join(f"`{file}`" for file in files)
        lines.append(f"| {attack} | {cases} | {some:,} | {many:,} | 0 | 0 | {silent(tests)} | {named} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Write the table into its document."""
    before, _, rest = DOCUMENT.read_text(encoding="utf-8").partition(START)
    after = rest.partition(END)[2]
    DOCUMENT.write_text(f"{before}{START}{table()}{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
