"""Many things done here or in threads: all of them, in order, wherever it is faster."""

from threading import Lock, current_thread, main_thread

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


@pytest.fixture
def ran(monkeypatch):
    """Return where pieces ran, "h" for here, given the seconds of an item, as the clock says."""

    def run(alone, together, count):
        now, piece = [0.0], threads._PIECE

        def function(some):
            here = current_thread() is main_thread()
            with lock:
                now[0] += (alone[some[0] // piece] if here else together) * piece
            return ["h" if here else "t"] * len(some)

        lock = Lock()
        monkeypatch.setattr(threads, "perf_counter", lambda: now[0])
        return "".join([*here_or_in_threads(function, range(count * piece), 4)][::piece])

    return run


def test_where_nothing_is_waited_for_threads_are_tried_once(ran):
    assert ran([1] * 40, 2, 40) == "hh" + "tttt" + "h" * 34


def test_where_a_disk_is_waited_for_threads_go_on_and_are_left_ever_more_rarely(ran):
    assert ran([9] * 40, 2, 40) == "hh" + "t" * 4 + "h" + "t" * 8 + "h" + "t" * 16 + "h" + "t" * 7
    assert "t" * 64 + "h" + "t" * 64 + "h" in ran([9] * 400, 2, 400)


def test_a_disk_that_becomes_slow_is_noticed_and_one_that_becomes_fast(ran):
    slow = ran([1] * 20 + [9] * 20, 2, 40)
    assert slow == "hhtttt" + "h" * 15 + "t" * 4 + "h" + "t" * 8 + "h" + "t" * 5
    assert ran([9] * 7 + [1] * 20, 2, 27) == "hhtttth" + "t" * 8 + "h" * 12


def test_few_items_are_begun_before_they_are_due():
    begun = []
    some = in_threads(lambda item: begun.append(item) or item, range(1000), 4)
    assert [next(some), next(some)] == [0, 1]
    some.close()
    assert len(begun) <= 2 + 2 * 4


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
