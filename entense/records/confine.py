"""Tables that others made: which files their tensors may read."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

import polars as pl

from entense.errors import TableError
from entense.index.fetch.urls import is_url, protocols
from entense.tensors.graph import Node, walk
from entense.tensors.lazy import Lazy, field, tensor_columns

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from entense.records.frames import Frame

PACKED = ("zip", "tar")  # what holds the file that is meant
LOCAL = ("file", "local")


def confine(frame: Frame, roots: Sequence[str | Path]) -> Frame:
    """Return a table as it is, if its lazy tensors read no file outside some folders.

    A plan is a file, and whoever made it chose the paths in it: ask this of one that you did not
    make, before anything of it is opened.

    Parameters
    ----------
    frame
        A record table with lazy tensors.
    roots
        Folders, or URLs. A linked folder counts as what it links to, a linked file (as DataLad's
        are) as where the link lies.

    Raises
    ------
    TableError
        Where a tensor names a file that is below none of them.

    Examples
    --------
    >>> import entense as et
    >>> df = pl.DataFrame({"ts": ["/data/a.npy"]}).entense.transform(x=et.array("ts"))
    >>> confine(df, ["/data"]).columns
    ['ts', 'x']
    >>> confine(df, ["/other"])
    Traceback (most recent call last):
    ...
    entense.errors.TableError: the tensor 'x' reads /data/a.npy, which is below none of the roots \
given (/other); give its folder too, if you trust the table
    """
    below = [_place(f"{root}/_") for root in roots]
    allowed = [place.removesuffix("/_") for place in below if place]
    for name in tensor_columns(frame.collect_schema()):
        for path in sorted(_paths(frame, name)):
            place = _place(path)
            if place is None or not any(_is_below(place, root) for root in allowed):
                raise TableError(
                    f"the tensor {name!r} reads {path}, which is below none of the roots given "
                    f"({', '.join(map(str, roots))}); give its folder too, if you trust the table"
                )
    return frame


def _paths(frame: Frame, name: str) -> set[str]:
    """Return every file that a lazy column names."""
    dtype = frame.collect_schema()[name]
    assert isinstance(dtype, Lazy)  # noqa: S101  tensor_columns gives no other
    slots = sorted({slot for slot in _files(dtype.root) if slot in dtype.slots})
    cells = frame.lazy().select(field(name, slot).alias(slot) for slot in slots).collect()
    return set().union(*map(_strings, cells.iter_columns()))


def _files(root: Node) -> Iterator[str]:
    for node in walk(root):
        if node.op == "slot" and not node.params.get("param"):
            yield node.params["name"]


def _strings(values: pl.Series) -> set[str]:
    if isinstance(values.dtype, pl.List):
        return _strings(values.explode())
    if isinstance(values.dtype, pl.Struct):
        return set().union(*map(_strings, values.struct.unnest().iter_columns()))
    return set(values.drop_nulls().unique()) if values.dtype == pl.String else set()


def _place(path: str) -> str | None:
    """Return where a file really lies, its own link apart; None where that cannot be told."""
    if not is_url(path):
        folder, name = os.path.split(path.rstrip("/"))
        return None if name == ".." else str(Path(folder).resolve() / name)
    *packed, kind = protocols(path)
    last = path.rsplit("::", maxsplit=1)[-1]
    if any(one not in PACKED for one in packed):
        return None
    if kind in LOCAL:
        file = last.partition("://")[2] if is_url(last) else last
        return None if is_url(file) or not file else _place(file)
    return None if ".." in unquote(last).replace("\\", "/").split("/") else last.rstrip("/")


def _is_below(place: str, root: str) -> bool:
    return place == root or place.startswith(root.rstrip("/") + "/")
