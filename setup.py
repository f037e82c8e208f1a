"""What pyproject.toml cannot say: a wheel carries the workflow too, beside the library."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

WORKFLOW = ("Snakefile", "configs", "rules", "profiles")


class WithWorkflow(build_py):
    """Puts the workflow into hkd/release, where it is found outside of a checkout (`hkd.settings.merge`)."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:  # an editable install is used from its checkout
            return
        for name in WORKFLOW:
            source, target = Path(name), Path(self.build_lib, "hkd/release", name)
            if source.is_dir():
                shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True)
            else:
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, target)


setup(cmdclass={"build_py": WithWorkflow})
