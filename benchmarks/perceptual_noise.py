"""What the small perceptual network of the default sees: noise, smooth noise, and contrast, beside a squared error.

    python benchmarks/perceptual_noise.py [--results results]

Needs the finished default. Each number is the mean distance of 200 training images to themselves changed, in per cent
of the mean distance between two images: of the perceptual distance that CD and CT learn from, and of the squared error.
The last line: how many values of the shipped CT's samples lie at either end of the range, where those of images do not.
"""

from __future__ import annotations

import argparse
import sys

import torch
import torch.nn.functional as F
from torch import Tensor

from hkd.data.image_set import ImageSet
from hkd.experiment.networks import feature_network
from hkd.methods.distances import PerceptualDistance
from hkd.plan.runs import Plan
from hkd.seeding import stream
from hkd.store.artifacts import map_arrays
from hkd.store.refusals import ArtifactError

N, SD = 200, 0.1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", default="results")
    plan = Plan.load("configs/benchmarks/embedded.yaml", {"results": parser.parse_args().results})
    layout = plan.layout
    network = feature_network(layout.extractor("shapes16", "perceptual"))
    distance = PerceptualDistance(network, network.maps)
    pixels = ImageSet(layout.data("shapes16", "train")).pixels
    images, others = (_scaled(torch.tensor(pixels[i : i + N])) for i in (0, N))
    noise = torch.randn(images.shape, generator=stream(0, "perceptual-noise", 0))
    changes = {
        f"white noise, sd {SD}": images + SD * noise,
        f"smooth noise, sd {SD}": images + SD * _smooth(noise),
        "contrast x 1.2": 1.2 * images,
        "contrast x 1.5": 1.5 * images,
        "contrast x 2": 2.0 * images,
    }
    with torch.no_grad():
        seen = distance.features(images)
        apart = float(distance(others, seen).mean()), float((others - images).square().mean())
        print("| change | perceptual distance | squared error |\n| --- | ---: | ---: |")
        for name, changed in changes.items():
            moved = float(distance(changed, seen).mean()), float((changed - images).square().mean())
            print(f"| {name} | {100 * moved[0] / apart[0]:.1f} % | {100 * moved[1] / apart[1]:.1f} % |")
    drawn = map_arrays(layout.run("shapes16", "shipped/ct", 0).samples(1), "sample")["images"]
    ends = [float((_scaled(torch.tensor(a)).abs() > 0.99).float().mean()) for a in (drawn, pixels[: len(drawn)])]
    print(f"values at the ends of the range: CT's samples {ends[0]:.1%}, real images {ends[1]:.1%}")


def _scaled(levels: Tensor) -> Tensor:
    return levels.float() / 127.5 - 1


def _smooth(noise: Tensor) -> Tensor:
    """Noise of the same energy on a grid of 4 x 4 places, enlarged."""
    wide = F.interpolate(F.adaptive_avg_pool2d(noise, 4), size=noise.shape[-1], mode="bilinear")
    energy = [x.square().mean(dim=(1, 2, 3), keepdim=True) for x in (noise, wide)]
    return wide * (energy[0] / energy[1]).sqrt()


if __name__ == "__main__":
    try:
        main()
    except ArtifactError as error:
        sys.exit(f"perceptual_noise.py: {error}")
