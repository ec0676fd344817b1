"""Memory of batches that nobody holds any more: fresh pages cost as much as what fills them."""

from __future__ import annotations

import math
import weakref
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Memory:
    """Makes arrays whose memory is used again when the last view of them is gone, never before.

    Who is given an array owns it: it may be kept, and handed on to whatever holds a reference to
    it, as views, memoryviews, DLPack, PyTorch and JAX do. Safe to share by threads.

    Parameters
    ----------
    most
        How many arrays' memory waits to be used again; of more, it is given back to the system.

    Examples
    --------
    >>> memory = Memory(most=1)
    >>> first = memory.empty((2, 3), np.dtype("f4"))
    >>> place = first.ctypes.data
    >>> del first
    >>> memory.empty((3, 2), np.dtype("f4")).ctypes.data == place
    True
    """

    def __init__(self, most: int) -> None:
        self._most = most
        # no lock: an array may go while another is made, in the same thread too
        self._free: dict[int, NDArray[np.uint8]] = {}

    def empty(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
        """Return an array of that shape and dtype; what it holds is undefined."""
        size = math.prod(shape) * dtype.itemsize
        if not size:
            return np.empty(shape, dtype)
        memory = self._taken(size)
        # through a memoryview, or views of it would hold the memory itself, and not what is watched
        given = np.frombuffer(memory.data, np.uint8)
        weakref.finalize(given, self._give_back, memory).atexit = False
        return given.view(dtype).reshape(shape)

    def _taken(self, size: int) -> NDArray[np.uint8]:
        free = list(self._free.items())
        fitting = [key for key, memory in free if len(memory) == size]
        # the last one, which a cache may hold; where none fits, one goes: sizes have changed
        for key in (fitting or list(dict(free)))[-1:]:
            memory = self._free.pop(key, None)  # None where another thread was faster
            if memory is not None and len(memory) == size:
                return memory
        return np.empty(size, np.uint8)

    def _give_back(self, memory: NDArray[np.uint8]) -> None:
        if len(self._free) < self._most:
            self._free[id(memory)] = memory
