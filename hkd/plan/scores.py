"""Which scores a run needs, through which networks and at how many images: what the profile's tables ask for."""

from __future__ import annotations

from hkd.plan.code import code_digest
from hkd.plan.runs import CONFIGS, Plan
from hkd.settings.columns import column, scores_of, split_view, views_of
from hkd.settings.origins import ConfigError, check, digest, nearest, read_yaml
from hkd.settings.sections import PublishedExtractor
from hkd.store.published import WEIGHTS

OWN = ("metric", "perceptual")  # trained by the workflow, or shipped
NETWORKS = (
    "hkd.nets.cnn",
    "hkd.metrics.features.inception",
    "hkd.metrics.features.vit",
    "hkd.metrics.scores.diversity",
)


def common_n(plan: Plan, table: str) -> int | None:
    """Return the number of images at which all rows of a table can be compared: that of its smallest row."""
    dataset = plan.table(table).dataset
    settings = [plan.run(dataset, row.method).sampling for row in plan.rows(table) if row.method]
    return min((item.n_samples // item.ranges for item in settings), default=None)


def scores(plan: Plan, dataset: str) -> tuple[str, ...]:
    """Return the scores that the profile's tables on a data set show."""
    return scores_of(name for spec in plan.tables.values() if spec.dataset == dataset for name in spec.columns)


def sizes(plan: Plan, dataset: str, method: str) -> tuple[int, ...]:
    """Return the numbers of images, below its own, at which a run is compared with others."""
    sampling = plan.run(dataset, method).sampling
    found = {
        common_n(plan, name)
        for name, spec in plan.tables.items()
        if spec.dataset == dataset
        and any(column(c).derived == "common" for c in spec.columns)
        and any(row.method == method for row in plan.rows(name))
    }
    return tuple(sorted(n for n in found if n is not None and n != sampling.n_samples // sampling.ranges))


def nominal(plan: Plan, dataset: str) -> int | None:
    """Return the number of images that every row of the profile's tables on a data set is meant to have."""
    rows = [row.method for name, spec in plan.tables.items() if spec.dataset == dataset for row in plan.rows(name)]
    return max((plan.run(dataset, method).sampling.nominal for method in rows if method), default=None)


def eye_names(plan: Plan, dataset: str) -> dict[str, str]:
    """Return the networks that the scores look through: name in views -> file of configs/extractors."""
    further = {split_view(view)[0] for view in views_of(scores(plan, dataset))} - {"own"}
    return {"own": plan.profile.extractor} | {eye: eye for eye in sorted(further)}


def extractor_files(plan: Plan, dataset: str) -> list[str]:
    """Return the weights of those networks that the workflow itself makes."""
    needed = set(eye_names(plan, dataset).values())
    if "lpips_diversity" in scores(plan, dataset) and not diversity_of(plan):
        needed.add("perceptual")
    return [plan.layout.extractor(dataset, name) for name in OWN if name in needed]


def published(plan: Plan, name: str) -> PublishedExtractor:
    """Return the settings of a network that is not trained here.

    Raises:
        ConfigError: there is no such file, or it describes a network that the workflow trains.
    """
    path = CONFIGS / f"extractors/{name}.yaml"
    known = sorted(p.stem for p in path.parent.glob("*.yaml"))
    if name not in known:
        raise ConfigError(f"extractor '{name}': no {path}. {nearest(name, known)}")
    return check(PublishedExtractor, read_yaml(path))


def diversity_of(plan: Plan) -> str | None:
    """Return the LPIPS backbone of the profile's extractor; None: the perceptual network that is trained here."""
    own = plan.profile.extractor
    return None if own in OWN else published(plan, own).diversity


def features_digest(plan: Plan, dataset: str) -> str:
    """Return the digest of what defines the features of images, and the numbers made beside them."""
    networks = {eye: published(plan, name) for eye, name in eye_names(plan, dataset).items() if name not in OWN}
    about = {eye: settings.model_dump() for eye, settings in networks.items()}
    backbone = diversity_of(plan)
    files = {settings.weights for settings in networks.values()} | {f"lpips-{backbone}"}
    pins = [entry.sha256 for name, entry in sorted(WEIGHTS.items()) if name in files]
    asked = [plan.profile.extractor, scores(plan, dataset), about, backbone, *pins]
    return digest([code_digest("hkd.metrics.measure", "hkd.methods.distances", *NETWORKS), asked])


def pass_code() -> str:
    """Return the digest of the code that passes images through networks, ours and the libraries'."""
    return code_digest("hkd.metrics.features.extract", "hkd.metrics.features.libraries", *NETWORKS)


def metrics_digest(plan: Plan, dataset: str, method: str) -> str:
    """Return the digest of what defines the metrics of a run, besides its features and the reference."""
    sampling = plan.run(dataset, method).sampling
    asked = [scores(plan, dataset), sizes(plan, dataset, method), sampling.nominal, sampling.ranges]
    return digest([code_digest("hkd.metrics.scoring"), asked])


def table_digest(plan: Plan, table: str) -> str:
    """Return the digest of what defines a table besides its metrics files."""
    return digest([plan.table_digest(table), plan.table(table).columns, common_n(plan, table)])
