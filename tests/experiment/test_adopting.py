"""Commands by hand take shipped weights up where `hkd train` would leave them, and train nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from hkd import __main__ as entry
from hkd import interrupt
from hkd.plan.runs import Plan
from hkd.store import shipped
from hkd.store.atomic import sha256
from hkd.store.records import read_record
from tests.studies.single_run import counted_up

ON = "shapes16"
STUDENT = "shipped/hkd on shapes16: adopting the shipped weights hkd-shapes16, as {}/shapes16/shipped/hkd/seed0"
TEACHER = "methods/edm on shapes16: adopting the shipped weights edm-shapes16, as {}/shapes16/methods/edm/seed0"
NETWORK = (
    "extractors/perceptual on shapes16: adopting the shipped weights perceptual-shapes16, "
    "as {}/shapes16/extractors/perceptual"
)
Call = Callable[..., tuple[int, list[str]]]


@pytest.fixture
def results(tmp_path) -> Path:
    return tmp_path / "results"


@pytest.fixture
def call(root, results, monkeypatch, capsys) -> Call:
    """Run a command on an empty folder of results; return its exit code and what it says beside its output."""
    monkeypatch.chdir(root)
    monkeypatch.delenv("HKD_BENCHMARK", raising=False)
    interrupt.reset()

    def run(*words: object) -> tuple[int, list[str]]:
        monkeypatch.setattr("sys.argv", ["hkd", *map(str, words), "--config", f"results={results}"])
        code = entry._run()
        return code, capsys.readouterr().err.splitlines()

    return run


@pytest.fixture
def picture(tmp_path) -> Path:
    return counted_up(tmp_path / "mine.png", 16)


def made(results: Path) -> list[str]:
    """The weights that were left, by their folder."""
    found = results.rglob("weights.safetensors")
    return sorted(str(path.parent.relative_to(results / ON)) for path in found if path.parent.name != "finished")


COMMANDS = {
    "edit": (("edit", "--ratio", 0.9, "--mid", 0.5), (STUDENT, NETWORK)),
    "inpaint": (("inpaint", "--steps", 2), (STUDENT, NETWORK)),
    "colourise": (("colourise", "--steps", 2), (STUDENT, NETWORK)),
    "trajectory": (("trajectory", "--times", "10,1"), (STUDENT,)),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_takes_up_the_shipped_weights_that_it_reads_and_says_so_once(call, results, picture, tmp_path, name):
    (command, *options), said = COMMANDS[name]
    words = (command, ON, "shipped/hkd", *options, "--image", picture, "--device", "cpu")
    code, lines = call(*words, "--out", tmp_path / "first.npz")
    assert code == 0, lines
    assert [line for line in lines if "adopting" in line] == [line.format(results) for line in said]
    code, lines = call(*words, "--out", tmp_path / "second.npz")
    assert code == 0 and not [line for line in lines if "adopting" in line]
    assert made(results) == sorted(line.format("").rpartition(f" /{ON}/")[2] for line in said)


def test_beside_its_teacher_a_trajectory_takes_up_the_teachers_weights_too(call, results, tmp_path):
    words = ("trajectory", ON, "shipped/hkd", "--index", 0, "--device", "cpu")
    code, lines = call(*words, "--out", tmp_path / "t.npz")
    assert code == 0, lines
    assert [line for line in lines if "adopting" in line] == [line.format(results) for line in (STUDENT, TEACHER)]


def test_what_is_taken_up_is_what_the_commands_of_the_stages_adopt(call, results, picture, tmp_path):
    edit = ("edit", ON, "shipped/hkd", "--image", picture, "--out", tmp_path / "e.png", "--device", "cpu")
    assert call(*edit)[0] == 0
    taken = results.rename(tmp_path / "taken")
    assert call("train", ON, "shipped/hkd")[0] == 0
    assert call("extractor", ON, "perceptual")[0] == 0
    files = sorted(path.relative_to(results) for path in results.rglob("*") if path.suffix in (".safetensors", ".yaml"))
    assert len(files) == 7
    for file in files:
        assert sha256(taken / file) == sha256(results / file), file
    weights = Path(Plan.load("configs/benchmarks/embedded.yaml").layout.run(ON, "shipped/hkd", 0).weights)
    place = weights.relative_to("results")
    one, other = (read_record(folder / place, "train") for folder in (taken, results))
    same = ("of", "settings_digest", "seed", "inputs", "route", "budget", "start", "trajectories", "checkpoint")
    assert {key: one[key] for key in same} == {key: other[key] for key in same}


@pytest.mark.parametrize(
    "words",
    [
        ("edit", ON, "methods/hkd"),
        ("inpaint", ON, "methods/hkd"),
        ("edit", ON, "shipped/hkd", "--config", "students=train"),
        ("edit", ON, "shipped/hkd", "--config", "extractors=train"),
        ("trajectory", ON, "shipped/hkd", "--config", "teacher=train"),
    ],
    ids=lambda words: " ".join(words[::2]),
)
def test_where_something_would_have_to_be_trained_nothing_is_taken_up(call, results, tmp_path, words):
    code, lines = call(*words, "--out", tmp_path / "x.png")
    run = f"{results}/{ON}/{words[2]}/seed0/weights.safetensors"
    assert (code, lines) == (1, [f"hkd: {run}: missing; run `hkd train`, or `snakemake --cores all {run}`"])
    assert not results.exists()


def test_weights_that_are_there_are_used_and_the_other_ones_taken_up(call, results, picture, tmp_path):
    assert call("train", ON, "shipped/hkd")[0] == 0
    words = ("edit", ON, "shipped/hkd", "--image", picture, "--device", "cpu")
    code, lines = call(*words, "--out", tmp_path / "e.png")
    assert code == 0, lines
    assert [line for line in lines if "adopting" in line] == [NETWORK.format(results)]


def test_damaged_shipped_weights_are_named_and_leave_nothing(call, results, picture, tmp_path, monkeypatch):
    folder = tmp_path / "shipped"
    folder.mkdir()
    for file in shipped.SHIPPED.iterdir():
        (folder / file.name).symlink_to(file)
    (folder / "perceptual-shapes16.safetensors").unlink()
    monkeypatch.setattr(shipped, "SHIPPED", folder)
    words = ("edit", ON, "shipped/hkd", "--image", picture, "--device", "cpu")
    code, lines = call(*words, "--out", tmp_path / "e.png")
    assert code == 1 and lines[-1].endswith(
        "perceptual-shapes16.safetensors: missing or damaged; restore it from the repository, "
        "or use --config extractors=train"
    )
    assert not (tmp_path / "e.png").exists() and made(results) == ["shipped/hkd/seed0"]
