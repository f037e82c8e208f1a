"""`hkd spectrum`, `hkd closure`, `hkd band-factors`, `hkd agreement`, `hkd interpretability`: is HKD what it says?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from hkd.job import (
    DEFAULT_PROFILE,
    DatasetArgument,
    DeviceOption,
    DigestOption,
    MethodArgument,
    OverrideOption,
    ProfileOption,
    SeedOption,
    expect,
    plan,
)
from hkd.store.artifacts import ArtifactError, Record, atomic_path, read_json, write_json, write_text
from hkd.studies.interpretability.plan import InterpretabilityPlan

OrderArgument = Annotated[str, typer.Argument(help="What modes are ordered by: alpha, abs_alpha or abs_eig.")]


def register(app: typer.Typer) -> None:
    """Add this file's commands."""
    for command in (spectrum, closure, band_factors, agreement, interpretability):
        app.command()(command)


def spectrum(
    dataset: DatasetArgument,
    method: MethodArgument,
    seed: SeedOption = 0,
    profile: ProfileOption = DEFAULT_PROFILE,
    config: OverrideOption = None,
    device: DeviceOption = "auto",
    expect_digest: DigestOption = None,
) -> None:
    """Analyse a run's spectrum: eigenvalues, bands, what each decodes to and what it adds over time."""
    import numpy as np
    from tqdm import tqdm

    from hkd.data.images import to_uint8
    from hkd.experiment import build
    from hkd.studies.interpretability.bands_decoded import spectral_analysis

    chosen = plan(profile, config)
    lookup = InterpretabilityPlan(chosen)
    expect(lookup.spectrum_digest(), expect_digest, "analysis of the spectrum")
    settings, folder, to = lookup.spectrum, Path(chosen.layout.run(dataset, method, seed)), build.device(device)
    weights = folder / "weights.safetensors"
    record = Record("spectrum", settings.model_dump(), lookup.spectrum_digest(), seed, [weights], str(to))
    net, x, labels = _start(folder, range(settings.images), seed, to)
    with tqdm(total=settings.times, desc=f"{method} seed {seed} spectrum", unit="time", disable=None) as bar:
        found = spectral_analysis(
            net,
            x,
            labels,
            order_by=settings.order_by,
            ascending=settings.ascending,
            edges=settings.edges,
            times=settings.times,
            substitutes=settings.substitutes,
            batch=settings.batch,
            tick=bar.update,
        )
    arrays: dict[str, Any] = {
        **{f"eigenvalues/{level}": value for level, value in found.eigenvalues.items()},
        **{f"bands/{level}": value.byte() for level, value in found.bands.items()},
        "span": np.array(net.time.span),
        "sigmas": found.sigmas,
        "latents": np.array(found.latents),
        "energy": found.energy,
        "images": to_uint8(found.images),
        "frequencies": found.frequencies,
        "power": found.power,
    }
    for kind, part in found.substituted.items():
        arrays[f"{kind}/images"] = to_uint8(part.images.flatten(0, 1)).unflatten(0, part.images.shape[:2])
        arrays[f"{kind}/power"] = part.power
        arrays[f"{kind}/contribution"] = part.contribution
        arrays[f"{kind}/leave_one_out"] = part.leave_one_out
    out = folder / "spectrum" / "spectrum.npz"
    with atomic_path(out) as temporary, open(temporary, "wb") as file:
        np.savez(file, **{k: v if isinstance(v, np.ndarray) else v.cpu().numpy() for k, v in arrays.items()})  # type: ignore[arg-type]
    record.write(out, n=settings.images)


def closure(
    dataset: DatasetArgument,
    method: MethodArgument,
    seed: SeedOption = 0,
    profile: ProfileOption = DEFAULT_PROFILE,
    config: OverrideOption = None,
    device: DeviceOption = "auto",
    expect_digest: DigestOption = None,
) -> None:
    """Evolve latents of x_T along held-out trajectories, and hold them against the encoded states and the states."""
    import numpy as np
    import torch
    from tqdm import tqdm

    from hkd.data.trajectories import Trajectories
    from hkd.experiment import build
    from hkd.studies.interpretability.closure import closure_error, pooled

    chosen = plan(profile, config)
    lookup = InterpretabilityPlan(chosen)
    expect(lookup.closure_digest(), expect_digest, "closure errors")
    study, folder, to = lookup.study, Path(chosen.layout.run(dataset, method, seed)), build.device(device)
    stored, weights = Path(lookup.trajectories()), folder / "weights.safetensors"
    inputs = [weights, stored / "manifest.json"]
    record = Record("closure", study.model_dump(), lookup.closure_digest(), seed, inputs, str(to))
    net, held_out = _network(folder, to), Trajectories(stored)
    held_out.verify()
    levels, parts = [float(sigma) for sigma in held_out.sigmas[:-1]], []
    n = min(study.trajectories, len(held_out))
    batches = np.array_split(np.arange(n), max(round(n / study.batch), 1))
    for indices in tqdm(batches, desc=f"{method} seed {seed} closure", unit="batch", disable=None):
        batch = held_out.batch(indices, to)
        states = torch.stack([batch.state(k) for k in range(len(levels))])
        parts.append(closure_error(net, states, levels, batch.labels))
    found = pooled(parts)
    out = folder / "interpretability" / "closure.json"
    errors = {name: getattr(found, name).tolist() for name in found._fields if name != "sigmas"}
    write_json(out, {"n": n, "sigmas": levels, "latents": net.latent_names, **errors})
    record.write(out, n=n)


def band_factors(
    dataset: DatasetArgument,
    method: MethodArgument,
    order_by: OrderArgument,
    seed: SeedOption = 0,
    profile: ProfileOption = DEFAULT_PROFILE,
    config: OverrideOption = None,
    device: DeviceOption = "auto",
    expect_digest: DigestOption = None,
) -> None:
    """Swap bands between images and read which factors follow, beside a permutation null and a swap of resolutions."""
    from typing import get_args

    from tqdm import tqdm

    from hkd.experiment import build
    from hkd.koopman.bands import bands
    from hkd.koopman.spectrum import OrderBy
    from hkd.metrics.features.preprocess import CLASSES
    from hkd.seeding import stream
    from hkd.settings.origins import ConfigError, nearest
    from hkd.store.artifacts import weights_about
    from hkd.studies.interpretability.bands_decoded import decoder, encoded
    from hkd.studies.interpretability.factors import band_factor_test
    from hkd.studies.interpretability.reader import FactorReader, comparable

    if order_by not in get_args(OrderBy):
        raise ConfigError(f"order_by: '{order_by}' is unknown. {nearest(order_by, list(get_args(OrderBy)))}")
    chosen = plan(profile, config)
    lookup = InterpretabilityPlan(chosen)
    expect(lookup.factor_digest(), expect_digest, "test of bands and factors")
    study, cuts, to = lookup.study, lookup.spectrum, build.device(device)
    folder, reading = Path(chosen.layout.run(dataset, method, seed)), Path(chosen.layout.extractor(dataset, "metric"))
    inputs = [folder / "weights.safetensors", reading]
    record = Record("band-factors", study.model_dump(), lookup.factor_digest(), seed, inputs, str(to))
    network = build.feature_network(reading).to(to)
    resize = CLASSES[chosen.extractor(dataset, "metric").preprocessing]
    reader = FactorReader(network, weights_about(reading)["network"]["heads"], size=network.image_size, resize=resize)
    net, x, labels = _start(folder, range(2 * study.pairs), seed, to)
    eps = net.settings.sigma_min
    latents = net.evolve(encoded(net, x, labels, study.batch), net.settings.sigma_max, eps)
    hosts, donors = ([z[part] for z in latents] for part in (slice(study.pairs), slice(study.pairs, None)))
    decode = decoder(net, x[: study.pairs], None if labels is None else labels[: study.pairs], study.batch, eps)
    factors, n = comparable(study.tolerance), len(cuts.edges) + 1
    index = bands(net.operators(), order_by, ascending=cuts.ascending, edges=cuts.edges)  # type: ignore[arg-type]
    total = 2 + n * (study.draws + 1)
    with tqdm(total=total, desc=f"{method} seed {seed} bands by {order_by}", unit="swap", disable=None) as bar:

        def read(images: Any) -> Any:
            bar.update()
            return reader(images)

        found = band_factor_test(
            net.operators(),
            hosts,
            donors,
            index,
            n,
            decode,
            read,
            factors,
            generator=stream(seed, "band-permutations"),
            draws=study.draws,
        )
    out = folder / "interpretability" / f"factors-{order_by}.json"
    content = {name: value.tolist() if hasattr(value, "tolist") else value for name, value in found._asdict().items()}
    names = [factor.name for factor in factors]
    write_json(
        out, {"pairs": study.pairs, "order_by": order_by, "factors": names, "heights": _heights(hosts), **content}
    )
    record.write(out, n=study.pairs)


def agreement(
    profile: ProfileOption = DEFAULT_PROFILE, config: OverrideOption = None, expect_digest: DigestOption = None
) -> None:
    """Compare the spectra of seeds, and of operators that started elsewhere, mode by mode."""
    import torch
    from tqdm import tqdm

    from hkd.koopman.spectrum import agreement_test, spectra
    from hkd.seeding import stream

    lookup = InterpretabilityPlan(plan(profile, config))
    expect(lookup.agreement_digest(), expect_digest, "agreement of spectra")
    study, lines = lookup.study, []
    record = Record("agreement", study.model_dump(), lookup.agreement_digest(), inputs=lookup.agreement_inputs())
    found = {path: spectra(_network(Path(path).parent, torch.device("cpu"))) for path in lookup.agreement_inputs()}
    for number, pair in enumerate(tqdm(lookup.pairs(), desc="agreement of spectra", unit="pair", disable=None)):
        for order in study.orders:
            draw = stream(number, "agreement")
            test = agreement_test(found[pair.first], found[pair.second], order, generator=draw, draws=study.draws)
            lines.append({**vars(pair), "order_by": order, **test._asdict(), "null": test.null.tolist()})
    out = Path(lookup.agreement_file())
    write_json(out, {"pairs": lines})
    record.write(out)


def interpretability(
    profile: ProfileOption = DEFAULT_PROFILE, config: OverrideOption = None, expect_digest: DigestOption = None
) -> None:
    """Answer the questions from what was measured: a table with nulls and decisions, and a paragraph in plain words."""
    from hkd.report.csv import to_csv
    from hkd.studies.interpretability.evidence import COLUMNS, evidence
    from hkd.studies.interpretability.findings import findings

    chosen = plan(profile, config)
    lookup = InterpretabilityPlan(chosen).check()
    expect(lookup.table_digest(), expect_digest, "table of interpretability")
    record = Record("interpretability", lookup.study.model_dump(), lookup.table_digest(), inputs=lookup.inputs())
    rows = evidence(measured(lookup), lookup.study, lookup.titles())
    csv, text = (Path(f"{chosen.layout.root}/interpretability.{kind}") for kind in ("csv", "md"))
    write_text(csv, to_csv([row.cells() for row in rows], COLUMNS))
    about = f"{chosen.dataset(lookup.dataset).title}, profile {chosen.profile.profile}, {len(chosen.seeds)} seeds"
    write_text(text, findings(rows, lookup.study, lookup.titles(), about))
    for path in (csv, text):
        record.write(path)


def measured(lookup: InterpretabilityPlan) -> dict[str, Any]:
    """Return what the study measured: by question, run and, where there are several, order or kind of file."""
    factors = {
        run: {order: [read_json(path, "band-factors") for path in paths] for order, paths in orders.items()}
        for run, orders in lookup.factor_files().items()
    }
    losses = {
        run: {
            "fdn": [read_json(path, "metrics")["metrics"]["fdn"] for path in files["metrics"]],
            "errors": [read_json(path, "trajectory-error") for path in files["errors"]],
        }
        for run, files in lookup.loss_files().items()
    }
    return {
        "closure": {run: [read_json(p, "closure") for p in paths] for run, paths in lookup.closure_files().items()},
        "agreement": read_json(lookup.agreement_file(), "agreement")["pairs"],
        "factors": factors,
        "losses": losses,
    }


def _network(folder: Path, to: Any) -> Any:
    """Return the HKD network of a finished run.

    Raises:
        ArtifactError: the run has none.
    """
    from hkd.experiment import build
    from hkd.koopman.hierarchy import HKDNet

    net = build.base(folder / "weights.safetensors").to(to).student
    if not isinstance(net, HKDNet):
        raise ArtifactError(
            f"{folder}: is no run of HKD, and has no spectrum; name methods/hkd or one of its ablations"
        )
    return net


def _start(folder: Path, indices: range, seed: int, to: Any) -> tuple[Any, Any, Any]:
    """Return the network of a run, the states x_T from which its samples of those indices start, and their labels."""
    from hkd.experiment.record import read_run
    from hkd.experiment.sample import classes
    from hkd.seeding import ImageStreams

    run, shape, _ = read_run(folder / "config.yaml")
    net = _network(folder, to)
    x = net.settings.sigma_max * ImageStreams(seed, indices).randn(shape.chw).to(to)
    labels = classes(seed, indices, shape.label_dim).to(to) if run.conditional else None
    return net, x, labels


def _heights(latents: list[Any]) -> list[int]:
    from hkd.studies.interpretability.factors import resolutions

    return resolutions(latents)
