"""The files below a folder, as fast as the operating system lists them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from entense.errors import TableError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator


_OF_DATA = frozenset(
    "nii gz gii json tsv csv txt bval bvec h5 mat npy svg html fif ds zarr".split()  # noqa: SIM905
)
"""How names of data end; `.ds` and `.zarr` are folders that stand for one file."""


def walk(root: str, *, skip: Collection[str] = frozenset()) -> Iterator[str]:
    """Yield the path below `root` of every file, in no particular order.

    Hidden names and the folders named in `skip` are left out. Links to files are files, whether or
    not they lead anywhere (DataLad's dangle until their content is fetched). Links to folders are
    followed, and no folder is entered twice, so that a link in a cycle ends.

    Parameters
    ----------
    root
        A folder.
    skip
        Names of folders that are not entered, at any depth.

    Raises
    ------
    TableError
        A folder cannot be read.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     (pathlib.Path(folder) / "sub-01_bold.nii").touch()
    ...     list(walk(folder))
    ['sub-01_bold.nii']
    """
    top = os.path.realpath(root)
    folders, links, seen = [("", top)], list[tuple[str, str]](), set[str]()
    while folders or links:  # links last: a folder goes by its real name where it has one here
        below, real = (folders or links).pop()
        if real in seen:
            continue
        seen.add(real)
        for entry in _entries(f"{root}/{below}"):
            name = entry.name
            if name.startswith("."):
                continue
            if entry.is_dir(follow_symlinks=False):
                if name not in skip:
                    folders.append((f"{below}{name}/", f"{real}/{name}"))
            elif entry.is_symlink() and _leads_to_folder(entry):
                target = os.path.realpath(entry.path)
                if name not in skip and not f"{top}/".startswith(f"{target}/"):
                    links.append((f"{below}{name}/", target))
            else:
                yield below + name


def _entries(folder: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError as error:
        raise _unreadable(folder, error) from error


def _leads_to_folder(link: os.DirEntry[str]) -> bool:
    if "_" in link.name and link.name.rpartition(".")[2] in _OF_DATA:
        return False  # named as data are: annexed trees are links throughout, asking each is slow
    try:
        return link.is_dir()
    except OSError as error:
        raise _unreadable(link.path, error) from error


def _unreadable(path: str, error: OSError) -> TableError:
    return TableError(
        f"{path} cannot be read ({error.strerror}): give yourself access to it, or move it out of "
        "the folder that is scanned"
    )
