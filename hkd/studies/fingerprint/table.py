"""The table of readings: the score of each before training, and what is left of it in averages, beside Table 5."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hkd.settings.sections import Ema
from hkd.training.ema import initial_share

COLUMNS = (
    "decoder_sigma",
    "output_wrapper",
    "operator_init",
    "averaging",
    "fd",
    "fdn",
    "metric",
    "n",
    "order",
    "printed_before",
    "initial_share_after_epoch_0",
    "printed_after_epoch_0",
    "averaging_fits_table5",
    "comparable",
)


def lines(
    measured: Mapping[str, Any],
    averaging: Mapping[str, Ema],
    printed: tuple[float | None, float | None],
    *,
    epoch_steps: int,
    batch: int,
    limit: float,
    comparable: bool,
) -> list[dict[str, Any]]:
    """Return a line for every reading and averaging, the lowest score first.

    Before training every average is the weights themselves, so a reading's score is that of each of its averages.

    Args:
        measured: as `hkd fingerprint` writes it: `readings`, and `fd` and `fdn` of each.
        printed: the paper's scores before training and after its epoch 0.
        limit: largest share of initial weights in an average whose score may have fallen as the paper's has.
        comparable: whether data, network and metric are the paper's; otherwise only the order of readings counts.
    """
    order = sorted(range(len(measured["readings"])), key=lambda k: measured["fd"][k])
    found = []
    for place, k in enumerate(order, start=1):
        for name, settings in averaging.items():
            share = initial_share(settings, steps=epoch_steps, batch=batch)
            found.append(
                {
                    **measured["readings"][k],
                    "averaging": name,
                    "fd": f"{measured['fd'][k]:.2f}",
                    "fdn": f"{measured['fdn'][k]:.2f}",
                    "metric": measured["metric"],
                    "n": measured["n"],
                    "order": place,
                    "printed_before": "" if printed[0] is None else printed[0],
                    "initial_share_after_epoch_0": f"{share:.2g}",
                    "printed_after_epoch_0": "" if printed[1] is None else printed[1],
                    "averaging_fits_table5": "yes" if share <= limit else "no",
                    "comparable": "yes" if comparable else "order alone",
                }
            )
    return found


def summary(found: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the readings in words, the lowest score first, and which averages the paper's own course excludes."""
    first = found[0]["averaging"]
    said = [
        f"{line['order']}. decoder told {line['decoder_sigma']}, output {line['output_wrapper']}, operators from "
        f"{line['operator_init']:g}: {line['metric']} {line['fd']}"
        for line in found
        if line["averaging"] == first
    ]
    said += [
        f"averaging {line['averaging']}: {line['initial_share_after_epoch_0']} of the average after epoch 0 is the "
        f"initial weights, where the paper prints {line['printed_after_epoch_0']}: it is excluded"
        for line in found
        if line["order"] == 1 and line["averaging_fits_table5"] == "no"
    ]
    if found[0]["comparable"] != "yes":
        before = found[0]["printed_before"]
        said.append(
            f"The paper's {before} before training is a score on other data through another network: here only the "
            "order of readings counts, and which of them has that score is not measured"
        )
    return said
