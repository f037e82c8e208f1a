"""Which scores a run needs, through which networks and at how many images: what the benchmark's tables ask for."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from hkd.plan import rows
from hkd.plan.runs import Plan
from hkd.settings.columns import COMPONENTS, SCORES, column, scores_of, split_view, views_of
from hkd.settings.origins import ConfigError, check, nearest, read_yaml, stems
from hkd.settings.sections import PublishedExtractor
from hkd.store.packaged import EFFNET, PackagedFile
from hkd.store.published import WEIGHTS, WeightFile

OWN = ("metric", "perceptual")  # trained by the workflow, or shipped
DIVERSITY = "hkd.experiment.network_scores"  # counts only where a table asks for it
NETWORKS = {  # kind of a network that is not trained here: the module that it is in
    "inception": "hkd.metrics.features.inception",
    "random-inception": "hkd.metrics.features.inception",
    "dinov2": "hkd.metrics.features.vit",
    "clip": "hkd.metrics.features.vit",
    "effnet": "hkd.metrics.features.photographs",
    "random-effnet": "hkd.metrics.features.photographs",
}


def common_n(plan: Plan, table: str) -> int | None:
    """Return the number of images at which rows of a table can be compared: the smallest that has a distance.

    No more images than the metric's own network has features have none, if any row has more.
    """
    dataset, own = plan.table(table).dataset, plan.benchmark.extractor
    settings = [plan.run(dataset, row.method).sampling for row in rows.rows(plan, table) if row.method]
    sizes = [item.n_samples // item.ranges for item in settings]
    features = plan.extractor(dataset, own).features if own in OWN else 0
    return min([size for size in sizes if size > features] or sizes, default=None)


def scores(plan: Plan, dataset: str) -> tuple[str, ...]:
    """Return the scores that the benchmark's tables on a data set show."""
    return scores_of(name for spec in plan.tables.values() if spec.dataset == dataset for name in spec.columns)


def refuse_few(plan: Plan, dataset: str, images: int) -> None:
    """Refuse a reference of so few images that a score of the benchmark's tables cannot be made, before any training.

    Raises:
        ConfigError: naming the column.
    """
    needing = [name for name in scores(plan, dataset) if SCORES[name].kind == "components"]
    if needing and images <= COMPONENTS:
        raise ConfigError(
            f"{plan.dataset(dataset).data.path or dataset}: {images} image{'s' if images != 1 else ''}, and the column "
            f"{needing[0]} needs more than {COMPONENTS}; take more, or leave the column out (tables.NAME.columns)"
        )


def sizes(plan: Plan, dataset: str, method: str) -> tuple[int, ...]:
    """Return the numbers of images, below its own, at which a run is compared with others."""
    sampling = plan.run(dataset, method).sampling
    found = {
        common_n(plan, name)
        for name, spec in plan.tables.items()
        if spec.dataset == dataset
        and any(column(c).derived == "common" for c in spec.columns)
        and any(row.method == method for row in rows.rows(plan, name))
    }
    return tuple(sorted(n for n in found if n is not None and n < sampling.n_samples // sampling.ranges))


def nominal(plan: Plan, dataset: str) -> int | None:
    """Return the number of images that every row of the benchmark's tables on a data set is meant to have."""
    tables = [name for name, spec in plan.tables.items() if spec.dataset == dataset]
    methods = [row.method for name in tables for row in rows.rows(plan, name)]
    return max((plan.run(dataset, method).sampling.nominal for method in methods if method), default=None)


def bar(plan: Plan, dataset: str, role: str = "") -> float:
    """Return the skill that a network trained here must have, by default the one of scores; 0 of others, shipped ones
    among them."""
    own = role or plan.benchmark.extractor
    trained = own in OWN and not plan.shipped(dataset, f"extractors/{own}")
    return plan.extractor(dataset, own).bar if trained else 0.0


def extractor_names(plan: Plan, dataset: str) -> dict[str, str]:
    """Return the networks that the scores look through: name in views -> file of configs/extractors."""
    further = {split_view(view)[0] for view in views_of(scores(plan, dataset))} - {"own"}
    return {"own": plan.benchmark.extractor} | {name: name for name in sorted(further)}


def extractor_files(plan: Plan, dataset: str) -> list[str]:
    """Return the weights of those networks that the workflow itself makes."""
    needed = set(extractor_names(plan, dataset).values())
    if "lpips_diversity" in scores(plan, dataset) and not diversity_of(plan):
        needed.add("perceptual")
    return [plan.layout.extractor(dataset, name) for name in OWN if name in needed]


def published(plan: Plan, name: str) -> PublishedExtractor:
    """Return the settings of a network that is not trained here.

    Raises:
        ConfigError: there is no such file, or it describes a network that the workflow trains.
    """
    path = plan.configs / f"extractors/{name}.yaml"
    known = stems(path.parent)
    if name not in known:
        raise ConfigError(f"extractor '{name}': no {path}. {nearest(name, known)}")
    return check(PublishedExtractor, read_yaml(path))


def published_networks(plan: Plan, dataset: str) -> dict[str, PublishedExtractor]:
    """Return the networks behind the scores of a data set that are not trained here, by their name in views."""
    names = extractor_names(plan, dataset)
    return {own: published(plan, name) for own, name in names.items() if name not in OWN}


def weights_of(settings: PublishedExtractor) -> WeightFile | PackagedFile | None:
    """Return the pinned file of a network's weights; None: they are random."""
    return EFFNET if settings.kind == "effnet" else WEIGHTS.get(settings.weights)


def diversity_of(plan: Plan) -> str | None:
    """Return the LPIPS backbone of the benchmark's extractor; None: the perceptual network that is trained here."""
    own = plan.benchmark.extractor
    return None if own in OWN else published(plan, own).diversity


def features_settings(plan: Plan, dataset: str) -> dict[str, Any]:
    """Return what defines the features of images, and the numbers made beside them."""
    networks = published_networks(plan, dataset)
    backbone = diversity_of(plan)
    pinned = {entry.sha256 for settings in networks.values() if (entry := weights_of(settings))}
    if backbone:
        pinned.add(WEIGHTS[f"lpips-{backbone}"].sha256)
    known: list[WeightFile | PackagedFile] = [*(entry for _, entry in sorted(WEIGHTS.items())), EFFNET]
    return {
        "extractor": plan.benchmark.extractor,
        "scores": _meaning(plan, dataset),
        "networks": {name: settings.model_dump() for name, settings in networks.items()},
        "diversity": backbone,
        "pins": [entry.sha256 for entry in known if entry.sha256 in pinned],
    }


def feature_code(plan: Plan, dataset: str) -> tuple[str, ...]:
    """Return the modules that pass images through the networks of a data set's scores, and ask each library."""
    networks = {NETWORKS[settings.kind] for settings in published_networks(plan, dataset).values()}
    diversity = (DIVERSITY,) if "lpips_diversity" in scores(plan, dataset) else ()
    return "hkd.metrics.measure", "hkd.experiment.extractors", *diversity, *sorted(networks)


def metrics_settings(plan: Plan, dataset: str, method: str) -> dict[str, Any]:
    """Return what defines the metrics of a run, besides its features and the reference."""
    sampling = plan.run(dataset, method).sampling
    return {
        "scores": _meaning(plan, dataset),
        "sizes": sizes(plan, dataset, method),
        "nominal": sampling.nominal,
        "ranges": sampling.ranges,
        **({"bar": limit} if (limit := bar(plan, dataset)) else {}),
    }


def _meaning(plan: Plan, dataset: str) -> list[dict[str, Any]]:
    """Return what each score is made of: another definition under the same name is another number."""
    return [{**asdict(SCORES[name]), "title": ""} for name in scores(plan, dataset)]
