"""Many things done here or in threads: all of them, in order, wherever it is faster."""

from itertools import accumulate, chain, cycle
from threading import current_thread, main_thread

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entense import threads
from entense.threads import here_or_in_threads, in_threads


@given(st.integers(0, 700), st.integers(1, 9))
def test_each_once_and_in_order(count, several):
    items = range(count)
    assert list(in_threads(lambda item: -item, items, several)) == [-item for item in items]
    pieces = here_or_in_threads(lambda some: [-item for item in some], items, several)
    assert list(pieces) == [-item for item in items]


@pytest.mark.parametrize(("alone", "together", "here"), [(1, 9, True), (2, 1, False)])
def test_after_a_trial_what_was_faster_an_item_goes_on(monkeypatch, alone, together, here):
    # the clock is read before and after each trial: one piece here, then one in each of 4 threads
    ticks = accumulate(chain([0], cycle([alone, 0, 4 * together, 0])))
    monkeypatch.setattr(threads, "perf_counter", lambda: next(ticks))
    ran = list(here_or_in_threads(lambda some: [current_thread()] * len(some), range(16_000), 4))
    main = [thread is main_thread() for thread in ran]
    piece = threads._PIECE
    assert main[: 2 * piece] == [True] * 2 * piece  # the first, and a trial here
    assert main[2 * piece : 6 * piece] == [False] * 4 * piece  # and in threads
    assert main[6 * piece : 10 * piece] == [here] * 4 * piece
    assert main[10 * piece : 15 * piece] == [True] * piece + [False] * 4 * piece
    assert main[15 * piece : 23 * piece] == [here] * 8 * piece  # for twice as long


@pytest.mark.parametrize("at", [0, 100, 300, 900])
def test_an_exception_ends_it(at):
    def fails(some):
        if at in some:
            raise ValueError(at)
        return list(some)

    got = []
    with pytest.raises(ValueError, match=str(at)):
        got.extend(item for item in here_or_in_threads(fails, range(1000), 2))
    assert got == list(range(len(got)))
    assert len(got) <= at
