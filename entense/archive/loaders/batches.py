"""One batch, read: every item into its place, and what cannot be read left out and noted."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from entense.archive.loaders.source import Skipped
from entense.archive.table import PACKED
from entense.errors import ArchiveError, RecordError, StaleError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from entense.archive.loaders.source import Reader, Source
    from entense.archive.loaders.windows import Windows

SHAPE = "_shape"
PADDED = 2**28  # bytes of a batch that may be zeros, however little there is between them


def read_batch(
    windows: Windows,
    read: Reader,
    records: NDArray[np.int64],
    starts: NDArray[np.int64],
    *,
    empty: Callable[..., NDArray[Any]] = np.empty,
    pads: bool = False,
    skips: bool = False,
) -> tuple[dict[str, Any], list[Skipped]]:
    """Return the items that begin at `starts` in `records`, stacked, and what was left out.

    Where it `pads`, each tensor has the extents of the largest, with zeros behind the others (and
    behind what is shorter than a window), and ``<tensor>_shape``, (batch, dims), says how large
    each is.
    """
    source = windows.source
    there, missing = _tried(
        lambda number, _: source.check(int(records[number])), source, records, skips=skips
    )
    records, starts = records[there], starts[there]
    rooms = {name: windows.extents[name][records] for name in source.tensors}
    shapes = {name: np.minimum(room, source.shapes[name][records]) for name, room in rooms.items()}
    if pads:
        _check_room(source, rooms, shapes)
    batch: dict[str, Any] = {
        name: empty((len(records), *rooms[name].max(axis=0, initial=0).tolist()), kind.dtype)
        for name, kind in source.tensors.items()
    }

    def fill(number: int, place: int) -> None:
        record, start = int(records[number]), int(starts[number])
        for name, array in batch.items():
            begin = start if windows.is_cut(name) else 0
            shape = shapes[name][number].tolist()
            _fill(array[place : place + 1], shape, partial(read, record, name), begin)

    kept, damaged = _tried(fill, source, records, skips=skips)
    batch = {name: array[: len(kept)] for name, array in batch.items()}
    if pads:
        batch |= {f"{name}{SHAPE}": shape[kept] for name, shape in shapes.items()}
    batch |= {name: _values(column[records[kept]]) for name, column in source.columns.items()}
    return batch | {"start": starts[kept]}, missing + damaged


def _tried(
    act: Callable[[int, int], None], source: Source, records: NDArray[np.int64], *, skips: bool
) -> tuple[list[int], list[Skipped]]:
    """Act on each item, ``act(number, how many were kept)``; return which are kept, and the rest.

    What is raised goes on, unless it `skips`.
    """
    kept: list[int] = []
    skipped = []
    for number, record in enumerate(records.tolist()):
        try:
            act(number, len(kept))
        except StaleError:
            raise
        except (ArchiveError, RecordError) as error:
            if not skips:
                raise
            skipped.append(Skipped(source.columns["record"][record], str(error)))
        else:
            kept.append(number)
    return kept, skipped


def _check_room(
    source: Source,
    rooms: Mapping[str, NDArray[np.int64]],
    shapes: Mapping[str, NDArray[np.int64]],
) -> None:
    """Raise where padding would take much more memory than what is padded, before it is taken."""
    for name, kind in source.tensors.items():
        due = len(rooms[name]) * math.prod(rooms[name].max(axis=0, initial=0).tolist())
        held = shapes[name].prod(axis=1, dtype=float).sum()
        if due * kind.dtype.itemsize > max(PADDED, PACKED * held * kind.dtype.itemsize):
            raise ArchiveError(
                f"padded, {name!r} would take {due * kind.dtype.itemsize / 2**30:,.1f} GiB a batch "
                "and be mostly zeros, so much do its records differ in shape; give "
                'ragged="bucket", a shorter window=, or a smaller batch_size='
            )


def check_free(windows: Windows) -> None:
    """Raise where something has the name that the shapes of a padded tensor need."""
    source = windows.source
    for name in source.tensors:
        if f"{name}{SHAPE}" in {*source.tensors, *source.columns}:
            raise ArchiveError(
                f'ragged="pad" and short="pad" put the shapes of {name!r} into {name + SHAPE!r}, '
                "which is there already; rename it"
            )


def _fill(
    place: NDArray[Any],
    shape: list[int],
    read: Callable[[int, int, NDArray[Any]], None],
    start: int,
) -> None:
    """Read an array of this shape into its place, (1, …), and zeros where it does not reach."""
    if not shape:
        return read(0, 1, place)
    if tuple(shape) != place.shape[1:]:
        place[...] = 0
    part = place[0][tuple(slice(size) for size in shape)]
    out = part if part.flags.c_contiguous else np.empty(shape, place.dtype)
    read(start, start + shape[0], out)
    if out is not part:
        part[...] = out
    return None


def _values(column: NDArray[Any]) -> NDArray[Any] | list[str | None]:
    return column.tolist() if column.dtype == object else column
