import gc
import weakref

import numpy as np
import pytest

from entense.archive.schema import as_dtype
from entense.buffers import Buffers


def place(array):
    return array.__array_interface__["data"][0]


HOLDERS = {
    "array": lambda array: array,
    "view": lambda array: array[1:],
    "reshaped": lambda array: array.reshape(-1)[::2],
    "memoryview": memoryview,
    "iterator": iter,
    "capsule": np.from_dlpack,
}


@pytest.mark.parametrize("holder", HOLDERS)
def test_memory_is_used_again_only_when_nothing_holds_it(holder):
    buffers = Buffers(most=2)
    first = buffers.empty((4, 3), np.dtype("f4"))
    at, held = place(first), HOLDERS[holder](first)
    del first
    second = buffers.empty((4, 3), np.dtype("f4"))
    assert place(second) != at
    del held
    gc.collect()
    assert place(buffers.empty((2, 6), np.dtype("f4"))) == at


@pytest.mark.parametrize("package", ["jax.numpy", "torch"])
def test_what_other_packages_hold_does_not_change(package):
    asarray = pytest.importorskip(package).asarray
    buffers = Buffers(most=1)
    first = buffers.empty((2**16,), np.dtype("f4"))
    first[...] = 7
    held = asarray(first)
    del first
    buffers.empty((2**16,), np.dtype("f4"))[...] = 0
    assert (np.asarray(held) == 7).all()


def test_no_more_waits_than_may():
    buffers = Buffers(most=2)
    arrays = [buffers.empty((8,), np.dtype("u1")) for _ in range(5)]
    del arrays
    assert len(buffers._free) == 2
    assert len(buffers.empty((3,), np.dtype("u1"))) == 3
    assert len(buffers._free) == 2  # one of eight bytes went, and one of three came back


def test_any_dtype_and_no_content():
    buffers = Buffers(most=1)
    assert buffers.empty((2, 3), as_dtype("bfloat16")).dtype.name == "bfloat16"
    assert buffers.empty((0, 3), np.dtype("f8")).shape == (0, 3)
    assert buffers.empty((), np.dtype("f8")).shape == ()


def test_memory_that_is_taken_back_is_nobody_elses():
    buffers = Buffers()
    given = [buffers.empty((3, n), "f4") for n in (5, 2, 9)]
    assert not any(np.shares_memory(a, b) for a in given for b in given if a is not b)
    for array in given:
        buffers.take_back(array)
        buffers.take_back(array)
    again = [buffers.empty((3, n), "f4") for n in (9, 5, 2)]
    assert {*map(place, again)} == {*map(place, given)}
    assert not any(np.shares_memory(a, b) for a in again for b in again if a is not b)
    del given, array  # what was taken back does not come back again with its last view
    new = buffers.empty((3, 9), "f4")
    assert not any(np.shares_memory(new, array) for array in again)
    buffers.take_back(np.empty(100, "f4"))  # somebody else's
    assert len(buffers._free) == 0


def test_a_little_more_or_less_is_made_of_the_same_memory():
    buffers = Buffers()
    at = {place(buffers.empty((frames, 100), "f4")) for frames in (200, 240, 180)}
    assert len(at) == 1
    assert place(buffers.empty((20, 100), "f4")) not in at


def test_what_is_kept_does_not_keep_what_waits():
    buffers = Buffers()
    kept, other = buffers.empty((9,), "f4"), buffers.empty((9,), "f4")
    waiting = weakref.ref(other.base.base.obj)
    del other
    assert waiting() is not None
    del buffers
    assert waiting() is None
    kept[...] = 1
