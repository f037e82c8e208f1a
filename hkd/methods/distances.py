"""Distances between images that objectives use: perceptual distances, and the norms of consistency models."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Features = list[Tensor]


class PerceptualDistance(nn.Module):
    """LPIPS's distance on the feature maps of any frozen network, with equal channel weights.

    Each map is normalised over channels; squared differences are summed over channels, averaged over places and
    summed over maps (Zhang et al. 2018, Eq. 1, with w = 1). It is not LPIPS, whose network and channel weights are
    learned from human judgements, and no result calls it so.

    Args:
        network: images in [0, 255] -> list of maps (B, C, h, w); it is frozen here.
        resize: side in pixels to which images are brought first (bilinear), or None.
    """

    def __init__(
        self, network: nn.Module, maps: Callable[[Tensor], Sequence[Tensor]], resize: int | None = None
    ) -> None:
        super().__init__()
        self.network = network.eval().requires_grad_(False)
        self._maps, self.resize = maps, resize

    def features(self, images: Tensor) -> Features:
        """Return the normalised maps of images in [-1, 1]; for a target that is used often, call it once."""
        return [_unit(m) for m in self._maps(127.5 * (self._resized(images) + 1))]

    def forward(self, images: Tensor, target: Features) -> Tensor:
        """Return the distance (B,) of images in [-1, 1] to the target that has these features."""
        terms = [
            (a - b).square().sum(dim=1).mean(dim=(1, 2)) for a, b in zip(self.features(images), target, strict=True)
        ]
        return torch.stack(terms).sum(dim=0)

    def train(self, mode: bool = True) -> PerceptualDistance:
        """Stay in evaluation mode: the network is a measuring instrument."""
        return super().train(False)

    def _resized(self, images: Tensor) -> Tensor:
        if self.resize is None or images.shape[-1] == self.resize:
            return images
        return F.interpolate(images, size=(self.resize, self.resize), mode="bilinear", align_corners=False)


class FeatureVectors(nn.Module):
    """Images in [-1, 1] -> feature vectors (B, D) of a frozen network, which stays in evaluation mode.

    Args:
        network: it is frozen here.
        vectors: its own function, so that a copy has that of the copied network: levels of its size -> features.
        resized: levels in [0, 255] of the images' size -> those of its own.
    """

    def __init__(
        self, network: nn.Module, vectors: Callable[[Tensor], Tensor], resized: Callable[[Tensor], Tensor]
    ) -> None:
        super().__init__()
        self.network = network.eval().requires_grad_(False)
        self._vectors, self._resized = vectors, resized

    def forward(self, images: Tensor) -> Tensor:
        """Return the features of images that are cut off at the range of bytes, but not rounded to them."""
        return self._vectors(self._resized((127.5 * (images + 1)).clamp(0, 255)))

    def train(self, mode: bool = True) -> FeatureVectors:
        """Stay in evaluation mode: the network is a measuring instrument."""
        return super().train(False)


class LPIPS(PerceptualDistance):
    """LPIPS itself: the learned heads of the `lpips` package on a backbone that is read from a local file.

    Source: Zhang et al. (2018), "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric".

    Args:
        backbone: `vgg` or `alex`.
        weights: torchvision's state dict of the backbone, as a file whose bytes are known (`store.published.locate`);
            None leaves them random, where only operations are counted.
        resize: side in pixels to which images are brought first (bilinear), or None.
        average: pool by averages instead of maxima, as the package PIQ does with `replace_pooling`, which is the
            LPIPS of the code of CM, DMD and 2-Rectified flow++.
    """

    def __init__(self, backbone: str, weights: Path | None, resize: int | None, *, average: bool = False) -> None:
        import lpips

        model = lpips.LPIPS(net=backbone, pnet_rand=True, verbose=False)
        if weights is not None:
            source = torch.load(weights, map_location="cpu", weights_only=True)
            model.net.load_state_dict(_backbone_state(model.net.state_dict(), source))
        if average:
            _average_pooling(model.net)
        super().__init__(model, self._backbone_maps, resize)
        self.model = model.eval().requires_grad_(False)

    def features(self, images: Tensor) -> Features:
        """Return the normalised maps of images in [-1, 1]."""
        return [_unit(m) for m in self._backbone_maps(self._resized(images))]

    def forward(self, images: Tensor, target: Features) -> Tensor:
        """Return LPIPS (B,), with the learned channel weights."""
        terms = []
        for a, b, head in zip(self.features(images), target, self.model.lins, strict=True):
            terms.append(head((a - b).square()).mean(dim=(1, 2, 3)))
        return torch.stack(terms).sum(dim=0)

    def _backbone_maps(self, images: Tensor) -> Sequence[Tensor]:
        return self.model.net(self.model.scaling_layer(images))


def perceptual_loss(distance: PerceptualDistance | None, images: Tensor, target: Tensor) -> Tensor:
    """Return the distance of images to a target, both in [-1, 1], averaged over the batch.

    Raises:
        ValueError: there is no distance.
    """
    if distance is None:
        raise ValueError("this loss is a perceptual distance: set `perceptual: true` in the method's config")
    return distance(images, distance.features(target)).mean()


def pseudo_huber(a: Tensor, b: Tensor, c: float) -> Tensor:
    """Return sqrt(|a - b|^2 + c^2) - c, one norm over each whole image, (B,).

    Source: Song and Dhariwal (2024), Eq. 7.
    """
    return ((a - b).square().sum(dim=(1, 2, 3)) + c**2).sqrt() - c


def _unit(features: Tensor) -> Tensor:
    """Return maps whose vector over channels has length 1 at every place."""
    return features / (features.square().sum(dim=1, keepdim=True) + 1e-10).sqrt()


def _average_pooling(network: nn.Module) -> None:
    """Replace the network's maximum pools by average pools."""
    for stage in network.children():
        for name, layer in stage.named_children():
            if isinstance(layer, nn.MaxPool2d):
                setattr(stage, name, nn.AvgPool2d(layer.kernel_size, layer.stride, layer.padding))


def _backbone_state(own: dict[str, Tensor], source: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return torchvision's weights `features.<i>.<rest>` under the package's names `slice<k>.<i>.<rest>`."""
    renamed = {}
    for name in own:
        _, _, rest = name.partition(".")
        renamed[name] = source[f"features.{rest}"]
    return renamed
