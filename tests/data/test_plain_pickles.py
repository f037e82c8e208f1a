"""No pickle gets this machine to run, change or fill anything: it builds plain values or says what it refuses."""

from __future__ import annotations

import pickle
import pickletools
import resource
import struct
import time

import numpy as np
import pytest

from hkd.data import plain_pickles
from hkd.data.plain_pickles import Array, ForbiddenError, PickleError, load
from tests.fuzzed import COUNTS
from tests.mutations import mutations

PIXELS = np.arange(2 * 12, dtype=np.uint8).reshape(2, 12)
BATCH = {b"labels": [3, 4], b"data": PIXELS, "names": ["a", b"b", "ä"], b"count": 70000, b"more": (None, True, -1)}
ARRAY = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
MINUS = b"J\xff\xff\xff\xff"
KIND = b"cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R"


def plain(value: object) -> object:
    """A value with its arrays as lists, to compare."""
    if isinstance(value, Array | np.ndarray):
        return (value.content if isinstance(value, Array) else value).tolist()
    if isinstance(value, dict):
        return {key: plain(each) for key, each in value.items()}
    return [plain(each) for each in value] if isinstance(value, list | tuple) else value


def test_plain_values_are_read_as_python_reads_them():
    assert plain(load(pickle.dumps(BATCH, protocol=2))) == plain(BATCH)
    columns = np.asfortranarray(PIXELS)
    assert plain(load(pickle.dumps({"data": columns}, protocol=2))) == {"data": PIXELS.tolist()}


def test_python_2_with_its_memo_is_read():
    """As cPickle wrote them: every value has a number, and equal names are taken from there."""
    text = b"\x80\x02}q\x01(U\x06labelsq\x02]q\x03(K\x01K\x02eU\x05namesq\x04](h\x02h\x02eU\x04dataq\x05"
    raw = PIXELS.tobytes()
    text += ARRAY + b"q\x06(K\x01K\x02K\x0c\x86q\x07" + KIND + b"q\x08(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xff"
    text += b"K\x00tq\x09b\x89T" + struct.pack("<i", len(raw)) + raw + b"tq\x0abu."
    assert plain(load(text)) == {b"labels": [1, 2], b"names": [b"labels", b"labels"], b"data": PIXELS.tolist()}


FORBIDDEN = {
    "state for a function of ours": b"\x80\x02c_codecs\nencode\n}U\x01xK\x01sb.",
    "state for a text": b"\x80\x02U\x01x}b.",
    "an object": b"\x80\x02cbuiltins\nobject\n)\x81.",
    "a name of the system": b"\x80\x02cposix\nsystem\nU\x04true\x85R.",
    "a name on the stack": b"\x80\x04\x8c\x08builtins\x8c\x04eval\x93.",
    "an instance": b"(iposix\nsystem\n.",
    "an extension": b"\x80\x02\x82\x01.",
    "a persistent object": b"Pname\n.",
    "a long number": b"\x80\x02\x8b" + struct.pack("<I", 100) + b"\xff" * 100 + b".",
    "digits": b"I" + b"9" * 4000 + b"\n.",
    "nested tuples": b"\x80\x02)" + b"\x85" * 200_000 + b".",
    "nested lists": b"\x80\x02" + b"]" * 1000 + b"a" * 999 + b".",
    "nested dictionaries": b"\x80\x02" + b"}K\x01" * 1000 + b"N" + b"s" * 1000 + b".",
    "eight million lists": b"\x80\x02" + b"]" * (8 << 20) + b".",
    "a list in itself": b"\x80\x02]q\x00h\x00a.",
    "a list in two places": b"\x80\x02](]q\x00h\x00e.",
    "a number in the memo": b"\x80\x02Nr\xff\xff\xff\x7f.",
    "one text for many bytes": b"\x80\x02c_codecs\nencode\nq\x00X"
    + struct.pack("<I", 1 << 20)
    + b"x" * (1 << 20)
    + b"q\x01X\x06\x00\x00\x00latin1q\x02\x86R"
    + b"h\x00h\x01h\x02\x86R" * 1000
    + b".",
}
DAMAGED = {
    "nothing": b"",
    "no end": b"\x80\x02N",
    "no value": b"\x80\x02.",
    "a mark as value": b"\x80\x02(.",
    "a name as value": b"\x80\x02c_codecs\nencode\n.",
    "two values": b"\x80\x02NN.",
    "more behind the end": b"\x80\x02N.N",
    "values for nothing": b"\x80\x02N(NNe.",
    "half an entry": b"\x80\x02}(Nu.",
    "a key of a list": b"\x80\x02}]Ns.",
    "a key twice": b"\x80\x02}(K\x01NK\x01Nu.",
    "no mark": b"\x80\x02NNt.",
    "never remembered": b"\x80\x02h\x07.",
    "a call of nothing": b"\x80\x02N)R.",
    "an array of numbers": b"\x80\x02cnumpy\ndtype\nU\x02f8K\x00K\x01\x87R.",
    "an array of nested types": b"\x80\x02cnumpy\ndtype\n" + b"K\x01\x85q\x00" + b"h\x00h\x00\x86" + b"\x85R.",
    "an array of another shape": b"\x80\x02" + ARRAY + b"(K\x01K\x09K\x0c\x86" + KIND + b"\x89U\x02abtb.",
    "an array of a negative shape": b"\x80\x02"
    + ARRAY
    + b"(K\x01J\xff\xff\xff\xffJ\xfe\xff\xff\xff\x86"
    + KIND
    + b"\x89U\x02abtb.",
    "an array that is filled twice": b"\x80\x02" + ARRAY + (b"(K\x01K\x02\x85" + KIND + b"\x89U\x02abtb") * 2 + b".",
    "bytes of numbers": b"\x80\x02c_codecs\nencode\nK\x01X\x06\x00\x00\x00latin1\x86R.",
    "bytes that are none": b"\x80\x02c_codecs\nencode\nX\x03\x00\x00\x00\xe2\x82\xacX\x06\x00\x00\x00latin1\x86R.",
    "text that claims more": b"\x80\x02X\xff\xff\xff\x7fab.",
    "text that claims less than none": b"\x80\x02T\xff\xff\xff\xffab.",
    "an unknown operation": b"\x80\x02\xff.",
}


@pytest.mark.parametrize("name", FORBIDDEN)
def test_what_plain_values_do_not_need_is_refused(name):
    start = time.process_time()
    with pytest.raises(ForbiddenError) as found:
        load(FORBIDDEN[name])
    assert str(found.value).isprintable() and time.process_time() - start < 3


@pytest.mark.parametrize("name", DAMAGED)
def test_operations_that_do_not_fit_together_are_damage(name):
    with pytest.raises(PickleError):
        load(DAMAGED[name])


def test_a_small_pickle_never_claims_much_memory():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for name in ("nested tuples", "one text for many bytes", "eight million lists"):
        with pytest.raises(ForbiddenError):
            load(FORBIDDEN[name])
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 128 << 10  # KiB; Python's own took 600 MB


def test_nothing_of_any_module_is_looked_up(monkeypatch):
    """Names are words: even an allowed one leads to no object."""

    def never(*arguments, **options):
        raise AssertionError("looked up")

    monkeypatch.setattr(pickle, "Unpickler", never)
    monkeypatch.setattr(pickle, "loads", never)
    content = pickletools.optimize(pickle._dumps({"data": PIXELS}, protocol=2))
    monkeypatch.setattr(np, "dtype", never)
    assert plain(load(content)) == {"data": PIXELS.tolist()}
    assert not any(callable(value) for value in plain_pickles.NAMES.values())


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("protocol", [2, 4])
def test_damaged_pickles_are_read_or_refused(protocol, count):
    for changed in mutations(pickle.dumps(BATCH, protocol=protocol), count, seed=protocol):
        try:
            value = load(changed)
        except (PickleError, ForbiddenError) as error:
            assert str(error)
        else:
            plain(value)
