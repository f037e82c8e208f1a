"""Nothing in a file of weights runs, and none makes its reader slow or large."""

from __future__ import annotations

import builtins
import io
import os
import pickle
import resource
import struct
import time
import warnings
import zipfile
from pathlib import Path

import pytest
import torch

from hkd.imported.layouts import read
from hkd.imported.network_pickles import NAMES, Instance, NetworkMachine, tensors_of
from hkd.store.bounded import Damaged
from hkd.store.pickle_machine import ForbiddenError, PickleError
from tests.fuzzed import COUNTS, refused
from tests.imported.official import snapshot


def storage(count: int, content: bytes, kind: bytes = b"FloatStorage") -> bytes:
    """The bytes that torch writes of a storage, with the count that it claims."""
    magic, version = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.", b"\x80\x02M\xe9\x03."
    about = b"\x80\x02}X\x0d\x00\x00\x00little_endian\x88s."
    pid = b"\x80\x02(X\x07\x00\x00\x00storagectorch\n" + kind + b"\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpu"
    pid += b"\x8a\x08" + struct.pack("<q", count) + b"NtQ."
    return magic + version + about + pid + b"\x80\x02]X\x01\x00\x00\x000a." + struct.pack("<q", count) + content


def tensor(stored: bytes, offset: int, size: int, stride: int) -> bytes:
    """A pickle of one tensor."""
    numbers = b"".join(b"J" + struct.pack("<i", number) for number in (offset, size, stride))
    made = b"ctorch._utils\n_rebuild_tensor_v2\n(ctorch.storage\n_load_from_bytes\nB" + struct.pack("<I", len(stored))
    made += stored + b"\x85R" + numbers[:5] + numbers[5:10] + b"\x85" + numbers[10:] + b"\x85\x89NtR"
    return b"\x80\x03" + made + b"."


FLOATS = struct.pack("<4f", 1, 2, 3, 4)
HOSTILE = {
    "a name of the system": b"\x80\x02cposix\nsystem\nX\x04\x00\x00\x00true\x85R.",
    "a name on the stack": b"\x80\x04\x8c\x08builtins\x8c\x04eval\x93\x8c\x011\x85R.",
    "torch's own reader": b"\x80\x02ctorch\nload\nX\x01\x00\x00\x00x\x85R.",
    "a class of torch": b"\x80\x02ctorch.nn.modules.linear\nLinear\n)\x81.",
    "an object of a known function": b"\x80\x02ctorch._utils\n_rebuild_parameter\n)\x81.",
    "keyword arguments": b"\x80\x04ctorch.nn.modules.container\nModuleDict\n)}\x92.",
    "an instance": b"(iposix\nsystem\n.",
    "an extension": b"\x80\x02\x82\x01.",
    "a persistent object": b"Pname\n.",
    "state for a mapping's class": b"\x80\x02ccollections\nOrderedDict\n}b.",
    "nested lists": b"\x80\x02" + b"]" * 1000 + b"a" * 999 + b".",
    "a number in the memo": b"\x80\x02Nr\xff\xff\xff\x7f.",
    "four million operations": b"\x80\x02" + b"N0" * 3 + b"N" * (4 << 20) + b".",
    "an object without a class": b"\x80\x02ctorch_utils.persistence\n_reconstruct_persistent_obj\n}\x85R.",
    "a storage that claims more": tensor(storage(1 << 50, FLOATS), 0, 4, 1),
    "a storage of another kind": tensor(storage(4, FLOATS, b"QUInt8Storage"), 0, 4, 1),
    "a storage in another's name": tensor(storage(4, FLOATS).replace(b"ctorch\n", b"cposix\n"), 0, 4, 1),
    "a tensor beyond its storage": tensor(storage(4, FLOATS), 1, 4, 1),
    "a tensor of one number": tensor(storage(4, FLOATS), 0, 1 << 30, 0),
    "a tensor before its storage": tensor(storage(4, FLOATS), -1, 2, 1),
    "a stride beyond all numbers": tensor(storage(4, FLOATS), 0, 1, 1).replace(
        b"J\x01\x00\x00\x00\x85\x89", b"\x8a\x09" + b"\xff" * 8 + b"\x00\x85\x89"
    ),
    "a type of number that is a list": b"\x80\x02cnumpy\ndtype\n]\x85R.",
    "one storage for many": b"\x80\x03B" + struct.pack("<I", 1 << 16) + b"x" * (1 << 16)
    + b"q\x00ctorch.storage\n_load_from_bytes\nq\x01" + b"h\x01h\x00\x85R" * 9 + b".",
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_pickles_run_nothing(name, monkeypatch):
    def never(*arguments, **options):
        raise AssertionError("ran")

    for module, function in ((os, "system"), (builtins, "eval"), (builtins, "exec"), (pickle, "Unpickler")):
        monkeypatch.setattr(module, function, never)
    monkeypatch.setattr(torch, "load", never)
    start, before = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises((ForbiddenError, PickleError)) as found:
        NetworkMachine(HOSTILE[name]).run()
    assert str(found.value).isprintable()
    assert time.process_time() - start < 10
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 512 << 10  # KiB


def test_tensors_are_read_as_torch_reads_them():
    found = NetworkMachine(tensor(storage(4, FLOATS), 1, 2, 2)).run()
    assert found.tolist() == [2.0, 4.0]
    values = {"a": torch.arange(6).reshape(2, 3).T, "b": torch.tensor(2.5, dtype=torch.float64), "c": torch.empty(0)}
    values |= {"half": torch.ones(3, dtype=torch.float16), "brain": torch.ones(2, dtype=torch.bfloat16)}
    for protocol in (2, 3, 4, 5):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            read_back = NetworkMachine(pickle.dumps(values, protocol=protocol)).run()
        assert read_back.keys() == values.keys()
        for name, value in values.items():
            assert torch.equal(read_back[name], value) and read_back[name].dtype == value.dtype


def test_a_module_that_holds_itself_is_refused():
    inside = Instance("Module")
    inside.state = {"_modules": {"a": inside, "b": inside}}
    with pytest.raises(PickleError, match="more than"):
        tensors_of(inside)
    with pytest.raises(PickleError, match="the network: no module"):
        tensors_of({"_parameters": {}})


def test_names_are_words():
    assert not any(callable(word) for word in NAMES.values())


@pytest.mark.parametrize("count", COUNTS)
def test_damaged_snapshots_are_read_or_refused(tmp_path, count):
    path = tmp_path / "edm.pkl"
    path.write_bytes(snapshot(torch.nn.Linear(2, 2)))
    assert refused(path, lambda: read(path), count, Damaged) > 0


# -- files of torch ----------------------------------------------------------------------------------------------------


class Evil:
    def __reduce__(self):
        return os.system, ("touch evil",)


@pytest.mark.parametrize("old", [False, True], ids=["zip", "before zips"])
def test_hostile_files_of_torch_run_nothing(tmp_path, monkeypatch, old):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "evil.pth"
    torch.save({"model": Evil(), "a": torch.ones(2)}, path, _use_new_zipfile_serialization=not old)
    with pytest.raises(Damaged, match="refused, it holds more than tensors"):
        read(path)
    path.write_bytes(pickle.dumps({"ema": Evil()}))
    with pytest.raises(Damaged, match=r"refused, it uses 'posix\.system'"):
        read(path)
    assert not (tmp_path / "evil").exists()


def test_zips_that_claim_more_are_refused(tmp_path):
    path = tmp_path / "bomb.pt"
    saved = io.BytesIO()
    torch.save({"a": torch.zeros(1 << 16)}, saved)
    with zipfile.ZipFile(saved) as source, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for name in source.namelist():
            packed.writestr(name, source.read(name))
    with pytest.raises(Damaged, match="claim more than the file has"):
        read(path)
    with zipfile.ZipFile(saved) as source, zipfile.ZipFile(path, "w") as packed:
        for name in source.namelist():
            kind = zipfile.ZIP_DEFLATED if name.endswith("version") else zipfile.ZIP_STORED
            packed.writestr(name, source.read(name), compress_type=kind)
    with pytest.raises(Damaged, match="is packed, as torch never does"):
        read(path)


def described(content: bytes | None = None, *, swap: tuple[bytes, bytes] = (b"", b""), old: bool = False) -> bytes:
    """A file of torch's with one tensor, or with another description of what it holds."""
    saved = io.BytesIO()
    torch.save({"a": torch.arange(4.0)}, saved, _use_new_zipfile_serialization=not old)
    if old:
        return saved.getvalue()[:117] + saved.getvalue()[117:].replace(*swap, 1)
    made = io.BytesIO()
    with zipfile.ZipFile(saved) as source, zipfile.ZipFile(made, "w") as packed:
        for name in source.namelist():
            held = source.read(name)
            if name.endswith("data.pkl"):
                held = content or (held.replace(*swap) if swap[0] else held)
            packed.writestr(name, held)
    return made.getvalue()


SHARED = b")" + b"".join(b"q%ch%c\x86" % (number, number) for number in range(1, 60))
STATES = {
    "a key that ends the interpreter": (
        described(b"\x80\x02})" + b"\x85" * 1_000_000 + b"K\x01s."),
        "levels of values",
    ),
    "a key that never ends": (described(b"\x80\x02}" + SHARED + b"K\x01s."), "a key that is neither"),
    "a mapping made of pairs": (
        described(b"\x80\x02ccollections\nOrderedDict\n](" + SHARED + b"K\x01\x86e\x85R."),
        "mapping of 1 values",
    ),
    "a set": (described(b"\x80\x02c__builtin__\nset\n]" + SHARED + b"a\x85R."), r"__builtin__\.set"),
    "many lists": (described(b"\x80\x02" + b"]" * ((1 << 20) + 9) + b"."), "1,048,576 operations"),
    "a tensor of more": (described(swap=(b"K\x04\x85", b"K\x09\x85")), "more elements than its storage"),
    "a storage of more": (described(swap=(b"K\x04t", b"K\x09t")), "the storage '0' claims 9 elements"),
    "a tensor of more, before zips": (described(swap=(b"K\x04\x85", b"K\x09\x85"), old=True), "more elements than its"),
    "a pickle of neither kind": (b"}" + b")" + b"\x85" * 1_000_000 + b"K\x01s.", "begins as none does"),
}


@pytest.mark.parametrize("name", STATES)
def test_what_would_stop_torchs_own_reader_is_refused_before(tmp_path, monkeypatch, name):
    def never(*arguments, **options):
        raise AssertionError("was read")

    monkeypatch.setattr(torch, "load", never)
    path = tmp_path / "hostile.pth"
    content, reason = STATES[name]
    path.write_bytes(content)
    with pytest.raises(Damaged, match=reason):
        read(path)


def test_a_flipped_bit_of_a_tensor_is_seen(tmp_path):
    path = tmp_path / "state.pth"
    content = described()
    path.write_bytes(content)
    assert read(path).tensors["a"].tolist() == [0, 1, 2, 3]
    stored = torch.arange(4.0).numpy().tobytes()
    path.write_bytes(content.replace(stored, stored[:-1] + b"\x41"))
    with pytest.raises(Damaged, match="the checksum of"):
        read(path)


@pytest.mark.parametrize(
    "saved", [torch.eye(3).to_sparse(), torch.empty(9, device="meta"), torch.ones(3, dtype=torch.complex64)]
)
def test_tensors_of_other_kinds_are_refused(tmp_path, saved):
    torch.save({"a": saved}, tmp_path / "odd.pth")
    with pytest.raises(Damaged, match="refused, it holds more than tensors"):
        read(tmp_path / "odd.pth")


def test_what_a_snapshot_says_of_itself_fits_on_a_card(tmp_path):
    path = tmp_path / "edm.pkl"
    facts = {"label_dim": 0, "big": 10**400, "none": float("nan"), "long": "x" * 10_000, "odd": [1, 10**400]}
    path.write_bytes(snapshot(torch.nn.Linear(2, 2), **facts))
    assert read(path).about == {"class": "EDMPrecond", "label_dim": 0}


@pytest.mark.parametrize("name", ["a\nb", "\x1b[2J"])
def test_names_in_files_stay_on_one_line(tmp_path, name):
    path = tmp_path / "named.pth"
    torch.save({"model": {name: torch.ones(2)}, "ema": {"shadow_params": [torch.ones(3)]}}, path)
    with pytest.raises(Damaged) as found:
        read(path)
    assert str(found.value).isprintable()
    with pytest.raises(PickleError) as found:
        tensors_of(Instance("X", {"_modules": {name: 1}}))
    assert str(found.value).isprintable()


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("old", [False, True], ids=["zip", "before zips"])
def test_damaged_files_of_torch_are_read_or_refused(tmp_path: Path, old: bool, count: int):
    path = tmp_path / "state.pth"
    state = {"a.weight": torch.ones(2, 3), "a.bias": torch.ones(2)}
    torch.save(state, path, _use_new_zipfile_serialization=not old)
    assert refused(path, lambda: read(path), count, Damaged) > 0
