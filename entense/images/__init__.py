"""Image files as the decoder sees them: a header that is read first, and frames that follow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray


class Series(Protocol):
    """A file of frames, opened and not yet decoded; value = slope * stored + inter."""

    @property
    def path(self) -> str:
        """The file, for errors."""

    @property
    def frames(self) -> int:
        """How many there are."""

    @property
    def dtype(self) -> str:
        """NumPy dtype of the stored values, with its byte order."""

    @property
    def slope(self) -> float:
        """What stored values are multiplied with."""

    @property
    def inter(self) -> float:
        """What is added to them then."""

    @property
    def tr(self) -> float | None:
        """Repetition time in seconds, where the file knows it."""

    @property
    def held(self) -> int:
        """How many bytes of it are in memory while it is read."""

    def read(self, cores: int = 1, /) -> Iterator[NDArray[Any]]:
        """Yield each frame, flat, as stored; it is valid until the next one is asked for.

        What is packed may be inflated on so many cores at once; that takes more memory.
        """
