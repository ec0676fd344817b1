"""From files to the file table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from entense.errors import TableError
from entense.index.detect import read_files
from entense.index.entities import ENTITIES, FILE_SCHEMA, IDENTIFYING
from entense.index.layouts import Layout, register_layout
from entense.index.layouts.bids import BIDS  # importing it registers it
from entense.index.layouts.fmriprep import FMRIPREP
from entense.index.layouts.hcp import HCP
from entense.index.tree import Tree, open_tree

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = [
    "BIDS",
    "ENTITIES",
    "FILE_SCHEMA",
    "FMRIPREP",
    "HCP",
    "IDENTIFYING",
    "Layout",
    "register_layout",
    "scan",
]


def scan(
    root: str | Path | Sequence[str | Path],
    layout: str | Layout | None = None,
    *,
    files: Iterable[str | Path] | pl.Series | None = None,
    dataset: str | None = None,
    storage_options: Mapping[str, object] | None = None,
) -> pl.LazyFrame:
    """Index a dataset: a table with a row for each of its files.

    Parameters
    ----------
    root
        A folder or the URL of one, or several that together hold one dataset.
    layout
        How its files are named: the name of a registered layout, or a layout. None finds out, for
        each folder by itself: by the sign of a layout, else ``bids`` where any file has a BIDS
        name, else the first that fits. What a folder was taken for is logged to ``entense``, as a
        warning where it is neither ``bids`` nor ``fmriprep``.
    files
        The paths below `root`, where they are known already; nothing is walked then.
    dataset
        The label of the dataset; by default the name of the first folder, or of its nearest
        parent that is not just ``fmriprep`` or ``derivatives``.
    storage_options
        What the file system of a URL is to be told, as fsspec has it.

    Returns
    -------
    LazyFrame
        Columns ``dataset``, ``root`` (the folder or URL that was scanned), ``path`` (absolute), the
        BIDS entities (labels without prefix, null where absent), ``suffix``, ``extension`` and
        ``datatype``, all strings, and ``others``, a map of the entities that BIDS does not know;
        sorted by path within a folder. A file is in it whose name has an entity, and a JSON file
        at the top; those that name no subject, ``task-rest_bold.json``, speak for many.

    Raises
    ------
    TableError
        A folder does not exist, cannot be read, is empty, holds no file of a subject that the
        layout knows, or a name that is not UTF-8.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     Path(folder, "sub-01_task-rest_desc-preproc_bold.nii.gz").touch()
    ...     scan(folder, dataset="mine").select("dataset", "subject", "task").collect().row(0)
    ('mine', '01', 'rest')
    >>> scan("/ds", files=["sub-01/func/sub-01_bold.nii"]).collect()["path"].item()
    '/ds/sub-01/func/sub-01_bold.nii'
    """
    if not isinstance(root, str | Path | Sequence):
        raise TableError(f"scan takes a folder, a URL, or a list of these, not {root!r}")
    roots = [root] if isinstance(root, str | Path) else list(root)
    if not roots:
        raise TableError("scan was given an empty list of folders; name at least one")
    if files is not None and len(roots) > 1:
        raise TableError("files= lists what is below one folder: scan each by itself, then concat")
    trees = [open_tree(one, files, storage_options) for one in roots]
    if storage_options and not any(tree.remote for tree in trees):
        raise TableError("storage_options= are for URLs, and no root is one: leave them out")
    label = pl.lit(dataset or trees[0].label)
    tables = [_index(tree, layout).with_columns(dataset=label) for tree in trees]
    table = pl.concat([one.select(*FILE_SCHEMA) for one in tables])
    if len(trees) > 1:  # a path is there twice in no tree alone
        table = table.unique("path", keep="first", maintain_order=True)
    return table.lazy()


def _index(tree: Tree, layout: str | Layout | None) -> pl.DataFrame:
    files = read_files(tree, layout)
    return files.with_columns(path=tree.full(pl.col("path")), root=pl.lit(tree.root))
