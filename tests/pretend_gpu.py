"""A pretend GPU: torch's rules of devices, enforced on CPU arithmetic, with every wait and copy counted by its line.

A tensor "on" it is an `OnGPU`, a subclass that wraps an ordinary CPU tensor; torch itself takes it for one of the
device `meta`, which alone of all devices needs no driver to be differentiated, and Python sees `cuda:0`. Every
operation passes through `PretendGPU`, which refuses what a GPU would refuse: a host tensor beside a device tensor
(numbers without dimensions apart), a generator of one device for a tensor of the other, an index on the GPU into a host
tensor. It counts `reads`, in which the host waits for the device (`.item()`, `.cpu()`, a boolean mask as index), and
`copies` from host to device. A result of arithmetic is that of the CPU, to the bit.
"""

from __future__ import annotations

import sys
from collections import Counter
from typing import Any
from unittest.mock import patch

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map, tree_unflatten

GPU, STAND_IN = torch.device("cuda:0"), torch.device("meta")
aten = torch.ops.aten
READS = {aten._local_scalar_dense, aten.nonzero, aten.masked_select, aten.equal, aten._unique2, aten.repeat_interleave}
INDEXING = {aten.index, aten.index_put, aten.index_put_, aten._index_put_impl_}
CROSSING = {aten.copy_, aten._to_copy}
NEVER_MIXED = {
    aten.cat,
    aten.stack,
    aten.embedding,
    aten.convolution,
    aten.addmm,
    aten.mm,
    aten.bmm,
}  # not even numbers


class OnGPU(torch.Tensor):
    """A tensor on the pretend GPU; `inner` is the CPU tensor that holds its numbers."""

    inner: torch.Tensor

    @staticmethod
    def __new__(cls, inner: torch.Tensor) -> OnGPU:
        made = torch.Tensor._make_wrapper_subclass(
            cls, inner.size(), strides=inner.stride(), storage_offset=inner.storage_offset(), dtype=inner.dtype,
            layout=inner.layout, device=STAND_IN, requires_grad=False,
        )  # fmt: skip
        made.inner = inner
        return made

    __torch_function__ = torch._C._disabled_torch_function_impl

    def __repr__(self) -> str:
        return f"OnGPU({tuple(self.shape)}, {self.dtype})"

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        raise RuntimeError(f"{func} on the pretend GPU outside of `with PretendGPU()`")


class PretendGPU:
    """The device, as a context: `reads` and `copies` count lines of the package, as `hkd/…/file.py:line operation`."""

    def __init__(self) -> None:
        self.reads: Counter[str] = Counter()
        self.copies: Counter[str] = Counter()
        self._parts: list[Any] = []

    def __enter__(self) -> PretendGPU:
        self._parts = [
            _Names(),
            _Rules(self),
            patch("torch.cuda.is_available", lambda: True),
            patch("torch.cuda.get_rng_state", lambda device=GPU: torch.get_rng_state()),
            patch("torch.cuda.set_rng_state", lambda state, device=GPU: torch.set_rng_state(state)),
        ]
        for part in self._parts:
            part.__enter__()
        return self

    def __exit__(self, *about: Any) -> None:
        for part in reversed(self._parts):
            part.__exit__(*about)

    def forget(self) -> None:
        """Begin to count anew."""
        self.reads.clear()
        self.copies.clear()


class _Names(TorchFunctionMode):
    """What Python calls the device `cuda`, torch is told to be the stand-in; and the other way round."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        if args and isinstance(args[0], OnGPU):
            if name == "__get__" and func in _ANSWERS:
                return _ANSWERS[func]
            if name == "tolist":
                return args[0].cpu().tolist()
            if name in ("numpy", "__array__"):
                raise TypeError(
                    "can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu() to copy the tensor to host "
                    "memory first."
                )
            if name == "pin_memory":
                raise RuntimeError("cannot pin 'torch.cuda.FloatTensor' only dense CPU tensors can be pinned")
        if name == "pin_memory":
            return args[0].clone()
        numbers = func in (torch.tensor, torch.as_tensor) and not isinstance(args[0], torch.Tensor)
        if numbers and kwargs.get("device") is not None and torch.device(kwargs["device"]).type == GPU.type:
            return func(*args, **{**kwargs, "device": "cpu"}).to(STAND_IN)  # numbers of the host are copied
        if func is torch.Tensor.new_tensor and isinstance(args[0], OnGPU):
            return torch.tensor(*args[1:], **{"dtype": args[0].dtype, **kwargs}).to(STAND_IN)
        return func(*tree_map(_torch_name, args), **tree_map(_torch_name, kwargs))


_ANSWERS = {
    torch.Tensor.device.__get__: GPU,
    torch.Tensor.is_cuda.__get__: True,
    torch.Tensor.is_cpu.__get__: False,
    torch.Tensor.is_meta.__get__: False,
}


def _torch_name(value: Any) -> Any:
    if isinstance(value, torch.device) and value.type == "cuda":
        return STAND_IN
    return STAND_IN if isinstance(value, str) and value.split(":")[0] == "cuda" else value


class _Rules(TorchDispatchMode):
    """The rules, at the operations that torch really makes: those of backward passes and of libraries too."""

    def __init__(self, gpu: PretendGPU) -> None:
        super().__init__()
        self._gpu = gpu

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        flat, spec = tree_flatten((args, kwargs or {}))
        packet, asked = func.overloadpacket, (kwargs or {}).get("device")
        on_gpu = [x for x in flat if isinstance(x, OnGPU)]
        made_there = asked is not None and torch.device(asked).type == STAND_IN.type
        if packet is aten._fused_sdp_choice:
            return 0  # plain arithmetic: the fused kernels have other names on each device
        if on_gpu or made_there:
            self._refuse(packet, args, flat, on_gpu)
        filled_from = args[1] if packet is aten.copy_ else None  # `copy_` and `to` alone cross from device to device
        to_host = bool(on_gpu) and ((asked is not None and not made_there) or _crosses(filled_from, args[0]))
        self._count(packet, args, to_host, bool(on_gpu))
        if (packet is aten._to_copy and made_there and not on_gpu) or _crosses(args[0], filled_from):
            self._gpu.copies[_where(packet)] += 1
        outside_of = {id(x.inner): x for x in on_gpu}
        inner = tree_unflatten([x.inner if isinstance(x, OnGPU) else _host_name(x) for x in flat], spec)
        found = func(*inner[0], **inner[1])
        if to_host or packet is aten._local_scalar_dense or not (on_gpu or made_there):
            return found

        def outside(x: Any) -> Any:
            return outside_of[id(x)] if id(x) in outside_of else OnGPU(x) if isinstance(x, torch.Tensor) else x

        return tree_map(outside, found)

    def _refuse(self, packet: Any, args: Any, flat: list[Any], on_gpu: list[OnGPU]) -> None:
        for generator in (x for x in flat if isinstance(x, torch.Generator)):
            raise RuntimeError(f"Expected a 'cuda' device type for generator but found '{generator.device.type}'")
        on_host = [x for x in flat if isinstance(x, torch.Tensor) and not isinstance(x, OnGPU)]
        if packet in INDEXING:
            if on_gpu and not isinstance(args[0], OnGPU):
                raise RuntimeError("indices should be either on cpu or on the same device as the indexed tensor (cpu)")
        elif on_gpu and packet not in CROSSING and any(x.dim() or packet in NEVER_MIXED for x in on_host):
            raise RuntimeError(
                "Expected all tensors to be on the same device, but found at least two devices, cuda:0 and cpu! "
                f"({packet} at {_where(packet)})"
            )

    def _count(self, packet: Any, args: Any, to_host: bool, on_gpu: bool) -> None:
        if to_host or (packet in READS and on_gpu):
            self._gpu.reads[_where(packet)] += 1
        for index in args[1] if packet in INDEXING and on_gpu else ():
            if isinstance(index, OnGPU) and index.dtype in (torch.bool, torch.uint8):
                self._gpu.reads[_where(packet)] += 1  # the host must learn how many there are
            elif isinstance(index, torch.Tensor) and not isinstance(index, OnGPU):
                self._gpu.copies[_where(packet)] += 1


def _crosses(there: Any, here: Any) -> bool:
    """Whether the first is a tensor of the device and the second one of the host."""
    return isinstance(there, OnGPU) and isinstance(here, torch.Tensor) and not isinstance(here, OnGPU)


def _host_name(value: Any) -> Any:
    return torch.device("cpu") if isinstance(value, torch.device) and value.type == STAND_IN.type else value


def _where(packet: Any) -> str:
    """Return the line of the package that is being run, and the operation."""
    frame = sys._getframe(1)
    while frame is not None:
        file = frame.f_code.co_filename
        if "/hkd/" in file and "/tests/" not in file:
            return f"hkd/{file.rpartition('/hkd/')[2]}:{frame.f_lineno} {packet.__name__}"
        frame = frame.f_back  # type: ignore[assignment]
    return f"elsewhere {packet.__name__}"
