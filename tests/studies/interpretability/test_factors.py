"""On a made-up world whose bands carry known factors, the test finds them; where they carry none, it does not."""

from __future__ import annotations

import math

import pytest
import torch
from torch.testing import assert_close

from hkd.koopman.bands import bands
from hkd.koopman.operator import KoopmanOperator
from hkd.studies.interpretability.factors import (
    Factor,
    band_factor_test,
    difference,
    follows,
    separation,
    specialisation,
)

FACTORS = [Factor("size", "linear"), Factor("hue", "circular", period=1.0), Factor("class", "class")]
WIDE = 8**0.5  # classes 0, 1 and 2 have eight times the variance of a uniform number
OF_THE_WORLD = [Factor("size", "linear"), Factor("hue", "circular", period=WIDE), Factor("class", "class")]


def world(informative):
    """Two levels whose three bands lie in rows; an image is the mean of each band's modes, or of mixed modes.

    All bands have the same energy.
    """
    operators = [KoopmanOperator(2, 6, size, name=str(size)) for size in (24, 12)]
    with torch.no_grad():
        for operator in operators:
            operator.generator[0] = torch.linspace(-1, 1, 6)[:, None] + 1e-3 * torch.rand(
                6, operator.generator.shape[-1]
            )
    draw = torch.Generator().manual_seed(0)
    rows = torch.rand(2, 64, 3, generator=draw)
    rows[..., :2] *= WIDE
    rows[..., 2] = (3 * rows[..., 2]).floor()
    latents = [
        [values.repeat_interleave(2, 1)[:, None, :, None].repeat(1, 2, 1, size) for size in (24, 12)] for values in rows
    ]

    def decode(z):
        if informative:
            return z[0].unflatten(2, (3, 2)).mean((1, 3, 4))
        places = torch.randperm(144, generator=torch.Generator().manual_seed(1)).reshape(3, 48)
        return torch.stack([z[0][:, 0].flatten(1)[:, place].mean(1) for place in places], 1)

    return operators, latents, decode


@pytest.mark.parametrize("informative", [True, False])
def test_bands_are_found_to_carry_factors_only_where_they_do(informative):
    operators, (hosts, donors), decode = world(informative)
    index = bands(operators, "alpha", ascending=True)
    generator = torch.Generator().manual_seed(2)
    result = band_factor_test(
        operators, hosts, donors, index, 3, decode, lambda x: x, OF_THE_WORLD, generator=generator
    )
    assert result.weights.shape == (3, 3)
    assert_close(result.energy, torch.full((3,), 1 / 3, dtype=torch.float64), atol=0.06, rtol=0)
    assert_close(result.null_energy, result.energy, atol=0.01, rtol=0)
    assert len(result.null) == 100
    assert result.carries is informative
    if informative:
        assert (result.weights - torch.eye(3)).abs().max() < 0.05
        assert result.separation > result.null.max()
        assert result.specialisation > result.specialisation_null.max()
        assert result.specialisation_p_value == pytest.approx(1 / 101)
        assert result.p_value == pytest.approx(1 / 101)


def test_a_band_that_is_only_stronger_carries_nothing():
    """Each factor is spread over the modes of all bands, but those of the last are four times as strong.

    A swap of that band moves every factor, and one of the others none: against bare permutations, which even the
    energies out, this would count as separation.
    """
    operators = [KoopmanOperator(2, 6, 6)]
    with torch.no_grad():
        operators[0].generator[0] = torch.rand(6, 6, generator=torch.Generator().manual_seed(4))
    index = bands(operators, "alpha", ascending=True)
    strength = (1 + 3 * (index[0] == 2).float())[0]
    places = torch.randperm(36, generator=torch.Generator().manual_seed(1)).reshape(3, 12)
    values = torch.rand(2, 64, 3, generator=torch.Generator().manual_seed(0))
    latents = []
    for factors in values:
        level = torch.zeros(64, 36)
        for factor, place in enumerate(places):
            level[:, place] = factors[:, factor, None]
        latents.append([(level.reshape(64, 1, 6, 6) * strength).repeat(1, 2, 1, 1)])

    def decode(z):
        weighted = (z[0][:, 0] * strength).flatten(1)
        return torch.stack(
            [weighted[:, place].sum(1) / strength.flatten()[place].square().sum() for place in places], 1
        )

    linear = [Factor(name, "linear") for name in "abc"]
    draw = torch.Generator().manual_seed(2)
    found = band_factor_test(operators, *latents, index, 3, decode, lambda x: x, linear, generator=draw)
    assert found.energy[2] > 0.8 and found.separation > 0.9
    assert_close(found.null_energy, found.energy, atol=0.01, rtol=0)
    assert not found.carries and found.p_value > 0.5


def test_a_factor_follows_the_nearer_of_host_and_donor():
    host = torch.tensor([[0.0, 0.95, 1.0], [0.0, 0.1, 2.0]])
    donor = torch.tensor([[1.0, 0.25, 1.0], [1.0, 0.4, 0.0]])
    swapped = torch.tensor([[0.6, 0.05, 2.0], [0.4, 0.3, 0.0]])
    shares = follows(host, donor, swapped, FACTORS)
    assert shares.tolist() == [0.5, 0.5, 1.0]


def test_distances_on_a_circle_go_the_short_way():
    a, b = torch.tensor([0.9, 0.1]), torch.tensor([0.1, 0.4])
    assert difference(a, b, FACTORS[1]).tolist() == pytest.approx([0.2, 0.3])
    assert difference(a, b, FACTORS[0]).tolist() == pytest.approx([0.8, 0.3])


def test_separation_is_the_mean_of_maximum_less_median():
    nan = float("nan")
    assert separation(torch.tensor([[1.0, 0.2, nan], [0.0, 0.2, nan], [0.5, 0.2, nan]])) == pytest.approx(0.25)
    assert math.isnan(separation(torch.full((3, 1), nan)))


def test_bands_that_move_more_of_all_factors_are_separate_but_not_specialised():
    unequal = torch.tensor([[0.6, 0.6, 0.6], [0.2, 0.2, 0.2], [0.1, 0.1, 0.1]])
    assert separation(unequal) == pytest.approx(0.4) and specialisation(unequal) == pytest.approx(0.0)
    assert separation(torch.eye(3)) == pytest.approx(1.0) and specialisation(torch.eye(3)) == pytest.approx(1.0)


def test_pairs_that_do_not_differ_do_not_count():
    same = torch.zeros(4, 3)
    assert follows(same, same, same + 1, FACTORS).isnan().all()


def test_too_few_permutations_are_refused():
    operators, (hosts, donors), decode = world(True)
    index = bands(operators, "alpha", ascending=True)
    with pytest.raises(ValueError, match="draws: need at least 100"):
        band_factor_test(
            operators, hosts, donors, index, 3, decode, lambda x: x, FACTORS, generator=torch.Generator(), draws=20
        )
