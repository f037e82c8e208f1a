"""The cost of a run in network evaluations: of its own training, and of the runs and pairs that it depends on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hkd.settings.origins import ConfigError

COLUMNS = (
    "method",
    "title",
    "seed",
    "step",
    "fdn",
    "n",
    "own_evaluations",
    "teacher_evaluations",
    "pair_evaluations",
    "base_evaluations",
    "total_evaluations",
    "parameters",
)

TOLERANCE = 0.02  # of the evaluations that are due: steps and batches are whole numbers


@dataclass(frozen=True)
class Cost:
    """Network evaluations of a finished training and of what came before it.

    Attributes:
        own: by the networks that the method trains or copies from them: student, target, fake denoiser.
        teacher: by its frozen teacher, within the training.
        pairs: of every set of pairs or trajectories that it or its bases use.
        bases: of the trainings of every run that it starts from, learns from, or takes pairs of.
    """

    own: int
    teacher: int
    pairs: int
    bases: int

    def after(self, share: float) -> dict[str, int]:
        """Return the columns for a share of the training: each step costs the same, pairs and bases count in full."""
        own, teacher = round(share * self.own), round(share * self.teacher)
        return {
            "own_evaluations": own,
            "teacher_evaluations": teacher,
            "pair_evaluations": self.pairs,
            "base_evaluations": self.bases,
            "total_evaluations": own + teacher + self.pairs + self.bases,
        }


def cost(budget: Mapping[str, Any], sets: Iterable[int], bases: Iterable[Mapping[str, Any]], own_pairs: int) -> Cost:
    """Return the cost of a run from the budgets in the records.

    Args:
        budget: of the run itself; its `network_evals` count its own pairs too.
        sets: evaluations of every set of pairs, its own among them.
        bases: budgets of the runs behind it, whose own pairs are already taken off.
        own_pairs: evaluations of the set that the run itself reads, 0 without one.
    """
    trained = budget["network_evals"] - own_pairs
    teacher = budget["teacher_evals"]
    return Cost(trained - teacher, teacher, sum(sets), sum(base["network_evals"] for base in bases))


def lines(curve: Mapping[str, Any], title: str, found: Cost) -> list[dict[str, Any]]:
    """Return the table's lines of one run, with `COLUMNS`: one for each step at which it was measured."""
    return [
        {
            "method": curve["method"],
            "title": title,
            "seed": curve["seed"],
            "step": point["step"],
            "fdn": f"{point['fdn']:.6g}",
            "n": curve["n"],
            **found.after(point["step"] / curve["steps"]),
            "parameters": curve["parameters"],
        }
        for point in curve["points"]
    ]


def mean_curves(table: Sequence[Mapping[str, Any]]) -> dict[str, list[tuple[float, float, float]]]:
    """Return (own evaluations, total evaluations, mean FDn over seeds) for each method, by rising budget."""
    found: dict[str, dict[int, list[Mapping[str, Any]]]] = {}
    for line in table:
        found.setdefault(line["method"], {}).setdefault(int(line["own_evaluations"]), []).append(line)
    return {
        method: [
            (float(own), float(same[0]["total_evaluations"]), sum(float(x["fdn"]) for x in same) / len(same))
            for own, same in sorted(points.items())
        ]
        for method, points in found.items()
    }


def without_pairs(budget: Mapping[str, Any], pairs: int) -> dict[str, Any]:
    """Return the budget of a base without the evaluations of the set that it was trained on."""
    return {**budget, "network_evals": budget["network_evals"] - pairs}


def check_matched(method: str, found: Sequence[Mapping[str, Any]], due: int) -> None:
    """Refuse a method that spends other evaluations than all are to spend.

    Raises:
        ConfigError: naming the method, what it spends and what is due.
    """
    spent = found[-1]["own_evaluations"]
    if abs(spent - due) > TOLERANCE * due:
        raise ConfigError(
            f"studies.budget: {method} spends {spent:,} evaluations where evaluations = {due:,} are due; change its "
            "steps or batch in studies.budget.methods, or evaluations"
        )
