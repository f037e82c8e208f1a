"""Two accounts of this machine in one group, for tests of what people do to one another. Root alone can make them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import pytest

ROOT = Path(__file__).resolve().parents[1]
PROGRAMS = {"useradd": "passwd", "userdel": "passwd", "groupadd": "passwd", "groupdel": "passwd"}
PROGRAMS["setpriv"] = "util-linux"


@dataclass(frozen=True)
class Account:
    """An account without any right of root's.

    Attributes:
        name: of it. python: an interpreter that it may run, which has our packages. folder: that all may see.
    """

    name: str
    python: str
    folder: Path

    def words(self, *words: str, umask: str = "022", **more: str) -> list[str]:
        """Return the words that run a command as this account, in an environment of its own."""
        rights = ["setpriv", "--reuid", self.name, "--regid", self.name, "--init-groups", "--inh-caps=-all"]
        path = os.pathsep.join((str(Path(self.python).parent), "/usr/bin", "/bin"))
        told = {"HOME": str(self.folder / self.name), "USER": self.name, "PATH": path, "PYTHONPATH": str(ROOT)}
        told |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1", "LC_ALL": "C.UTF-8"}
        setting = [f"{key}={value}" for key, value in {**told, **more}.items()]
        return [*rights, "env", "-i", *setting, "sh", "-c", f'umask {umask}; exec "$@"', "sh", *words]

    def run(self, *words: str, cwd: Path, umask: str = "022", **more: str) -> subprocess.CompletedProcess[str]:
        """Run a command as this account to its end."""
        command = self.words(*words, umask=umask, **more)
        return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=600)


@contextmanager
def two_accounts() -> Iterator[tuple[Account, Account, str]]:
    """Make two accounts and the group that both are in; take them away afterwards, with all that they wrote here."""
    if why := _lacking():
        do_without(why)
    ours = f"hkd{os.getpid()}"
    folder = Path(tempfile.mkdtemp(prefix="hkd-two-"))
    folder.chmod(0o755)
    names = (f"{ours}a", f"{ours}b")
    try:
        subprocess.run(["groupadd", ours], check=True)
        python = _environment(folder)
        for name in names:
            words = ["--groups", ours, "--user-group", "--no-create-home", "--home-dir", str(folder / name)]
            subprocess.run(["useradd", "--shell", "/bin/sh", *words, name], check=True)
            (folder / name).mkdir()
            shutil.chown(folder / name, name, name)
        first, second = (Account(name, python, folder) for name in names)
        yield first, second, ours
    finally:
        for name in names:
            subprocess.run(["userdel", name], capture_output=True, check=False)
        subprocess.run(["groupdel", ours], capture_output=True, check=False)
        shutil.rmtree(folder, ignore_errors=True)


def do_without(why: str) -> NoReturn:
    """Skip a test by what it lacks; fail it where everything was to be here."""
    (pytest.fail if os.environ.get("HKD_NO_SKIP") else pytest.skip)(why)


def _lacking() -> str | None:
    """Return what accounts need and do not find: the right to make them, or a package; None if nothing."""
    if os.geteuid() != 0:
        return "only root makes accounts, and this is somebody else"
    if name := next((name for name in PROGRAMS if not shutil.which(name)), None):
        return f"{PROGRAMS[name]} is not installed"
    return None if _python() else f"python{_version()} is not installed where every account may run it"


def _environment(folder: Path) -> str:
    """Return an interpreter that sees our packages, beside the command that the workflow's jobs call."""
    subprocess.run([str(_python()), "-m", "venv", "--without-pip", str(folder / "venv")], check=True)
    (packages,) = folder.glob("venv/lib/python*/site-packages")
    (packages / "ours.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    python, command = folder / "venv/bin/python", folder / "venv/bin/hkd"
    command.write_text(f"#!{python}\nfrom hkd.__main__ import main\nmain()\n")
    command.chmod(0o755)
    return str(python)


def _version() -> str:
    return f"{sys.version_info.major}.{sys.version_info.minor}"


def _python() -> str | None:
    """Return an interpreter of this version that every account may run."""
    nobody = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "env", "-i"]
    asked = f"import sys; sys.exit(sys.version_info[:2] != {tuple(sys.version_info[:2])})"
    for found in (sys.executable, f"/usr/bin/python{_version()}", f"/usr/local/bin/python{_version()}"):
        if subprocess.run([*nobody, found, "-c", asked], capture_output=True, check=False).returncode == 0:
            return found
    return None
