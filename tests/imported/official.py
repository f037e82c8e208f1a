"""Files of released weights made here, in the layouts of those who release: snapshots of EDM's code."""

from __future__ import annotations

import pickle
import sys
from collections import OrderedDict
from contextlib import contextmanager
from types import ModuleType
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from torch import nn

SOURCE = "raise SystemExit('the source text of a class was executed')\n"


class EasyDict(dict):
    """EDM's mapping with attributes."""


EasyDict.__module__, EasyDict.__qualname__ = "dnnlib.util", "EasyDict"


def _reconstruct_persistent_obj(meta: Any) -> Any:
    raise AssertionError("the official reader was called")


_reconstruct_persistent_obj.__module__ = "torch_utils.persistence"


class Persistent:
    """An object of a class of EDM's, as it is pickled: class name, source text and state."""

    def __init__(self, class_name: str, **state: Any) -> None:
        self.class_name, self.state = class_name, state

    def __reduce_ex__(self, protocol: Any) -> Any:
        meta = {"type": "class", "version": 6, "module_src": SOURCE, "class_name": self.class_name, "state": self.state}
        return _reconstruct_persistent_obj, (EasyDict(meta),), None


@contextmanager
def official_modules():
    """Let pickle find the names of EDM's code, which is not here."""
    modules = {name: ModuleType(name) for name in ("torch_utils", "torch_utils.persistence", "dnnlib", "dnnlib.util")}
    modules["torch_utils.persistence"]._reconstruct_persistent_obj = _reconstruct_persistent_obj  # type: ignore[attr-defined]
    modules["dnnlib.util"].EasyDict = EasyDict  # type: ignore[attr-defined]
    with patch.dict(sys.modules, modules):
        yield


def persistent(module: nn.Module, **more: Any) -> Any:
    """Return a module as EDM's code would pickle it: containers as torch's own, all else by its class's name."""
    below = OrderedDict((name, part and persistent(part)) for name, part in module._modules.items())
    if isinstance(module, nn.ModuleDict):
        made = nn.ModuleDict()
        made._modules = below  # type: ignore[assignment]
        return made
    state = {"training": False, "_modules": below, "_is_full_backward_hook": None, "skip_scale": np.float64(0.5) ** 0.5}
    state["_parameters"] = OrderedDict((name, each) for name, each in module._parameters.items())
    state["_buffers"] = OrderedDict((name, each) for name, each in module._buffers.items())
    state["_non_persistent_buffers_set"], state["_backward_hooks"] = set(), OrderedDict()
    return Persistent(type(module).__name__, **state, **more)


def snapshot(network: nn.Module, *, class_name: str = "EDMPrecond", protocol: int = 4, **kwargs: Any) -> bytes:
    """Return a snapshot in EDM's layout whose averaged network has the weights of one of ours."""
    network.eval().requires_grad_(False)
    ema = persistent(network, _init_args=(), _init_kwargs=EasyDict(kwargs), sigma_data=0.5, use_fp16=False)
    ema.class_name = class_name
    pipe = Persistent("AugmentPipe", _modules={}, _parameters={}, _buffers={"Hz_geom": torch.ones(12)}, p=0.12)
    content = {
        "ema": ema,
        "loss_fn": Persistent("EDMLoss", P_mean=-1.2, P_std=1.2, sigma_data=0.5),
        "augment_pipe": pipe,
        "dataset_kwargs": EasyDict(
            class_name="training.dataset.ImageFolderDataset", path="cifar10.zip", max_size=50000
        ),
    }
    with official_modules():
        return pickle.dumps(content, protocol=protocol)
