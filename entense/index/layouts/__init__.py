"""Layouts: how a tool names the files that it writes, as data."""

from __future__ import annotations

from dataclasses import dataclass

from entense.registry import Registry


@dataclass(frozen=True)
class Layout:
    r"""How the files of a dataset are named.

    Every layout is brought to one form, the file names of BIDS (``sub-01_task-rest_bold.nii.gz``):
    `paths` and `renames` say how, and the entities are then read from there, for every layout into
    the same columns. The file table keeps the true path.

    Parameters
    ----------
    name
        What users call it: ``scan(root, layout="fmriprep")``.
    expected
        An example of its files, for the message to someone who scans another kind of folder.
    skip
        Names of folders that hold no data; not entered, at any depth.
    renames
        Pairs of a regular expression (Rust syntax) and its replacement, applied in order to what
        follows subject and session in a name, ``_task-rest_bold.nii.gz``.
    paths
        Pairs as in `renames`, applied before them to the whole path below the folder that is
        scanned, ``/01/rest/bold.nii``: for layouts whose folders tell the subject.

    Examples
    --------
    >>> Layout("mine", expected="sub-01_task-rest_bold.nii", renames=((r"_fmri\.", "_bold."),)).name
    'mine'
    >>> to_bids = (r"^/([^/]+)/([^/]+)/bold\.nii$", "/func/sub-${1}_task-${2}_bold.nii")
    >>> Layout("folders", expected="01/rest/bold.nii", paths=(to_bids,)).name
    'folders'
    """

    name: str
    expected: str
    skip: frozenset[str] = frozenset()
    renames: tuple[tuple[str, str], ...] = ()
    paths: tuple[tuple[str, str], ...] = ()


layouts: Registry[Layout] = Registry("layout")
"""The layouts that `scan` knows by name."""


def register_layout(layout: Layout) -> Layout:
    """Make `layout` known to `scan` by its name.

    Raises
    ------
    EntenseError
        The name is taken.

    Examples
    --------
    >>> register_layout(Layout("raw-example", expected="sub-01_bold.nii.gz")).name
    'raw-example'
    """
    return layouts.add(layout.name, layout)
