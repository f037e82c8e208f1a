"""EfficientNet-Lite0 against torchvision's EfficientNet-B0, of which it is the one without gates and swish."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hkd.nets.efficientnet import CENTRE, SCALE, EfficientNetLite0, random_state
from hkd.seeding import stream


class PaddedAtTheEnd(nn.Module):
    """A convolution of stride 2 with TensorFlow's padding for sides that are even."""

    def __init__(self, inner: nn.Conv2d) -> None:
        super().__init__()
        self.inner, self.total = inner, inner.kernel_size[0] - 2
        inner.padding = (0, 0)

    def forward(self, x: Tensor) -> Tensor:
        before, after = self.total // 2, self.total - self.total // 2
        return self.inner(F.pad(x, (before, after, before, after)))


def torchvision_lite0(state: dict[str, Tensor]) -> nn.Module:
    """Torchvision's B0, its gates taken out, with these weights in the order in which layers are used."""
    torchvision = pytest.importorskip("torchvision")
    from torchvision.ops import SqueezeExcitation

    network = torchvision.models.efficientnet_b0(weights=None).eval()
    for module in list(network.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, SqueezeExcitation):
                setattr(module, name, nn.Identity())
            elif isinstance(child, nn.SiLU):
                setattr(module, name, nn.ReLU6())
            elif isinstance(child, nn.BatchNorm2d):
                child.eps = 1e-3
    due = [value for name, value in state.items() if "num_batches" not in name]
    own = [value for name, value in network.state_dict().items() if "num_batches" not in name]
    assert [tuple(value.shape) for value in own] == [tuple(value.shape) for value in due]
    for value, given in zip(own, due, strict=True):
        value.copy_(given)
    for module in list(network.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, nn.Conv2d) and child.stride == (2, 2):
                setattr(module, name, PaddedAtTheEnd(child))
    return network


@pytest.fixture(scope="module")
def state() -> dict[str, Tensor]:
    """Random weights whose normalisations move and scale, each in its own way."""
    generator, found = stream(0, "effnet-weights"), random_state(1)
    for name, value in found.items():
        if name.endswith(("bias", "running_mean")):
            value += 0.1 * torch.randn(value.shape, generator=generator)
        elif value.dim() == 1:
            value *= 0.8 + 0.4 * torch.rand(value.shape, generator=generator)
    return found


def levels(side: int, n: int = 2) -> Tensor:
    return 255.0 * torch.rand(n, 3, side, side, generator=stream(0, "effnet-levels"))


def test_it_equals_torchvisions_without_gates_and_swish(state):
    x, peer = levels(64), torchvision_lite0(state)
    with torch.inference_mode():
        due = peer((x - CENTRE) / SCALE)
        features = peer.avgpool(peer.features((x - CENTRE) / SCALE)).flatten(1)
        found = EfficientNetLite0(state).layers(x)
    torch.testing.assert_close(found["features"], features, rtol=1e-4, atol=1e-4 * float(features.abs().max()))
    torch.testing.assert_close(found["logits"], due, rtol=1e-4, atol=1e-4 * float(due.abs().max()))


def test_features_do_not_depend_on_the_batch(state):
    network, x = EfficientNetLite0(state), levels(32, 18)  # more than one piece
    torch.testing.assert_close(network.features(x)[16:], network.features(x[16:]), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("side", [32, 33])
def test_maps_are_at_a_half_to_a_sixteenth_and_pass_gradients(state, side):
    x = levels(side, 1).requires_grad_()
    maps = EfficientNetLite0(state).maps(x)
    sides = [-(-side // 2**k) for k in range(1, 5)]
    assert [tuple(found.shape) for found in maps] == [
        (1, c, s, s) for c, s in zip((16, 24, 40, 112), sides, strict=True)
    ]
    (slope,) = torch.autograd.grad(sum(found.square().sum() for found in maps), x)
    assert slope.abs().sum() > 0


def test_random_weights_are_the_same_on_every_machine():
    first = random_state(0)
    normal = 0.12573022  # the first of numpy's PCG64(0)
    assert first["_conv_stem.weight"].flatten()[0].item() == pytest.approx(normal * (2 / 27) ** 0.5, rel=1e-6)
    assert not torch.equal(first["_conv_stem.weight"], random_state(1)["_conv_stem.weight"])


@pytest.mark.parametrize("damage", ["absent", "shape"])
def test_weights_of_another_network_are_refused_in_one_line(damage):
    state = random_state(0)
    name = "_blocks.3._project_conv.weight"
    if damage == "absent":
        del state[name]
    else:
        state[name] = state[name][:1]
    with pytest.raises(ValueError, match=r"_blocks.3._project_conv.weight") as error:
        EfficientNetLite0(state)
    assert "\n" not in str(error.value)
