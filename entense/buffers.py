"""Memory that is used again: fresh pages cost as much as what fills them."""

from __future__ import annotations

import math
import weakref
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import DTypeLike, NDArray


class Buffers:
    """Makes arrays whose memory is used again when the last view of them is gone, never before.

    Who is given an array owns it: it may be kept, and handed on to whatever holds a reference to
    it, as views, memoryviews, DLPack, Arrow, PyTorch and JAX do. Safe to share by threads.

    Parameters
    ----------
    most
        How many arrays' memory waits to be used again; of more, it is given back to the system.

    Examples
    --------
    >>> buffers = Buffers()
    >>> first = buffers.empty((2, 3), "float32")
    >>> place = first.ctypes.data
    >>> del first
    >>> buffers.empty((3, 2), "float32").ctypes.data == place
    True
    """

    def __init__(self, most: int = 64) -> None:
        self._most = most
        # no lock: an array may go while another is made, in the same thread too
        self._free: dict[int, tuple[np.dtype[Any], NDArray[np.uint8]]] = {}
        self._given: dict[int, weakref.finalize[..., Any]] = {}

    def empty(self, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        """Return an array of that shape and dtype; what it holds is undefined."""
        kind = np.dtype(dtype)
        size = math.prod(shape) * kind.itemsize
        if not size:
            return np.empty(shape, kind)
        memory = self._taken(kind, size)
        # through a memoryview, or views of it would hold the memory itself, and not what is watched
        given = np.frombuffer(memory.data, np.uint8)
        # weak: what is kept must not keep what waits here
        watch = weakref.finalize(given, _let_go, weakref.ref(self), id(given), kind, memory)
        watch.atexit = False
        self._given[id(given)] = watch
        return given[:size].view(kind).reshape(shape)

    def take_back(self, array: NDArray[Any]) -> None:
        """Use an array's memory again though it is still held: nobody may look at it any more.

        Others' arrays are let be.
        """
        if watch := self._given.get(id(array.base)):
            watch()

    def _taken(self, kind: np.dtype[Any], size: int) -> NDArray[np.uint8]:
        # by dtype: what is decoded and what is made differ in it, and would swap their memory
        there = self._free.copy().items()
        free = [(len(memory), key) for key, (of, memory) in there if of == kind]
        free.reverse()  # the last that came back first: a cache may hold it
        fitting = sorted((one for one in free if size <= one[0] <= 2 * size), key=itemgetter(0))
        for _, key in fitting:
            if one := self._free.pop(key, None):  # None where another thread was faster
                return one[1]
        for _, key in [one for one in free if one[0] < size][-1:]:  # it goes for the new one
            self._free.pop(key, None)
        # longer than asked for: the next may be, and what is not touched takes nothing
        return np.empty(size + size // 4, np.uint8)

    def _keep(self, kind: np.dtype[Any], memory: NDArray[np.uint8]) -> None:
        self._free[id(memory)] = kind, memory
        for key in [*self._free.copy()][: -self._most]:
            self._free.pop(key, None)


def _let_go(
    owner: weakref.ref[Buffers], given: int, kind: np.dtype[Any], memory: NDArray[np.uint8]
) -> None:
    if (there := owner()) is not None:
        there._given.pop(given, None)
        there._keep(kind, memory)
