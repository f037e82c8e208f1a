"""Networks as single graphs of `torch.compile`, and nothing else: no loss, no perceptual network, no augmentation.

What is compiled is the arithmetic inside a call, not the call, so that hooks on a network, which count its evaluations,
run outside: within a graph they would make it anew at every registration.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn


def compile_networks(method: nn.Module, backend: str | Callable[..., Any] = "inductor") -> None:
    """Have every network within a method run as a graph for each shape of its inputs, made when it is first called."""
    for network in _outermost(method):
        for name in type(network).graphs:  # type: ignore[attr-defined]
            # fullgraph: a network that falls into pieces is an error, not a slow training
            made = torch.compile(getattr(network, name), fullgraph=True, dynamic=False, backend=backend)
            setattr(network, name, made)


def _outermost(module: nn.Module) -> Iterator[nn.Module]:
    """Yield the networks within a module, but not those within another of them, whose graph they are a part of."""
    for child in module.children():
        if hasattr(type(child), "graphs"):
            yield child
        else:
            yield from _outermost(child)
