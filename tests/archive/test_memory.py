import gc

import numpy as np
import pytest

from entense.archive.loaders.memory import Memory
from entense.archive.schema import as_dtype
from entense.archive.write import write


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
    memory = Memory(most=2)
    first = memory.empty((4, 3), np.dtype("f4"))
    at, held = place(first), HOLDERS[holder](first)
    del first
    second = memory.empty((4, 3), np.dtype("f4"))
    assert place(second) != at
    del held
    gc.collect()
    assert place(memory.empty((2, 6), np.dtype("i4"))) == at


@pytest.mark.parametrize("package", ["jax.numpy", "torch"])
def test_what_other_packages_hold_does_not_change(package):
    asarray = pytest.importorskip(package).asarray
    memory = Memory(most=1)
    first = memory.empty((2**16,), np.dtype("f4"))
    first[...] = 7
    held = asarray(first)
    del first
    memory.empty((2**16,), np.dtype("f4"))[...] = 0
    assert (np.asarray(held) == 7).all()


def test_no_more_waits_than_may():
    memory = Memory(most=2)
    arrays = [memory.empty((8,), np.dtype("u1")) for _ in range(5)]
    del arrays
    assert len(memory._free) == 2
    assert len(memory.empty((3,), np.dtype("u1"))) == 3
    assert len(memory._free) == 2  # one of eight bytes went, and one of three came back


def test_any_dtype_and_no_content():
    memory = Memory(most=1)
    assert memory.empty((2, 3), as_dtype("bfloat16")).dtype.name == "bfloat16"
    assert memory.empty((0, 3), np.dtype("f8")).shape == (0, 3)
    assert memory.empty((), np.dtype("f8")).shape == ()


def test_batches_that_are_kept_keep_their_values(records, tmp_path):
    loader = write(records, tmp_path / "out").loader(batch_size=2, window=4, seed=3)
    kept = list(loader)
    copies = [batch["clean"].copy() for batch in kept]
    for _ in range(3):
        for batch in loader:
            batch["clean"][...] = 0  # it is the user's
    for batch, copy in zip(kept, copies, strict=True):
        np.testing.assert_array_equal(batch["clean"], copy)


def test_an_epoch_takes_the_memory_of_few_batches(records, tmp_path):
    loader = write(records, tmp_path / "out").loader(
        batch_size=1, window=4, windows_per_record=50, tensors=["clean"]
    )
    assert len({place(batch["clean"]) for batch in loader}) <= 5  # of 450
