"""The pickles in which NVIDIA's code keeps networks, read without running anything in them.

Such a file holds, for every object, the whole source text of its class, which the official reader executes. Here the
text is passed over: an object is its class's name and its state, a tensor is bytes with a shape, and no name that the
pickle uses is looked up. Source of the layout: Karras et al. (2022), official code, torch_utils/persistence.py.
"""

from __future__ import annotations

import io
import math
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from hkd.store.lines import shortened
from hkd.store.pickle_machine import PLAIN, ForbiddenError, Machine, PickleError, PlainDict, PlainList, PlainTuple, Word

MAX_OPERATIONS = 1 << 22  # the largest network of EDM, with 300 million parameters, has some 200,000
MAX_DEPTH = 64  # of values in values; a parameter of a block of a network lies in 20
MAX_TENSORS = 1 << 14  # the largest has a thousand
MAX_DIMENSIONS = 8
MAGIC = 0x1950A86A20F9469CFC6C  # begins what torch writes of a storage
STORAGES = {  # classes of torch, and what lies in them
    "FloatStorage": torch.float32,
    "DoubleStorage": torch.float64,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}
NUMBERS = {"f4": "<f", "f8": "<d", "i4": "<i", "i8": "<q", "b1": "<?"}  # of numpy, and how struct reads them
NAMES = {
    "torch_utils.persistence _reconstruct_persistent_obj": "object",
    "torch.nn.modules.container ModuleDict": "module",
    "torch.nn.modules.container ModuleList": "module",
    "torch.nn.modules.container Sequential": "module",
    "dnnlib.util EasyDict": "mapping",
    "collections OrderedDict": "mapping",
    "torch._utils _rebuild_parameter": "parameter",
    "torch._utils _rebuild_tensor_v2": "tensor",
    "torch.storage _load_from_bytes": "storage",
    "_codecs encode": "encode",
    "numpy.core.multiarray scalar": "number",
    "numpy._core.multiarray scalar": "number",
    "numpy.core.multiarray _reconstruct": "array",
    "numpy._core.multiarray _reconstruct": "array",
    "numpy ndarray": "ndarray",
    "numpy dtype": "dtype",
    "torch Size": "size",
    "builtins set": "set",
    "__builtin__ set": "set",
}


@dataclass
class Instance:
    """An object of a class that is not known here: the name of the class, and what the object holds."""

    class_name: str
    state: Any = None

    def part(self, name: str) -> dict[str, Any]:
        """Return one of the mappings in the state; an empty one where there is none."""
        found = self.state.get(name) if isinstance(self.state, dict) else None
        return found if isinstance(found, dict) else {}


class _Dtype(str):
    """The type of a number of numpy's."""


class NetworkMachine(Machine):
    """Reads dictionaries, lists, text, numbers, tensors and objects as `Instance`."""

    words, operations, depth, shared = NAMES, MAX_OPERATIONS, MAX_DEPTH, True

    def __init__(self, content: bytes) -> None:
        super().__init__(io.BytesIO(content))
        self._bytes_left = 2 * len(content)

    def is_value(self, made: Any) -> bool:
        return super().is_value(made) and not isinstance(made, _Dtype)

    def memoize(self) -> None:
        self.put(len(self._memo))

    def name_of_stack(self) -> None:
        module, name = self.last(2)
        if type(module) is not str or type(name) is not str:
            raise PickleError("a name that is no text")
        self.name(f"{module} {name}")

    def new(self) -> None:
        arguments, word = self.pop(), self.pop()
        if not isinstance(word, Word) or word not in ("module", "mapping") or arguments:
            raise PickleError("a new object of what has none")
        self.push(self.called(word, arguments))

    def called(self, word: Word, arguments: PlainTuple) -> Any:
        made = _CALLS.get(word)
        return (
            made(self, *arguments) if made and len(arguments) in _ARGUMENTS[word] else super().called(word, arguments)
        )

    def build(self) -> None:
        state, target = self.pop(), self.top()
        if isinstance(target, Instance) and target.state is None:
            target.state = state
        elif not isinstance(target, PlainDict | _Dtype):  # whose state is empty, or the order of its bytes
            raise PickleError("state for what has none")

    def module(self) -> Instance:
        return Instance("Module")

    def mapping(self) -> PlainDict:
        return PlainDict()

    def array(self, *_: Any) -> Instance:
        return Instance("ndarray")

    def object(self, meta: Any) -> Instance:
        """Return an object by its class's name and state; the source text of the class stays unread."""
        if not isinstance(meta, dict) or meta.get("type") != "class" or type(meta.get("class_name")) is not str:
            raise PickleError("an object that does not say its class")
        return Instance(meta["class_name"], meta.get("state"))

    def parameter(self, data: Any, *_: Any) -> Tensor:
        if not isinstance(data, Tensor):
            raise PickleError("a parameter that is no tensor")
        return data

    def tensor(self, storage: Any, offset: Any, size: Any, stride: Any, *_: Any) -> Tensor:
        if not isinstance(storage, Tensor):
            raise PickleError("a tensor without a storage")
        return _view(storage, offset, size, stride)

    def storage(self, content: Any) -> Tensor:
        if not isinstance(content, bytes):
            raise PickleError("a storage of what are no bytes")
        self._take(len(content))
        return _storage(content)

    def encode(self, text: Any, coding: Any) -> bytes:
        if type(text) is not str or coding != "latin1":
            raise PickleError("bytes of what is no text")
        self._take(len(text))
        return text.encode("latin1")

    def _take(self, count: int) -> None:
        """Count bytes that are made of others: all in all they are no more than the file has, twice."""
        self._bytes_left -= count
        if self._bytes_left < 0:
            raise ForbiddenError("one text or storage for many")

    def dtype(self, code: Any, *_: Any) -> _Dtype:
        if type(code) is not str or code not in NUMBERS:
            raise PickleError("a number of a type that no network has")
        return _Dtype(code)

    def number(self, kind: Any, content: Any) -> float:
        layout = NUMBERS.get(kind, "") if isinstance(kind, _Dtype) else ""
        if not isinstance(content, bytes) or not layout or struct.calcsize(layout) != len(content):
            raise PickleError("a number that is none")
        return struct.unpack(layout, content)[0]

    def set(self, values: Any) -> PlainList:
        return values if isinstance(values, PlainList) else PlainList()

    def size(self, sides: Any) -> PlainTuple:
        return sides if isinstance(sides, PlainTuple) else PlainTuple()


_ARGUMENTS: dict[str, tuple[int, ...]] = {  # how many values each word takes
    "module": (0,),
    "mapping": (0,),
    "object": (1,),
    "parameter": (3,),
    "tensor": (6, 7),
    "storage": (1,),
    "encode": (2,),
    "dtype": (1, 3),
    "number": (2,),
    "size": (1,),
    "array": (3,),
    "set": (1,),
}
_CALLS: dict[str, Callable[..., Any]] = {word: getattr(NetworkMachine, word) for word in _ARGUMENTS}
STEPS: dict[str, Callable[[Any, Any], None]] = {
    **PLAIN,
    "FRAME": lambda machine, _: None,
    **dict.fromkeys(
        ("SHORT_BINUNICODE", "BINUNICODE8", "SHORT_BINBYTES", "BINBYTES", "BINBYTES8", "LONG1", "BINFLOAT"),
        lambda machine, value: machine.push(value),
    ),
    "EMPTY_SET": lambda machine, _: machine.push(PlainList()),  # of which only names are kept
    "ADDITEMS": lambda machine, _: machine.extend(machine.pop_mark()),
    "MEMOIZE": lambda machine, _: machine.memoize(),
    "STACK_GLOBAL": lambda machine, _: machine.name_of_stack(),
    "NEWOBJ": lambda machine, _: machine.new(),
}
NetworkMachine.steps = STEPS


class _StorageMachine(Machine):
    """Reads the parts of what torch writes of a storage: which kind, how many elements, under which key."""

    words: Mapping[str, str] = {f"torch {name}": name for name in STORAGES}
    operations = 1 << 10
    steps = {
        **PLAIN,
        "LONG1": lambda machine, value: machine.push(value),
        "BINPERSID": lambda machine, _: machine.push(machine.persistent()),
    }

    def persistent(self) -> PlainTuple:
        found = self.pop()
        if not isinstance(found, PlainTuple) or len(found) not in (5, 6) or found[0] not in ("storage", b"storage"):
            raise PickleError("a storage that does not say what it holds")
        return found


def _storage(content: bytes) -> Tensor:
    """Return the elements of a storage in the bytes that torch writes of one."""
    file = io.BytesIO(content)
    magic, _, about, pid, keys = (_StorageMachine(file).run() for _ in range(5))
    if magic != MAGIC or not isinstance(about, dict) or about.get("little_endian") is not True:
        raise PickleError("a storage that is not torch's")
    if not isinstance(pid, PlainTuple) or not isinstance(pid[1], Word) or keys != [pid[2]]:
        raise PickleError("a storage of an unknown kind")
    kind, count = STORAGES[pid[1]], int.from_bytes(file.read(8), "little")
    raw = content[file.tell() :]
    if count != pid[4] or len(raw) != count * kind.itemsize:
        raise PickleError(f"{len(raw):,} bytes for a storage of {str(count)[:20]} elements")
    return torch.frombuffer(bytearray(raw), dtype=kind) if raw else torch.empty(0, dtype=kind)


def _view(storage: Tensor, offset: Any, size: Any, stride: Any) -> Tensor:
    """Return a tensor of elements of a storage, all of which must be there."""
    sides = (size, stride) if isinstance(size, PlainTuple) and isinstance(stride, PlainTuple) else ((), ())
    numbers = [offset, *sides[0], *sides[1]]
    if not all(type(number) is int and number >= 0 for number in numbers) or len(sides[0]) != len(sides[1]):
        raise PickleError("a tensor without a shape")
    if len(sides[0]) > MAX_DIMENSIONS or reach(offset, *sides) > len(storage):
        raise PickleError("a tensor of more elements than its storage has")
    try:
        return storage.as_strided(tuple(sides[0]), tuple(sides[1]), offset)
    except (TypeError, RuntimeError):  # a number that torch cannot hold, of a side that has one element or none
        raise PickleError("a tensor of an impossible shape") from None


def reach(offset: int, size: Sequence[int], stride: Sequence[int]) -> int:
    """Return how many elements a storage must have for a tensor in it; as many as the tensor has, at least."""
    count = math.prod(size)
    last = sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    return max(offset + last + 1, count) if count else 0


def tensors_of(module: Any) -> dict[str, Tensor]:
    """Return parameters and buffers of a module by their names, as torch's `state_dict` would.

    Raises:
        PickleError: it is no module, or has more parts than any network.
    """
    found: dict[str, Tensor] = {}
    waiting, passed = [("", module)], 0
    while waiting:
        prefix, here = waiting.pop()
        passed += 1
        if not isinstance(here, Instance) or passed > MAX_TENSORS:  # one that holds itself has more than any number
            raise PickleError(
                f"{shortened(prefix.rstrip('.')) or 'the network'}: no module, or more than {MAX_TENSORS:,}"
            )
        for name, tensor in (*here.part("_parameters").items(), *here.part("_buffers").items()):
            if isinstance(tensor, Tensor):
                found[f"{prefix}{name}"] = tensor
        below = [(f"{prefix}{name}.", part) for name, part in here.part("_modules").items() if part is not None]
        waiting += below[::-1]
        if len(found) + len(waiting) > MAX_TENSORS:
            raise PickleError(f"more than {MAX_TENSORS:,} tensors")
    return found
