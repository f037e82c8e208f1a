"""Count network evaluations with a hook, instead of trusting a formula."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Any

from torch import nn


class EvaluationCounter:
    """Counter of the images that pass through networks: one image through one network is one evaluation."""

    def __init__(self, networks: Iterable[nn.Module], counted: int = 0) -> None:
        self.counted = counted
        self._networks = list({id(n): n for n in networks}.values())
        self._handles: list[Any] = []

    def __enter__(self) -> EvaluationCounter:
        self._handles = [network.register_forward_hook(self._count, with_kwargs=True) for network in self._networks]
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for handle in self._handles:
            handle.remove()

    def _count(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        images = args[0] if args else next(iter(kwargs.values()))
        self.counted += len(images)


NETWORKS = ("student", "teacher", "target", "fake")


def networks(method: nn.Module, names: Sequence[str] = NETWORKS) -> list[nn.Module]:
    """Return the modules of a method whose calls count as evaluations.

    A network with a property `counted` is counted at that part: a preconditioned network, for instance, at the bare
    network inside, whatever wrapper calls it.

    Args:
        names: attributes of the method that hold networks; those that it lacks are left out.
    """
    found = [getattr(method, name) for name in names if isinstance(getattr(method, name, None), nn.Module)]
    return [getattr(network, "counted", network) for network in found]
