"""The files below one root: on disk, at a URL, or as an inventory lists them."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from entense.errors import TableError
from entense.index.fetch import around, is_url, register_storage, walk_url
from entense.index.walk import walk

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_COLLAPSED = re.compile(r"^(\w[\w+.-]+):/(?=[^/])")  # what a Path makes of the start of a URL
_HIDDEN = r"(?:^|/)\."
_ELSEWHERE = r"^/|^[\w+.-]+://|(?:^|/)\.\.(?:/|$)"
_GENERIC = {"fmriprep", "derivatives"}  # folder names that do not tell one dataset from another


@dataclass
class Tree:
    """The files below a root, found once for all layouts that leave out at least the same folders.

    Parameters
    ----------
    root
        An absolute path, or a URL.
    remote
        Whether it is a URL.
    found
        Names of the folders left out -> the sorted paths, below the root, that were found then.

    Examples
    --------
    >>> tree = Tree("/ds", remote=False, found={frozenset(): pl.Series(["log/a", "sub-01/b"])})
    >>> tree.files(frozenset({"log"})).to_list()
    ['sub-01/b']
    """

    root: str
    remote: bool
    found: dict[frozenset[str], pl.Series] = field(default_factory=dict)

    def files(self, skip: frozenset[str] = frozenset()) -> pl.Series:
        """List the files that lie in none of the folders named in `skip`."""
        for left_out, files in self.found.items():
            if left_out <= skip:
                return _outside(files, skip - left_out)
        self.found[skip] = _text(self.root, list(self._walk(skip))).sort()
        return self.found[skip]

    def _walk(self, skip: frozenset[str]) -> Iterable[str]:
        return (walk_url if self.remote else walk)(self.root, skip=skip)

    def full(self, below: pl.Expr) -> pl.Expr:
        """Put the root before paths that begin with ``/``; in a chained URL, into its first link.

        Examples
        --------
        >>> tree = Tree("zip://::s3://bucket/ds.zip", remote=True)
        >>> pl.select(tree.full(pl.lit("/sub-01/b"))).item()
        'zip://sub-01/b::s3://bucket/ds.zip'
        """
        before, after = around(self.root) if self.remote else (f"{self.root}/", "")
        return pl.concat_str(pl.lit(before.removesuffix("/")), below, pl.lit(after))

    @property
    def label(self) -> str:
        """The name of the root, or of its nearest parent that is not just ``fmriprep``."""
        path = Path(self.root) if self.remote else Path(self.root).resolve()
        named = (one.name for one in (path, *path.parents) if one.name not in _GENERIC)
        label = next(named) or path.name
        if not _is_text(label):
            raise _not_text(str(path))
        return label


def open_tree(
    root: str | Path,
    files: Iterable[str | Path] | pl.Series | None = None,
    options: Mapping[str, object] | None = None,
) -> Tree:
    """Look at a root; where an inventory says what is below, that is believed.

    Parameters
    ----------
    root
        A folder, or a URL.
    files
        The paths below it; found out when they are needed, by default.
    options
        What the file system of a URL is to be told.

    Raises
    ------
    TableError
        There is no such folder, a name is not UTF-8, or a file lies elsewhere.

    Examples
    --------
    >>> open_tree("/ds", ["sub-01/a", "/ds/sub-01/b", "sub-01/.c"]).files().to_list()
    ['sub-01/a', 'sub-01/b']
    """
    where = _COLLAPSED.sub(r"\1://", os.fspath(root))
    remote = is_url(where)
    where = _url(where, options) if remote else _folder(where, must_exist=files is None)
    found = {} if files is None else {frozenset[str](): _inventory(where, files)}
    return Tree(where, remote, found)


def _url(root: str, options: Mapping[str, object] | None) -> str:
    root = root if root.endswith("://") else root.rstrip("/")
    if options:
        register_storage(root.rpartition("::")[2], options)  # of a chain, where its bytes are
    return root


def _folder(root: str, *, must_exist: bool) -> str:
    folder = os.path.abspath(root)  # noqa: PTH100 (a Path would cost its links their names)
    if not _is_text(folder):
        raise _not_text(folder)
    if must_exist and not Path(folder).is_dir():
        raise TableError(f"there is no folder {folder}; give the folder that holds the dataset")
    return folder


def _inventory(root: str, files: Iterable[str | Path] | pl.Series) -> pl.Series:
    if isinstance(files, str | Path):
        raise TableError(f"files={str(files)!r} is one path: give a list of the paths below {root}")
    if isinstance(files, pl.Series) and files.dtype == pl.String:
        below = files
    else:
        names = [os.fspath(one) if isinstance(one, Path) else one for one in files]
        _check_below(root, [one for one in names if not isinstance(one, str)])
        below = _text(root, names)
    below = below.str.strip_prefix(root + "/").str.strip_prefix("./")
    _check_below(root, below.filter(below.is_null() | below.str.contains(_ELSEWHERE)))
    return below.filter(~below.str.contains(_HIDDEN)).unique().sort()


def _check_below(root: str, elsewhere: Sequence[object] | pl.Series) -> None:
    if len(elsewhere):
        raise TableError(f"files has {elsewhere[0]}, which is no path below {root}: leave it out")


def _outside(files: pl.Series, folders: frozenset[str]) -> pl.Series:
    if not folders:
        return files
    names = "|".join(map(pl.escape_regex, sorted(folders)))
    return files.filter(~files.str.contains(f"(?:^|/)(?:{names})/"))


def _text(root: str, names: list[str] | pl.Series) -> pl.Series:
    try:
        return pl.Series("path", names, pl.String)
    except UnicodeEncodeError:
        raise _not_text(*(f"{root}/{name}" for name in names if not _is_text(name))) from None


def _is_text(name: str) -> bool:
    return name.encode(errors="replace") == os.fsencode(name)


def _not_text(path: str, *others: str) -> TableError:
    more = f" (and {len(others)} more)" if others else ""
    return TableError(
        f"the name {os.fsencode(path)!r}{more} is not UTF-8: rename it, or move it out of the "
        "folder that is scanned"
    )
