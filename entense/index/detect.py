"""Which layout a folder has."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING

import polars as pl

from entense.errors import TableError
from entense.index.layouts import Layout, layouts
from entense.index.layouts.bids import BIDS
from entense.index.layouts.fmriprep import FMRIPREP
from entense.index.layouts.hcp import HCP
from entense.index.parse import known

if TYPE_CHECKING:
    from entense.index.tree import Tree

_LOG = logging.getLogger("entense")
_OURS = (BIDS, FMRIPREP, HCP)


def read_files(tree: Tree, layout: str | Layout | None) -> pl.DataFrame:
    """Read the names of the files below a root that a layout knows.

    Parameters
    ----------
    tree
        The files.
    layout
        Their layout or its name; None finds out: the first whose sign a path matches, else the
        first that knows a file of a subject.

    Returns
    -------
    DataFrame
        As `parse` makes it, and ``path``, below the root.

    Raises
    ------
    TableError
        No layout knows a file of a subject, or a layout has an expression that is none.

    Examples
    --------
    >>> from entense.index.tree import Tree
    >>> names = pl.Series(["sub-01/func/sub-01_bold.nii", "README"])
    >>> tree = Tree("/ds", remote=False, found={frozenset(): names})
    >>> read_files(tree, None).select("path", "subject").rows()
    [('/sub-01/func/sub-01_bold.nii', '01')]
    """
    tried = _tried(layout)
    if layout is None:
        tree.files(FMRIPREP.skip)  # bids leaves out more: one walk serves both
    for one, sign in tried:
        files = _read(tree, one, sign)
        if files is not None and files["subject"].count():
            if layout is None:
                _say(tree.root, one)
            return files
    raise _unknown(tree, dict.fromkeys(one for one, _ in tried))


def _tried(layout: str | Layout | None) -> list[tuple[Layout, str]]:
    if layout is not None:
        return [(layouts[layout] if isinstance(layout, str) else layout, "")]
    own = [layouts[name] for name in layouts if layouts[name] not in _OURS]
    signed = [(one, one.sign) for one in (*own, *_OURS) if one.sign]
    return signed + [(one, "") for one in (*_OURS, *own)]


def _read(tree: Tree, layout: Layout, sign: str) -> pl.DataFrame | None:
    files = "/" + tree.files(layout.skip)
    try:
        return known(files, layout) if files.str.contains(sign).any() else None
    except pl.exceptions.ComputeError as error:
        raise TableError(
            f"the layout {layout.name!r} has an expression that cannot be read; mend it: {error}"
        ) from error


def _say(root: str, layout: Layout) -> None:
    level = logging.INFO if layout in (BIDS, FMRIPREP) else logging.WARNING
    _LOG.log(level, "%s was taken for layout=%r, which scan can be told", root, layout.name)


def _unknown(tree: Tree, tried: dict[Layout, None]) -> TableError:
    files = tree.files()
    if files.is_empty():
        return _empty(tree.root)
    expected = " or ".join(f"{one.expected} ({one.name})" for one in tried)
    return TableError(
        f"{tree.root} does not look like a BIDS derivative: it holds {_some(files)}, and nothing "
        f"named like {expected}; give the output folder of the pipeline, or declare how its files "
        "are named (et.Layout)"
    )


def _empty(root: str) -> TableError:
    hidden = next((f"{at}/{names[0]}" for at, _, names in os.walk(root) if names), None)
    if hidden is None:
        return TableError(f"{root} holds no files; give the folder that holds the dataset")
    return TableError(
        f"{root} holds only hidden files, such as {hidden}, as a copy that was cut off leaves "
        "them; copy the dataset again"
    )


def _some(files: pl.Series) -> str:
    names = files.head(3).to_list()
    more = f" and {len(files) - 3} more" if len(files) > 3 else ""
    return ", ".join(names) + more
