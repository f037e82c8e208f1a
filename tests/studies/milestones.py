"""A finished training of the smoke benchmark that kept milestones, with all that measuring them needs."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np

from hkd.data.image_shape import ImageShape
from hkd.experiment.build import method as build
from hkd.experiment.extractors import trained_extractor
from hkd.experiment.record import run_document
from hkd.metrics.features.extract import extract
from hkd.plan.runs import Plan
from hkd.settings.origins import to_yaml
from hkd.store.artifacts import save_weights
from hkd.store.atomic import sha256, write_bytes, write_json, write_text
from hkd.store.paths import RunFiles
from hkd.store.records import Record
from hkd.training.milestones import raw_name, weights_name
from tests.recorded import record_results, recorded

DATASET, SHAPE = "shapes8", ImageShape(8, 3, 4)


def finished_run(plan: Plan, method: str, seed: int, steps: list[int], images: Path, extractor: Path) -> RunFiles:
    """Write what a training leaves, its weights drawn from a seed for each milestone, the reference and the network."""
    run, files = plan.run(DATASET, method), plan.layout.run(DATASET, method, seed)
    document = run_document(run, SHAPE, dataset=DATASET, method=method, seed=seed)
    write_text(files.config, to_yaml(document))
    for step in steps:
        for name, drawn in ((weights_name(step), step), (raw_name(step), 100 + step)):
            path = Path(files.milestones) / name
            save_weights(path, build(run, SHAPE, seed=drawn, parts=None).artefact())
            Record("train").write(path)
    list_milestones(plan, method, seed, steps)
    save_weights(files.weights, build(run, SHAPE, seed=steps[-1], parts=None).artefact())
    record_cost(plan, files.weights, params=7)
    network = Path(plan.layout.extractor(DATASET, "metric"))
    network.parent.mkdir(parents=True)
    shutil.copyfile(extractor, network)
    reference = Path(plan.layout.reference(DATASET))
    reference.parent.mkdir(parents=True)
    features = extract(np.load(images / "images.npy"), trained_extractor(network, "cpu"), "A")
    np.savez(reference, own_A=features)
    record_results(plan)
    return files


def list_milestones(plan: Plan, method: str, seed: int, steps: list[int]) -> None:
    """Write the manifest of milestones, with its record."""
    folder, total = Path(plan.layout.run(DATASET, method, seed).milestones), plan.run(DATASET, method).training.steps
    digests = {
        key: [sha256(folder / name(step)) for step in steps if (folder / name(step)).exists()]
        for key, name in (("sha256", weights_name), ("raw_sha256", raw_name))
    }
    if len(digests["raw_sha256"]) < len(steps):
        del digests["raw_sha256"]  # as a training of an older version, which kept averaged weights alone
    write_json(folder / "manifest.json", {"steps": total, "milestones": steps, **digests})
    recorded(plan, folder)


def record_cost(plan: Plan, weights: str, **costs: int | None) -> None:
    """Write the record of finished weights, which need not be any, with what their training cost."""
    if not Path(weights).exists():
        write_bytes(weights, b"")
    recorded(plan, weights, budget={"network_evals": 0, "teacher_evals": 0, **costs})
