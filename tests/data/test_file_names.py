"""Names of files are UTF-8 whatever the locale: the same set gives the same classes, order and remarks everywhere."""

from __future__ import annotations

import json
import os
import subprocess
import sys

from tests.data.pictures_made import BLUE, GREEN, RED, folder

SHOW = """
import json, sys
from hkd.data.foreign import load_images
from hkd.data.sources import open_source
for name in ("classes", "listed"):
    source = open_source(sys.argv[1] + "/" + name, class_folders=name == "classes")
    facts = [source.class_names, [source.label(k) for k in range(len(source))], source.remarks, source.name]
    print(json.dumps([*facts, [image.ravel()[::64].tolist() for image, _ in source.items()]]))
print(json.dumps(load_images(sys.argv[1] + "/listed").pixels[:, :, 0, 0].tolist()))
try:
    open_source(sys.argv[1] + "/\\u732b".encode().decode(sys.getfilesystemencoding(), "surrogateescape"))
except ValueError as error:
    print(json.dumps(str(error)))
"""


def test_names_are_utf8_whatever_the_locale(tmp_path, root):
    folder(
        tmp_path / "classes", {"2\u00e9/0.png": RED, "10/0.png": GREEN, "\u732b/0.png": BLUE, "\u72ac/\u72ac.png": RED}
    )
    names = ["\U0001f431.png", "\uff5e.png", "a/\u732b.png"]
    files = dict(zip(names, (RED, GREEN, BLUE), strict=True))
    labels = json.dumps({"labels": [[name, k] for k, name in enumerate(names)]}).encode()
    folder(tmp_path / "listed", {**files, "dataset.json": labels, "\u732b.\u732b": b""})
    folder(tmp_path / "\u732b", {"0.png": b"x"})
    said = []
    for locale in ({"LC_ALL": "C.UTF-8"}, {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}):
        command = [sys.executable, "-c", SHOW, str(tmp_path)]
        done = subprocess.run(
            command, env={**os.environ, "PYTHONPATH": str(root), **locale}, capture_output=True, check=True
        )
        said.append(done.stdout)
    assert said[0] == said[1]
    classes, listed, _, refused = map(json.loads, said[0].splitlines())
    assert classes[:2] == [["2\u00e9", "10", "\u72ac", "\u732b"], [1, 0, 2, 3]]
    assert listed[1] == [2, 1, 0] and "\u732b" in refused
