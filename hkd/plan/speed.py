"""How fast a machine computes what a plan counts: a card's peak and the share of it that is reached."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from hkd.accelerators import CARDS, Card, card_of
from hkd.settings.numerics import Compute
from hkd.settings.origins import ConfigError, Section, check, nearest, read_yaml
from hkd.store import bounded

ASSUMED = 0.4  # choice: what well-kept trainings of convolutional networks of this size are said to reach; not measured
PROBE_BYTES = 1 << 20
Operations = Annotated[float, Field(gt=0, le=1e18)]


class Thread(Section):
    """configs/cpu.yaml: operations of one thread in a CPU-second by kind, and seconds to start or to fork a job."""

    train: Operations
    evaluate: Operations
    features: Operations
    startup: Annotated[float, Field(ge=0, le=3600)]
    forked: Annotated[float, Field(ge=0, le=3600)]


@dataclass(frozen=True)
class Speed:
    """Operations per second by kind of work, and what else a job costs.

    Attributes:
        rates: for `train`, `evaluate` and `features`.
        startup: seconds that each job needs before it computes.
        said: where the numbers are from, in words.
        card: None of a CPU.
    """

    rates: Mapping[str, float]
    startup: float
    said: str
    card: Card | None = None

    def seconds(self, operations: Mapping[str, float]) -> float:
        """Return how long operations take on one device."""
        return sum(count / self.rates[kind] for kind, count in operations.items())


def of_card(name: str, compute: Compute, mfu: float | None) -> Speed:
    """Return the speed of a card, at a share of its peak that is given, was measured, or is assumed.

    Raises:
        ConfigError: there is no such card, or it cannot compute in the benchmark's precision.
    """
    if name not in CARDS:
        raise ConfigError(f"--card {name}: is not in the table of cards. {nearest(name, list(CARDS))}")
    card = CARDS[name]
    wanted = {"train": compute.precision, "evaluate": compute.evaluation, "features": "fp32"}
    rates, said = {}, []
    for kind, precision in wanted.items():
        if precision not in card.tflops:
            known = ", ".join(card.tflops)
            raise ConfigError(f"--card {name}: has no {precision} (it has {known}); name another card, or set compute")
        share = mfu or card.mfu.get(precision) or ASSUMED
        rates[kind] = card.tflops[precision] * 1e12 * share
        said.append(f"{kind} in {precision} at {rates[kind] / 1e12:.1f} TFLOP/s")
    source = "given" if mfu else "measured" if card.mfu else "assumed, of no measurement"
    share = mfu or next(iter(card.mfu.values()), ASSUMED)
    return Speed(rates, 0.0, f"{name}: {', '.join(said)}; {share:.0%} of the data sheet's peak, {source}", card)


def thread(configs: Path) -> Thread:
    """Return what was measured of one thread of a CPU, in configs/cpu.yaml.

    Raises:
        ConfigError: a value of the file is none.
    """
    return check(Thread, read_yaml(configs / "cpu.yaml"))


def of_thread(configs: Path, *, forked: bool) -> Speed:
    """Return the speed of that thread, whose jobs load the libraries themselves or are forked.

    Raises:
        ConfigError: see `thread`.
    """
    found = thread(configs)
    rates = found.model_dump(exclude={"startup", "forked"})
    return Speed(rates, found.forked if forked else found.startup, "one thread of the CPU of configs/cpu.yaml")


def of_probe(path: Path, compute: Compute, step: float) -> Speed:
    """Return the speed of the card on which `make test-gpu` has measured EDM's full-size training step.

    Args:
        step: operations of that step for one image.
    Raises:
        ConfigError: the file holds no such measurement in the benchmark's precision.
    """
    try:
        found: Any = bounded.parse_json(bounded.read_bytes(path, PROBE_BYTES))
        name = str(found["device"])
        prefix = f"edm {compute.precision}: ms a step of "
        batch, milliseconds = next(
            (int(key.removeprefix(prefix)), float(value)) for key, value in found.items() if key.startswith(prefix)
        )
    except (OSError, bounded.Damaged, KeyError, TypeError, ValueError, AttributeError, StopIteration):
        raise ConfigError(
            f"--probe-file {path}: holds no step of EDM in {compute.precision}; make test-gpu writes it, or give --mfu"
        ) from None
    card = card_of(name)
    if card is None or compute.precision not in card.tflops or not milliseconds > 0:
        raise ConfigError(f"--probe-file {path}: {name!r} is not in the table of cards; give --card and --mfu")
    reached = step * batch / milliseconds * 1e3
    return of_card(card.name, compute, reached / (card.tflops[compute.precision] * 1e12))
