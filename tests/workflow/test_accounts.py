"""Two people over one results tree: who is in the way is named, and what is somebody else's is left alone."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hkd import owner
from tests.accounts import Account, two_accounts
from tests.workflow.conftest import copy_checkout

pytestmark = [pytest.mark.accounts]
DATA = "results/smoke/shapes8/data/train/manifest.json"
NETWORK = "results/smoke/shapes8/extractors/metric/weights.safetensors"
WORDS = ("-m", "snakemake", "--cores", "1", "--configfile", "configs/benchmarks/smoke.yaml")


@pytest.fixture(scope="module")
def people() -> Iterator[tuple[Account, Account, str]]:
    """Anna and Ben, and the group that both are in."""
    with two_accounts() as made:
        yield made


def tree(people: tuple[Account, Account, str], name: str, *, shared: bool) -> Path:
    """A checkout of Anna's; a shared one may be written by the group, as `git init --shared` and setgid folders do."""
    anna, _, group = people
    folder = anna.folder / name
    folder.mkdir()
    copy_checkout(folder)
    for path in (folder, *folder.rglob("*")):
        shutil.chown(path, anna.name, group)
        if shared:
            path.chmod(0o2775 if path.is_dir() else 0o664)
    return folder


def snakemake(account: Account, folder: Path, *words: str, umask: str = "022") -> subprocess.CompletedProcess[str]:
    ran = account.run(account.python, *WORDS, *words, cwd=folder, umask=umask, PYTHONPATH=str(folder))
    ran.stdout += ran.stderr
    return ran


def files(folder: Path) -> dict[str, tuple[int, int, int]]:
    """Owner, size and time of every file; those of Snakemake's folder too."""
    found = {}
    for path in folder.rglob("*"):
        about = path.lstat()
        found[str(path.relative_to(folder))] = (about.st_uid, about.st_size, about.st_mtime_ns)
    return found


HOLD = "import sys, time; from hkd.interrupt import only_writer\n"
HOLD += "with only_writer(sys.argv[1]): print('held', flush=True); time.sleep(600)"


def test_two_people_make_parts_of_one_tree_that_their_group_may_write(people):
    anna, ben, _ = people
    folder = tree(people, "shared", shared=True)
    made = snakemake(anna, folder, "--", DATA, umask="002")
    assert made.returncode == 0, made.stdout
    before = (folder / DATA).stat()
    assert "Nothing to be done" in snakemake(ben, folder, "--", DATA, umask="002").stdout
    went_on = snakemake(ben, folder, "--", NETWORK, umask="002")
    assert went_on.returncode == 0, went_on.stdout
    assert (folder / NETWORK).owner() == ben.name and (folder / DATA).owner() == anna.name
    assert (folder / DATA).stat().st_mtime_ns == before.st_mtime_ns
    assert "Nothing to be done" in snakemake(anna, folder, "--", NETWORK, umask="002").stdout
    again = snakemake(anna, folder, "--forcerun", "extractor", "--", NETWORK, umask="002")
    assert again.returncode == 0, again.stdout
    assert (folder / NETWORK).owner() == anna.name, "what the group may write may be made again by either"


def test_who_holds_a_tree_is_named_to_the_other_and_nothing_of_theirs_is_touched(people):
    anna, ben, _ = people
    folder = tree(people, "held", shared=True)
    words = anna.words(anna.python, *WORDS, "--", DATA, umask="002", PYTHONPATH=str(folder))
    # her workflow holds its locks as long as its job waits for the writer of its folder, which is she too
    writer = anna.words(anna.python, "-c", HOLD, str((folder / DATA).parent), umask="002", PYTHONPATH=str(folder))
    with subprocess.Popen(writer, stdout=subprocess.PIPE, text=True) as held:
        assert held.stdout.readline() == "held\n"
        with subprocess.Popen(words, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as hers:
            until = time.monotonic() + 120
            while not list(folder.glob(".snakemake/locks/*.lock")):
                assert time.monotonic() < until and hers.poll() is None
                time.sleep(0.1)
            notes = {path: path.read_bytes() for path in folder.glob(".snakemake/hkd-holders/*.json")}
            his = snakemake(ben, folder, "--", DATA, umask="002")
            assert his.returncode != 0 and "LockException" in his.stdout
            who = rf"may be held by: user {anna.name}, host \S+, process {hers.pid}, since 20\d\d-"
            assert re.search(who, his.stdout), his.stdout
            assert all(path.read_bytes() == note for path, note in notes.items())
            assert list(folder.glob(".snakemake/locks/*.lock"))
            hers.kill()
        held.send_signal(signal.SIGKILL)
    after = snakemake(ben, folder, "--", DATA, umask="002")
    # his own refused start may have left a note too, and either may be named first
    removed = re.search(r"removed the lock of a workflow that was killed \((.*)\)", after.stdout)
    assert after.returncode == 0 and removed and f"user {anna.name}" in removed[1], after.stdout


def test_a_tree_that_only_its_owner_may_write_is_planned_and_read_from_a_folder_of_ones_own(people):
    anna, ben, _ = people
    folder = tree(people, "closed", shared=False)
    made = snakemake(anna, folder, "--", DATA)
    assert made.returncode == 0, made.stdout
    before = files(folder)
    for more in ((), ("-n",)):
        refused = snakemake(ben, folder, *more, "--", NETWORK)
        assert refused.returncode != 0 and "Traceback" not in refused.stdout, refused.stdout
        assert f"closed/.snakemake: of user {anna.name}, and you cannot write here" in refused.stdout
    mine = ("--directory", str(folder.parent / ben.name / "mine"))
    theirs = str(folder / NETWORK)
    planned = snakemake(ben, folder, *mine, "-n", "--config", f"results={folder}/results/smoke", "--", theirs)
    assert planned.returncode == 0 and "rule extractor" in planned.stdout, planned.stdout
    assert "rule prepare" not in planned.stdout, "what is made needs no making"
    assert f"a real run stops here: {folder}/results/smoke: cannot write here" in planned.stdout
    refused = snakemake(ben, folder, *mine, "--config", f"results={folder}/results/smoke", "--", theirs)
    assert refused.returncode != 0 and f"{folder}/results/smoke: cannot write here" in refused.stdout
    target = DATA.replace("results/smoke", "my results")
    own = snakemake(ben, folder, *mine, "--config", "results=my results", "--", target)
    assert own.returncode == 0, own.stdout
    assert (folder.parent / ben.name / "mine" / target).read_bytes() == (folder / DATA).read_bytes()
    assert files(folder) == before


def test_a_writer_of_another_account_is_named_and_one_that_may_not_write_says_so(people):
    anna, ben, _ = people
    folder = anna.folder / anna.name / "run"
    writer = anna.words(anna.python, "-c", HOLD, str(folder))
    waiting = ben.words(ben.python, "-c", HOLD, str(folder), SLURM_JOB_ID="7")
    with subprocess.Popen(writer, stdout=subprocess.PIPE, text=True) as held:
        assert held.stdout.readline() == "held\n"
        with subprocess.Popen(waiting, stderr=subprocess.PIPE, text=True) as second:
            said = second.stderr.readline()
            second.kill()
        assert re.search(
            rf"waiting for another writer to finish \(user {anna.name}, host \S+, process {held.pid}", said
        )
        held.kill()
    written = "import sys; from hkd.store.atomic import write_text; write_text(sys.argv[1], 'x')"
    refused = ben.run(ben.python, "-c", written, str(folder / "weights"), cwd=folder)
    assert refused.returncode != 0 and "Permission denied" in refused.stderr.splitlines()[-1]
    assert owner.user() not in (anna.name, ben.name) and os.listdir(folder) == [".writer.lock"]
