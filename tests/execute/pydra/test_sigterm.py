"""Where SIGTERM is ours, and where it is not; what it ends is in `test_drivers`."""

import signal
from concurrent.futures import ThreadPoolExecutor

import pytest

from entense.execute.pydra.sigterm import ended_by_sigterm


def handler():
    """Return what is there within."""
    with ended_by_sigterm():
        return signal.getsignal(signal.SIGTERM)


@pytest.fixture
def put():
    """Put a handler there; afterwards it is gone."""
    before = signal.getsignal(signal.SIGTERM)
    yield lambda one: signal.signal(signal.SIGTERM, one)
    signal.signal(signal.SIGTERM, before)


def test_it_is_there_while_the_run_goes_on():
    assert handler() != signal.SIG_DFL
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


@pytest.mark.parametrize("mine", [lambda *_: None, signal.SIG_IGN], ids=["function", "ignored"])
def test_a_handler_of_the_users_own_stays(put, mine):
    put(mine)
    assert handler() == mine
    assert signal.getsignal(signal.SIGTERM) == mine


def test_outside_the_main_thread_there_is_none():
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(handler).result() == signal.SIG_DFL
