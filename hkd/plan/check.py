"""Whether a benchmark can be run: everything that can be told to be wrong before anything runs."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from hkd.plan import rows
from hkd.plan.runs import Plan
from hkd.plan.scores import OWN, published_networks, weights_of
from hkd.settings.benchmark import Table
from hkd.settings.merge import RUN_GROUPS
from hkd.settings.names import known_runs
from hkd.settings.origins import ConfigError, nearest, stems
from hkd.settings.sections import Run
from hkd.settings.signatures import asks_for_the_grader
from hkd.store import packaged, published
from hkd.store.lines import shortened
from hkd.store.refusals import ArtifactError
from hkd.store.released import read_card

OLD_RESULTS = {"audit": "ambiguity"}  # folders of runs that earlier versions named otherwise


def absent_weights(plan: Plan, runs: Iterable[tuple[str, str]]) -> list[str]:
    """Return a line for every published network that the training of a run needs and does not find.

    Args:
        runs: data set and method (group/name) of each.
    """
    found = [plan.run(dataset, method) for dataset, method in runs]
    return _absent((weights, run.weights_folder) for run in found if (weights := plan.backbone(run)))


def absent_graders(plan: Plan, datasets: Iterable[str]) -> list[str]:
    """Return a line for every published network that the scores on a data set look through, and that is not found."""
    networks = [settings for dataset in datasets for settings in published_networks(plan, dataset).values()]
    return _absent((weights, settings.folder) for settings in networks if (weights := weights_of(settings)))


def _absent(files: Iterable[tuple[published.WeightFile | packaged.PackagedFile, str]]) -> list[str]:
    """Return a line for each of the files, given with the folder where it should be, that is not there."""
    lines = []
    for weights, folder in files:
        try:
            if isinstance(weights, packaged.PackagedFile):
                packaged.present(weights)
            else:
                published.present(Path(folder) / weights.filename, weights)
        except ArtifactError as error:
            lines.append(str(error))
    return list(dict.fromkeys(lines))


def absent_files(plan: Plan, jobs: Iterable[tuple[str, Mapping[str, str]]]) -> list[str]:
    """Return a line for every file of the user's that jobs need and do not find: images, and published networks.

    Args:
        jobs: stage and wildcards of each.
    """
    asked: dict[str, list[Mapping[str, str]]] = {}
    for stage, values in jobs:
        asked.setdefault(stage, []).append(values)
    runs = [(values["dataset"], f"{values['group']}/{values['method']}") for values in asked.get("train", ())]
    lines = absent_weights(plan, dict.fromkeys(runs))
    prepared = _datasets(asked, "prepare")
    for dataset in prepared:
        lines += _absent_images(plan, dataset)
    used = sorted({*prepared, *(table.dataset for table in plan.tables.values())})
    if not any(plan.reads_files(dataset) for dataset in used):
        lines += unread_source(plan, used)
    lines += absent_graders(plan, _datasets(asked, "reference", "features"))
    for dataset in _datasets(asked, "reference"):
        lines += _unusable_statistics(plan, dataset)
    return list(dict.fromkeys(lines))


def _datasets(asked: Mapping[str, list[Mapping[str, str]]], *stages: str) -> list[str]:
    return list(dict.fromkeys(values["dataset"] for stage in stages for values in asked.get(stage, ())))


def _absent_images(plan: Plan, dataset: str) -> list[str]:
    data = plan.dataset(dataset).data
    if not plan.reads_files(dataset):
        return []
    if data.path is None:
        return [f"data set '{dataset}' needs its images: --config 'data={{{dataset}: {{path: PATH}}}}', or source=PATH"]
    if not os.path.exists(data.path):
        remedy = f"put it there, or name it: --config 'data={{{dataset}: {{path: PATH}}}}'"
        return [f"{data.path}: the images of {dataset} are absent; {remedy}"]
    return []


def unread_source(plan: Plan, drawn: Sequence[str]) -> list[str]:
    """Return a line if images are named (`source`) where these data sets are drawn, so that nothing would read them."""
    which = f"{' and '.join(drawn)} {'are' if len(drawn) > 1 else 'is'}"
    remedy = "take the key out, or name a benchmark of images, as configs/benchmarks/own.yaml"
    source = plan.benchmark.source
    return [f"source = {source!r}: {which} drawn, not read from files; {remedy}"] if source else []


def _unusable_statistics(plan: Plan, dataset: str) -> list[str]:
    known = plan.benchmark.statistics.get(dataset)
    if known is None:
        return []
    if not os.path.exists(known.path):
        return [f"{known.path}: the published statistics of {dataset} are absent; put them there, or take the key out"]
    try:
        published.check_statistics(Path(known.path), known.sha256)
    except ArtifactError as error:
        return [str(error)]
    return []


def check_settings(plan: Plan) -> Plan:
    """Check the settings of every run of every table and of all studies, and return the plan.

    Raises:
        ConfigError: all that is wrong with the first run that is.
    """
    _check_names(plan)
    for name, table in plan.tables.items():
        plan.extractor(table.dataset, "metric")
        for row in rows.rows(plan, name):
            if row.method:
                _check_run(plan, table.dataset, row.method, plan.run(table.dataset, row.method))
        if "set_trajectories" in plan.layers.values:
            for own in stems(plan.configs / "trajectories"):
                plan.trajectory_set(table.dataset, own)
    for study in plan.studies.values():
        study.check(plan)
    return plan


def _check_run(plan: Plan, dataset: str, method: str, run: Run) -> None:
    shown = plan.benchmark.samples_shown
    if run.sampling.n_samples < shown:
        raise ConfigError(
            f"samples_shown = {shown}, but {method} draws {run.sampling.n_samples} images; show fewer, or draw more "
            "(sampling.n_samples)"
        )
    if run.perceptual and run.perceptual_backbone == "cnn":
        plan.extractor(dataset, "perceptual")
    if asks_for_the_grader(run.target) and plan.benchmark.extractor not in OWN:
        raise ConfigError(
            f"{plan.layers.origin(('extractor',))}: extractor = {plan.benchmark.extractor}: {method} is trained on the "
            f"network that grades, which must be {' or '.join(OWN)}; choose one of them, or take the row out"
        )
    _check_states(plan, dataset, method, run)
    graders: list[str] = [settings.kind for settings in published_networks(plan, dataset).values()]
    graders += ["cnn"] if plan.benchmark.extractor == "perceptual" else []
    if run.perceptual and run.perceptual_backbone in graders:
        where = plan.run_layers(dataset, method).origin(("perceptual_backbone",))
        raise ConfigError(
            f"{where}: perceptual_backbone = {run.perceptual_backbone}: {method} would be graded by the network that "
            "trains it; choose another backbone or extractor, or take its columns out of the tables"
        )


def _check_states(plan: Plan, dataset: str, method: str, run: Run) -> None:
    """Refuse a training that looks at states between the ends of trajectories, of a set that has none."""
    kind, _, name = run.feed.partition("/")
    between = run.params.get("n_intermediate", 0)
    if kind != "trajectories" or not between or plan.route(dataset, method) != "train":
        return
    if (keep := plan.trajectory_set(dataset, name).keep) != "all":
        where = plan.run_layers(dataset, method).origin(("params", "n_intermediate"))
        kept = plan.run_layers(dataset, f"trajectories/{name}").origin(("keep",))
        raise ConfigError(
            f"{where}: params.n_intermediate = {between}: {method} looks at states between the ends of trajectories, "
            f"and of the set {name} they are not kept (keep: {keep} in {kept}); set keep: all there, or "
            "n_intermediate to 0"
        )


def _check_names(plan: Plan) -> None:
    """Refuse names in the benchmark that mean nothing: a mistyped row would silently not run."""
    benchmark = plan.benchmark
    _check_files(plan)
    methods = [stem for group in RUN_GROUPS for stem in stems(plan.configs / group)]
    for section in ("data", "released", "statistics"):
        _refuse_unknown(plan, section, stems(plan.configs / "datasets"))
    for section in ("trajectories", "studies"):
        _refuse_unknown(plan, section, stems(plan.configs / section))
    _refuse_unknown(plan, "methods", methods)
    for study in plan.studies.values():
        for file, model in study.sections.items():
            plan.study(file, model)
    for name in benchmark.data:
        plan.dataset(name)
    _check_released(plan)
    for name in benchmark.trajectories:
        for table in plan.tables.values():
            plan.trajectory_set(table.dataset, name)
    for name, table in plan.tables.items():
        known = [item["run"] for item in rows.printed(plan, table)]
        _check_live(plan, name, table)
        for method in table.run or ():
            if method not in known:
                raise ConfigError(f"tables.{name}.run: '{method}' is no printed row. {nearest(method, known)}")
    for method in benchmark.trajectory_errors:
        plan.run(plan.study_dataset(), method)


def _check_released(plan: Plan) -> None:
    """Refuse imported weights for data sets or runs that there are not, and weights that are not there."""
    _refuse_unknown(plan, "released", stems(plan.configs / "datasets"))
    known = known_runs(plan.configs)
    for dataset, given in plan.benchmark.released.items():
        for method, path in given.items():
            if method not in known:
                where = f"{plan.layers.origin(('released', dataset, method))}: released.{dataset}"
                raise ConfigError(f"{where}: there is no run '{method}'. {nearest(method, known)}")
            read_card(path, dataset, method)


def _check_live(plan: Plan, name: str, table: Table) -> None:
    """Refuse rows to be trained beside shipped ones that are no runs, and settings that no row would follow."""
    known = known_runs(plan.configs)
    for key in ("live", "may_diverge"):
        for method in getattr(table, key):
            if method not in known:
                raise ConfigError(f"tables.{name}.{key}: there is no run '{method}'. {nearest(method, known)}")
    taken = {row.method for row in rows.rows(plan, name)}
    trained = {row.method for other in plan.tables for row in rows.rows(plan, other)}
    for own, given in plan.benchmark.methods.items():
        method = f"methods/{own}"
        shipped = rows.answering(plan, table, method)
        if shipped in taken - {method} and method not in trained and given.keys() - {"sampling", "resources"}:
            where = plan.layers.origin(("methods", own))
            raise ConfigError(
                f"{where}: methods.{own}: its row of {name} takes shipped weights, which no setting changes; add "
                f"--config students=train, or name {method} in tables.{name}.live"
            )


def _check_files(plan: Plan) -> None:
    """Refuse names of single files that are none: of data sets and of the feature network of the metrics."""
    benchmark = plan.benchmark
    keys: list[tuple[tuple[str, ...], str, str]] = [
        (("extractor",), benchmark.extractor, "extractors"),
        (("dataset",), benchmark.dataset, "datasets"),
    ]
    keys += [(("tables", name, "dataset"), table.dataset, "datasets") for name, table in plan.tables.items()]
    for key, name, folder in keys:
        known = stems(plan.configs / folder)
        if name not in known:
            where = f"{plan.layers.origin(key)}: {'.'.join(key)} = {shortened(repr(name))}"
            raise ConfigError(f"{where}: there is no such file in {plan.configs / folder}. {nearest(name, known)}")


def _refuse_unknown(plan: Plan, section: str, known: list[str]) -> None:
    for name in getattr(plan.benchmark, section):
        if name not in known:
            where = plan.layers.origin((section, name))
            raise ConfigError(f"{where}: {section}.{name}: there is no '{name}'. {nearest(name, known)}")


def unwritable_folders(plan: Plan) -> list[str]:
    """Return, for each folder of results in which no job could write, what it is and what to do."""
    return [line for folder in (plan.layout.root, plan.layout.figures) if (line := _unwritable(Path(folder)))]


def check_old_results(plan: Plan) -> None:
    """Refuse results of an earlier version under names that are gone.

    Raises:
        ArtifactError: naming the folder and what to do.
    """
    for old, new in OLD_RESULTS.items():
        for found in sorted(Path(plan.layout.root).glob(f"*/{old}")):
            raise ArtifactError(
                f"{found}: made by an earlier version, which called the group '{old}'; it is '{new}' now: rename the "
                f"folder to {found.with_name(new)} to keep its weights at hand, or delete it"
            )


def _unwritable(folder: Path) -> str:
    existing = next(f for f in (folder, *folder.absolute().parents) if f.exists())
    if not existing.is_dir():
        return f"{existing}: a file stands where the folder for results should be; move it away"
    if not os.access(existing, os.W_OK | os.X_OK):
        return f"{existing}: cannot write here; make it writable, or name another folder (--config results=PATH)"
    return ""
