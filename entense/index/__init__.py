"""From files to the file table."""

from __future__ import annotations

import logging
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from entense.errors import TableError
from entense.index.entities import ENTITIES, FILE_SCHEMA, IDENTIFYING
from entense.index.layouts import Layout, layouts, register_layout
from entense.index.layouts.fmriprep import FMRIPREP  # importing it registers it
from entense.index.layouts.hcp import HCP
from entense.index.parse import parse
from entense.index.walk import walk

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "ENTITIES",
    "FILE_SCHEMA",
    "FMRIPREP",
    "HCP",
    "IDENTIFYING",
    "Layout",
    "register_layout",
    "scan",
]

_LOG = logging.getLogger("entense")
_GENERIC = {"fmriprep", "derivatives"}  # folder names that do not tell one dataset from another


def scan(
    root: str | Path | Sequence[str | Path],
    layout: str | Layout | None = None,
    *,
    dataset: str | None = None,
) -> pl.LazyFrame:
    """Index a dataset: a table with a row for each of its files.

    Parameters
    ----------
    root
        A folder, or several that together hold one dataset.
    layout
        How its files are named: the name of a registered layout, or a layout. None finds out:
        ``fmriprep`` where any file fits it, else the first of the others, by name, that fits. What
        a folder was taken for is logged to ``entense``, as a warning where it is not ``fmriprep``.
    dataset
        The label of the dataset; by default the name of the first folder, or of its nearest
        parent that is not just ``fmriprep`` or ``derivatives``.

    Returns
    -------
    LazyFrame
        Columns ``dataset``, ``root`` (the folder that was scanned), ``path`` (absolute), the BIDS
        entities (labels without prefix, null where absent), ``suffix``, ``extension`` and
        ``datatype``, all strings, and ``others``, a map of the entities that BIDS does not know;
        sorted by path within a folder. Only files of subjects are in it.

    Raises
    ------
    TableError
        A folder does not exist, cannot be read, is empty, holds nothing that the layout knows, or
        a name that is not UTF-8.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     Path(folder, "sub-01_task-rest_desc-preproc_bold.nii.gz").touch()
    ...     scan(folder, dataset="mine").select("dataset", "subject", "task").collect().row(0)
    ('mine', '01', 'rest')
    """
    tried = _tried(layout)
    folders = [_folder(one) for one in ([root] if isinstance(root, str | Path) else root)]
    if not folders:
        raise TableError("scan was given an empty list of folders; name at least one")
    label = pl.lit(dataset or _label(folders[0])).alias("dataset")
    tables = [_index(folder, tried).with_columns(label).select(*FILE_SCHEMA) for folder in folders]
    return pl.concat(tables).unique("path", keep="first", maintain_order=True).lazy()


def _tried(layout: str | Layout | None) -> list[Layout]:
    if layout is None:
        return [FMRIPREP, *(layouts[name] for name in layouts if name != FMRIPREP.name)]
    return [layouts[layout] if isinstance(layout, str) else layout]


def _folder(root: str | Path) -> str:
    if re.match(r"\w[\w+.-]+:/", str(root)):
        raise TableError(f"{root} is not a local folder: mount it, or copy it to this machine")
    folder = os.path.abspath(root)  # noqa: PTH100 (a Path would cost its links their names)
    if not _is_text(folder):
        raise _not_text(folder)
    if not Path(folder).is_dir():
        raise TableError(f"there is no folder {folder}; give the folder that holds the dataset")
    return folder


def _label(folder: str) -> str:
    path = Path(folder).resolve()
    named = (one.name for one in (path, *path.parents) if one.name not in _GENERIC)
    label = next(named) or path.name
    if not _is_text(label):
        raise _not_text(str(path))
    return label


def _index(folder: str, tried: Sequence[Layout]) -> pl.DataFrame:
    for layout in tried:
        files = _files(folder, layout.skip)
        table = parse("/" + files, layout).with_columns(
            path=folder + "/" + files, root=pl.lit(folder)
        )
        known = table.filter(pl.col("suffix").is_not_null())
        if not known.is_empty():
            _say(folder, layout, tried)
            return known
    raise _unknown(folder, tried)


def _files(folder: str, skip: frozenset[str] = frozenset()) -> pl.Series:
    names = list(walk(folder, skip=skip))
    try:
        return pl.Series("path", names, pl.String).sort()
    except UnicodeEncodeError:
        raise _not_text(*(f"{folder}/{name}" for name in names if not _is_text(name))) from None


def _is_text(name: str) -> bool:
    return name.encode(errors="replace") == os.fsencode(name)


def _not_text(path: str, *others: str) -> TableError:
    more = f" (and {len(others)} more)" if others else ""
    return TableError(
        f"the name {os.fsencode(path)!r}{more} is not UTF-8: rename it, or move it out of the "
        "folder that is scanned"
    )


def _say(folder: str, layout: Layout, tried: Sequence[Layout]) -> None:
    if len(tried) > 1:
        level = logging.INFO if layout is tried[0] else logging.WARNING
        _LOG.log(level, "%s was taken for layout=%r, which scan can be told", folder, layout.name)


def _unknown(folder: str, tried: Sequence[Layout]) -> TableError:
    files = _files(folder)
    if files.is_empty():
        return TableError(f"{folder} holds no files; give the folder that holds the dataset")
    expected = " or ".join(f"{one.expected} ({one.name})" for one in tried)
    return TableError(
        f"{folder} does not look like a BIDS derivative: it holds {_some(files)}, and nothing "
        f"named like {expected}; give the output folder of the pipeline, or declare how its files "
        "are named (et.Layout)"
    )


def _some(files: pl.Series) -> str:
    names = files.head(3).to_list()
    more = f" and {len(files) - 3} more" if len(files) > 3 else ""
    return ", ".join(names) + more
