"""The diagram shows every latent with its shape, and the caption the sums of the outline."""

from __future__ import annotations

import pytest

from hkd.experiment.build import untrained_network
from hkd.figures.save import save
from hkd.studies.framework.figure import caption, framework_figure
from hkd.studies.framework.outline import outline


@pytest.fixture
def found(smoke_plan):
    plan = smoke_plan()
    return outline(untrained_network(plan.run("shapes8", "methods/hkd"), plan.dataset("shapes8").data))


def test_every_latent_has_its_shape_its_block_and_its_operator(found, tmp_path):
    figure = framework_figure(found)
    shown = [text.get_text() for text in figure.findobj(lambda artist: hasattr(artist, "get_text"))]
    for level in found.levels:
        assert "×".join(str(side) for side in level.shape) in shown
        assert level.name in shown and level.decoder in shown
    assert all(path.stat().st_size > 0 for path in save(figure, tmp_path / "framework", "text"))


def test_the_caption_counts_what_the_outline_counts(found):
    text = caption(found, run="HKD", dataset="shapes", scale="embedded", readings={"levels": "per_block"})
    assert f"{len(found.levels)} latents" in text and f"together {found.total:,}" in text
    assert "`levels: per_block`" in text and text.endswith(".\n")
