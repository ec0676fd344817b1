"""From files to the file table."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from entense.errors import TableError
from entense.index.entities import ENTITIES, FILE_COLUMNS, IDENTIFYING
from entense.index.layouts import Layout, layouts, register_layout
from entense.index.layouts.fmriprep import FMRIPREP  # importing it registers it
from entense.index.parse import parse
from entense.index.walk import walk

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "ENTITIES",
    "FILE_COLUMNS",
    "FMRIPREP",
    "IDENTIFYING",
    "Layout",
    "register_layout",
    "scan",
]

_GENERIC = {"fmriprep", "derivatives"}  # folder names that do not tell one dataset from another


def scan(
    root: str | Path | Sequence[str | Path],
    layout: str | Layout = "fmriprep",
    *,
    dataset: str | None = None,
) -> pl.LazyFrame:
    """Index a dataset: a table with a row for each of its files.

    Parameters
    ----------
    root
        A folder, or several that together hold one dataset.
    layout
        How its files are named: the name of a registered layout, or a layout.
    dataset
        The label of the dataset; by default the name of the first folder, or of its nearest
        parent that is not just ``fmriprep`` or ``derivatives``.

    Returns
    -------
    LazyFrame
        Columns ``dataset``, ``path`` (absolute), the BIDS entities (labels without prefix, null
        where absent), ``suffix``, ``extension`` and ``datatype``; all strings, sorted by path
        within a folder. Only files of subjects are in it.

    Raises
    ------
    TableError
        A folder does not exist, cannot be read, is empty, or holds nothing that the layout knows.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     Path(folder, "sub-01_task-rest_desc-preproc_bold.nii.gz").touch()
    ...     scan(folder, dataset="mine").select("dataset", "subject", "task").collect().row(0)
    ('mine', '01', 'rest')
    """
    names = layouts[layout] if isinstance(layout, str) else layout
    folders = [_folder(one) for one in ([root] if isinstance(root, str | Path) else root)]
    if not folders:
        raise TableError("scan was given an empty list of folders; name at least one")
    label = pl.lit(dataset or _label(folders[0])).alias("dataset")
    tables = [_index(folder, names).with_columns(label).select(FILE_COLUMNS) for folder in folders]
    return pl.concat(tables).unique("path", keep="first", maintain_order=True).lazy()


def _folder(root: str | Path) -> str:
    if re.match(r"\w[\w+.-]+:/", str(root)):
        raise TableError(f"{root} is not a local folder: mount it, or copy it to this machine")
    folder = os.path.abspath(root)  # noqa: PTH100 (a Path would cost its links their names)
    if not Path(folder).is_dir():
        raise TableError(f"there is no folder {folder}; give the folder that holds the dataset")
    return folder


def _label(folder: str) -> str:
    path = Path(folder).resolve()
    named = (one.name for one in (path, *path.parents) if one.name not in _GENERIC)
    return next(named) or path.name


def _index(folder: str, layout: Layout) -> pl.DataFrame:
    files = pl.Series("path", list(walk(folder, skip=layout.skip)), pl.String).sort()
    if files.is_empty():
        raise TableError(f"{folder} holds no files; give the folder that holds the dataset")
    table = parse("/" + files, layout).with_columns(path=folder + "/" + files)
    known = table.filter(pl.col("suffix").is_not_null())
    if known.is_empty():
        raise TableError(
            f"{folder} does not look like a BIDS derivative: it holds {_some(files)}, and nothing "
            f"named like {layout.expected}; give the output folder of {layout.name}"
        )
    return known


def _some(files: pl.Series) -> str:
    names = files.head(3).to_list()
    more = f" and {len(files) - 3} more" if len(files) > 3 else ""
    return ", ".join(names) + more
