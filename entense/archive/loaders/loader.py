"""The loader: the batches of an epoch in order, read ahead, from where a state says."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any, Literal, TypedDict

import numpy as np

from entense.archive.loaders.batches import check_free, read_batch
from entense.archive.loaders.order import Order
from entense.archive.loaders.state import position, state_of
from entense.archive.loaders.windows import Windows
from entense.buffers import Buffers
from entense.errors import ArchiveError
from entense.threads import in_order

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping

    from numpy.typing import NDArray

    from entense.archive.loaders.source import Reader, Skipped, Source

CHOICES: Mapping[str, tuple[str, ...]] = {
    "ragged": ("error", "pad", "bucket"),
    "short": ("raise", "skip", "pad"),
    "on_error": ("raise", "skip"),
    "to": ("numpy", "jax"),
}
Ragged = Literal["error", "pad", "bucket"]
Short = Literal["raise", "skip", "pad"]
OnError = Literal["raise", "skip"]
To = Literal["numpy", "jax"]


class Asked(TypedDict, total=False):
    """What may be asked of a loader, whatever its source."""

    window: int | None
    short: Short
    windows_per_record: int
    seed: int | None
    drop_last: bool
    rank: int
    world: int
    workers: int
    ragged: Ragged
    on_error: OnError
    to: To


@dataclass(eq=False)
class Loader:
    """Batches of records or of windows in time; each iteration is another epoch.

    A batch is a dict: each tensor ``(batch, …)`` in its own dtype; each scalar an array (a string
    a list; a number that may be null a float array with NaN); ``"record"``, the ids; ``"start"``,
    int64, the first frame of each window; with ``ragged="pad"`` or ``short="pad"``,
    ``"<tensor>_shape"``, int64 ``(batch, dims)``, how much of each is not padding.

    Parameters
    ----------
    source
        Where the records are.
    batch_size, window, windows_per_record, seed, drop_last, rank, world, workers
        As `Archive.loader` says.
    ragged, short, on_error, to
        As `Archive.loader` says.
    epoch
        Number of the next epoch; with `seed`, it decides order and windows.

    Attributes
    ----------
    skipped
        Record and reason of whatever was left out of the batches so far.

    Raises
    ------
    ArchiveError
        When a window is longer than a record, or records are ragged and cannot be stacked.
    """

    source: Source = field(repr=False)
    batch_size: int
    window: int | None = None
    windows_per_record: int = 1
    seed: int | None = None
    drop_last: bool = False
    rank: int = 0
    world: int = 1
    workers: int = 1
    ragged: Ragged = "error"
    short: Short = "raise"
    on_error: OnError = "raise"
    to: To = "numpy"
    epoch: int = 0
    skipped: list[Skipped] = field(init=False, repr=False)
    _ahead: int = field(init=False, repr=False)  # batches that are read before they are asked for
    _buffers: Buffers = field(init=False, repr=False)
    _windows: Windows = field(init=False, repr=False)
    _order: Order = field(init=False, repr=False)
    _first: int = field(init=False, default=0, repr=False)  # batch of the next epoch to begin at
    _at: tuple[int, int] | None = field(init=False, default=None, repr=False)  # within an epoch

    def __post_init__(self) -> None:
        for name in CHOICES:
            check_choice(name, getattr(self, name))
        if not isinstance(self.workers, int) or self.workers < 1:
            raise ArchiveError(f"workers={self.workers!r} is no count; give 1 or more")
        self._ahead = self.workers + 1
        self._buffers = Buffers(most=len(self.source.tensors) * (self._ahead + 2))
        self._windows = Windows(self.source, self.window, self.short)
        self._order = order_of(
            self._windows,
            each=self.windows_per_record,
            batch_size=self.batch_size,
            seed=self.seed,
            rank=self.rank,
            world=self.world,
            drop_last=self.drop_last,
            kinds=self._windows.kinds if self.ragged == "bucket" else None,
        )
        self.skipped = [*self.source.failed, *self._windows.left_out]
        if self._pads:
            check_free(self._windows)
        if self.ragged == "error" and self.batch_size > 1:
            self._windows.check_alike()

    def __len__(self) -> int:
        return len(self._order)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        epoch, first = self.epoch, self._first
        self.epoch, self._first = epoch + 1, 0
        self._at = (epoch, first) if first < len(self) else None
        return self._iterate(epoch, first)

    def state_dict(self) -> dict[str, Any]:
        """Return where the loader is: after the last batch that it gave, in a dict for JSON.

        What was read ahead and not given counts as not read.

        Examples
        --------
        >>> from entense.archive import open_archive
        >>> loader = open_archive("out").loader("train", batch_size=8, window=32, seed=0)
        >>> batches = iter(loader)
        >>> first = next(batches)
        >>> state = loader.state_dict()
        >>> loader.load_state_dict(state)  # of this loader or, another day, one made like it
        >>> second = next(iter(loader))
        """
        epoch, batch = self._at or (self.epoch, self._first)
        return state_of(self._identity(), epoch, batch)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Have the next iteration continue where `state_dict` was called, with the next batch.

        Workers, `to` and `on_error` may differ from what they were; an ArchiveError where the
        records, or what decides their order, do.
        """
        self.epoch, self._first = position(state, self._identity(), len(self))
        self._at = None

    def _iterate(self, epoch: int, first: int) -> Generator[dict[str, Any]]:
        threads, asked = self.workers, []
        if self.source.dear:
            parts = (records.tolist() for records, _ in self._order.batches(epoch, first))
            threads, asked = 1, [*chain.from_iterable(parts)]
        with self.source.opened(asked) as read:
            tasks = (partial(self._read, read, *it) for it in self._order.batches(epoch, first))
            with closing(in_order(tasks, threads, self._ahead)) as done:
                for number, (batch, skipped) in enumerate(done, first + 1):
                    self._at = (epoch, number) if number < len(self) else None
                    self.skipped += skipped
                    if len(batch["record"]):
                        yield batch

    @property
    def _pads(self) -> bool:
        return "pad" in (self.ragged, self.short)

    def _read(
        self, read: Reader, records: NDArray[np.int64], starts: NDArray[np.int64]
    ) -> tuple[dict[str, Any], list[Skipped]]:
        options: dict[str, Any] = {"pads": self._pads, "skips": self.on_error == "skip"}
        batch, skipped = read_batch(
            self._windows, read, records, starts, empty=self._buffers.empty, **options
        )
        return (_to_jax(batch) if self.to == "jax" else batch), skipped

    def _identity(self) -> dict[str, Any]:
        """Return what decides the batches and their order."""
        names = ("batch_size", "window", "windows_per_record", "seed", "drop_last")
        options = {
            name: getattr(self, name) for name in (*names, "rank", "world", "ragged", "short")
        }
        # of one window each it is all the same whether those of a record stay together
        together = self.source.dear and self.windows_per_record > 1
        return {"records": self.source.digest, **options, "together": together}


def check_choice(name: str, given: object) -> None:
    """Raise where an option is none of its choices."""
    if given not in CHOICES[name]:
        raise ArchiveError(f"{name}={given!r} is none of {', '.join(map(repr, CHOICES[name]))}")


def order_of(windows: Windows, *, each: int, **options: Any) -> Order:
    """Return the order of a source's windows."""
    if windows.length is None and (each != 1 or windows.short != "raise"):
        name = "short" if each == 1 else "windows_per_record"
        raise ArchiveError(f"{name} needs a window; give window=, in frames")
    windows.tell()
    return Order(windows.room, each, together=windows.source.dear, **options)


def _to_jax(batch: dict[str, Any]) -> dict[str, Any]:
    import jax.numpy as jnp

    arrays = {name: value for name, value in batch.items() if isinstance(value, np.ndarray)}
    return batch | {name: jnp.asarray(array) for name, array in arrays.items()}
