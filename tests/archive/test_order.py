"""The order of an epoch is a pure function of a few numbers."""

import tracemalloc
from collections import Counter
from dataclasses import replace
from functools import partial
from itertools import chain

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from entense.archive.loaders.order import Order
from entense.archive.loaders.source import Source, readable
from entense.archive.loaders.windows import Windows
from entense.archive.schema import Tensor
from entense.errors import ArchiveError

seeds = st.none() | st.integers(0, 2**70)


@st.composite
def orders(draw, **fixed):
    room = draw(st.lists(st.integers(-2, 9), max_size=12))
    kinds = st.lists(st.integers(0, 2), min_size=len(room), max_size=len(room)).map(np.array)
    drawn = {
        "each": st.integers(1, 4),
        "batch_size": st.integers(1, 6),
        "seed": seeds,
        "together": st.booleans(),
        "kinds": st.none() | kinds if room else st.none(),
        "drop_last": st.booleans(),
        "world": st.integers(1, 5),
    }
    options = {name: draw(value) for name, value in drawn.items() if name not in fixed}
    return Order(np.array(room, np.int64), **options, **fixed)


def ranks(order):
    return [replace(order, rank=rank) for rank in range(order.world)]


def there(order):
    """Return the records that have a window."""
    return np.flatnonzero(order.room >= 0)


def pairs(batches):
    return [pair for r, s in batches for pair in zip(r.tolist(), s.tolist(), strict=True)]


@given(orders(drop_last=False), st.integers(0, 3))
def test_ranks_part_the_epoch(order, epoch):
    shares = [pairs(rank.batches(epoch)) for rank in ranks(order)]
    whole = replace(order, world=1).items(epoch)
    assert Counter(chain(*shares)) == Counter(pairs([whole]))
    sizes = [len(share) for share in shares]
    assert max(sizes) - min(sizes) <= (order.each if order.together else 1)


@given(orders(), st.integers(0, 3))
def test_an_epoch_has_each_record_as_often_as_told_and_windows_fit(order, epoch):
    records, starts = replace(order, world=1).items(epoch)
    assert Counter(records.tolist()) == dict.fromkeys(there(order).tolist(), order.each)
    assert ((starts >= 0) & (starts <= order.room[records])).all()


@given(orders(), st.integers(0, 3))
def test_batches_are_full_or_the_last_of_their_kind(order, epoch):
    batches = list(order.batches(epoch))
    assert len(batches) == len(order)
    kinds = np.zeros_like(order.room) if order.kinds is None else order.kinds
    small = [kinds[records[0]] for records, _ in batches if len(records) < order.batch_size]
    assert all(0 < len(records) <= order.batch_size for records, _ in batches)
    assert all(len(set(kinds[records])) == 1 for records, _ in batches)
    assert len(small) == len(set(small))
    assert not (order.drop_last and small)


@given(orders(drop_last=True))
def test_without_a_last_batch_every_rank_has_as_many(order):
    assert len({len(rank) for rank in ranks(order)}) == 1
    if order.kinds is None:
        unit = order.each if order.together else 1
        units = len(there(order)) * order.each // unit
        assert len(order) == units // order.world * unit // order.batch_size


@given(orders(), st.integers(0, 3), st.integers(0, 12))
def test_it_can_begin_at_any_batch(order, epoch, first):
    assert pairs(order.batches(epoch, first)) == pairs(list(order.batches(epoch))[first:])


@given(orders(together=True))
def test_windows_that_stay_together_follow_each_other(order):
    records, _ = order.items(0)
    assert (records.reshape(-1, order.each) == records[:: order.each, None]).all()


def test_the_epoch_and_the_seed_decide():
    order = Order(np.full(50, 9), 2, 7, seed=3, kinds=np.arange(50) % 2)
    assert pairs(order.batches(1)) == pairs(replace(order).batches(1))
    assert pairs(order.batches(1)) != pairs(order.batches(2))
    assert pairs(order.batches(1)) != pairs(replace(order, seed=4).batches(1))
    first = {int(next(order.batches(epoch))[0][0]) % 2 for epoch in range(20)}
    assert first == {0, 1}  # not all of one kind first


def test_many_windows_take_no_more_memory_than_their_numbers():
    room = np.zeros(100_000, np.int64)
    tracemalloc.start()
    try:
        order = Order(room, seed=0, kinds=np.arange(len(room)) % 2)
        assert len(order) == 100_000
        next(order.batches(0))
        assert tracemalloc.get_traced_memory()[1] < 16 * room.nbytes
    finally:
        tracemalloc.stop()


@given(hnp.arrays(np.int64, st.tuples(st.integers(1, 9), st.just(3)), elements=st.integers(0, 2)))
def test_kinds_are_numbered_as_their_shapes_are_ordered(shapes):
    tensors = {"x": Tensor(np.dtype("f4"), ("time", "a"), (None, None), {}, None, None)}
    tensors["y"] = Tensor(np.dtype("f4"), ("b",), (None,), {}, None, None)
    ids = np.array([str(row) for row in range(len(shapes))], object)
    found = {"x": shapes[:, :2], "y": shapes[:, 2:]}
    windows = Windows(Source(tensors, found, {"record": ids}, partial(readable, None)), None)
    due = np.unique(shapes, axis=0, return_inverse=True)[1].reshape(-1)
    np.testing.assert_array_equal(windows.kinds, due)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"rank": 2, "world": 2}, "rank=2 is none of world=2"),
        ({"rank": -1}, "rank=-1"),
        ({"world": 0}, "world=0"),
        ({"seed": -1}, "seed=-1 is no seed"),
        ({"seed": 0.5}, "seed=0.5 is no seed"),
    ],
)
def test_numbers_that_cannot_be(options, words):
    with pytest.raises(ArchiveError, match=words):
        Order(np.zeros(3, np.int64), **options)
