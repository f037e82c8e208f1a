"""A small convolutional network whose features stand in, on small data, for those of a published one.

Two are trained, with different widths and seeds: one is the extractor of the metrics, the other serves the
perceptual distance, so that no method is graded by the network that trained it, but a control that is marked for it.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hkd.seeding import address

MIDDLE, SPREAD = 127.5, 64.0  # levels in [0, 255] become about zero-mean and of unit variance
CLASSIFIERS = ("class", "label", "rotation")  # heads whose classes are exclusive
SPATIAL = 7
GRID = 3  # the last maps are averaged to GRID x GRID cells, so that features still depend on positions


class FeatureCNN(nn.Module):
    """Three stages of convolutions, a layer of features, and one linear head for each factor or label to predict.

    Args:
        width: channels of the first stage; each stage doubles them and halves the resolution.
        image_size: side in pixels of the images that `features` and `forward` take.
        heads: name -> number of outputs (classes of a classification, values of a regression).
        seed: of the initial weights.
        features: length of the feature vector.

    Raises:
        ValueError: for a width or feature length below 1, an image size below 8, or an empty head.
    """

    def __init__(self, width: int, image_size: int, heads: Mapping[str, int], seed: int, features: int = 64) -> None:
        super().__init__()
        sizes = {"width": (width, 1), "image_size": (image_size, 8), "features": (features, 1)}
        sizes |= {f"heads.{name}": (size, 1) for name, size in heads.items()}
        for key, (value, least) in sizes.items():
            if value < least:
                raise ValueError(f"{key}: expected at least {least}, found {value}")
        self.image_size = image_size
        with torch.random.fork_rng(devices=[]):  # layers draw from the global generator, whose state is put back
            torch.default_generator.manual_seed(address(seed, "feature-network"))
            self.stages = nn.ModuleList(
                (
                    _layer(3, width, 3),
                    nn.Sequential(_layer(width, 2 * width, 4, stride=2), _layer(2 * width, 2 * width, 3)),
                    nn.Sequential(_layer(2 * width, 4 * width, 4, stride=2), _layer(4 * width, 4 * width, 3)),
                )
            )
            self.penultimate = nn.Linear(4 * width * GRID**2, features)
            self.heads = nn.ModuleDict({name: nn.Linear(features, size) for name, size in heads.items()})

    def maps(self, levels: Tensor) -> list[Tensor]:
        """Return the maps of every stage, finest first, for levels in [0, 255] of any size from 8 pixels up."""
        x = ((levels - MIDDLE) / SPREAD).contiguous(memory_format=torch.channels_last)
        found = []
        for stage in self.stages:
            x = stage(x)
            found.append(x)
        return found

    def features(self, levels: Tensor) -> Tensor:
        """Return the feature vectors (B, features) of levels in [0, 255], float32 (B, 3, image_size, image_size).

        Raises:
            ValueError: for images of another size.
        """
        expected = (3, self.image_size, self.image_size)
        if tuple(levels.shape[1:]) != expected:
            raise ValueError(f"expected images {expected}, found {tuple(levels.shape[1:])}; resize them first")
        return self.penultimate(F.adaptive_avg_pool2d(self.maps(levels)[-1], GRID).flatten(1))

    def layers(self, levels: Tensor) -> dict[str, Tensor]:
        """Return `features`, the `logits` of the classification head if there is one, and `spatial` (B, 7 h w).

        The last are the first seven maps of the last stage, place by place, as sFID takes them of Inception.
        """
        maps = self.maps(levels)[-1]
        features = self.penultimate(F.adaptive_avg_pool2d(maps, GRID).flatten(1))
        found = {"features": features, "spatial": maps[:, :SPATIAL].permute(0, 2, 3, 1).flatten(1)}
        head = next((name for name in CLASSIFIERS if name in self.heads), None)
        return found if head is None else found | {"logits": self.heads[head](F.relu(features))}

    def forward(self, levels: Tensor) -> dict[str, Tensor]:
        """Return head name -> (B, outputs): unnormalised log-probabilities, or values."""
        features = F.relu(self.features(levels))
        return {name: head(features) for name, head in self.heads.items()}


def _layer(in_channels: int, out_channels: int, kernel: int, *, stride: int = 1) -> nn.Sequential:
    """Return a convolution, batch normalisation and ReLU.

    The kernel of a stride of 2 is even, so that every pixel enters equally many outputs.
    """
    convolution = nn.Conv2d(in_channels, out_channels, kernel, stride=stride, padding=1, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(out_channels), nn.ReLU())
