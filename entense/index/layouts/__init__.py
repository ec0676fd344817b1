"""Layouts: how a tool names the files that it writes, as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import InitVar, dataclass

from entense.errors import TableError
from entense.index.layouts.templates import compile_template
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
        An example of its files, for the message to someone who scans another kind of folder; by
        default the first template.
    skip
        Names of folders that hold no data; not entered, at any depth.
    sign
        A regular expression that some path matches in a folder of this layout and in no other's:
        ``scan`` takes the folder for it then. Without one, the layout is tried after those that
        have one.
    renames
        Pairs of a regular expression (Rust syntax) and its replacement, applied in order to what
        follows subject and session in a name, ``_task-rest_bold.nii.gz``.
    paths
        Pairs as in `renames`, applied before them to the whole path below the folder that is
        scanned, ``/01/rest/bold.nii``: for layouts whose folders tell the subject.
    templates
        Path below the folder, with ``{entity}`` in the place of each label -> labels that all such
        files have: `paths` for those who would rather not write expressions. The first that fits
        counts. ``{suffix}``, ``{extension}`` and ``{datatype}`` can be told by a path, too.

    Raises
    ------
    TableError
        A template names what is no entity or does not tell the subject, the suffix or the
        extension; there is neither an example nor a template.

    Examples
    --------
    >>> Layout("mine", expected="sub-01_task-rest_bold.nii", renames=((r"_fmri\.", "_bold."),)).name
    'mine'
    >>> to_bids = (r"^/([^/]+)/([^/]+)/bold\.nii$", "/func/sub-${1}_task-${2}_bold.nii")
    >>> Layout("folders", expected="01/rest/bold.nii", paths=(to_bids,)).name
    'folders'
    >>> Layout("same", templates={"{subject}/{task}/{suffix}.nii": {"datatype": "func"}}).expected
    '{subject}/{task}/{suffix}.nii'
    """

    name: str
    expected: str = ""
    skip: frozenset[str] = frozenset()
    renames: tuple[tuple[str, str], ...] = ()
    paths: tuple[tuple[str, str], ...] = ()
    sign: str = ""
    templates: InitVar[Mapping[str, Mapping[str, str]] | None] = None

    def __post_init__(self, templates: Mapping[str, Mapping[str, str]] | None) -> None:
        if not isinstance(templates, Mapping | None):
            raise TableError("templates= is a dict: a template, and what its files are")
        made = [compile_template(*item) for item in (templates or {}).items()]
        object.__setattr__(self, "paths", (*self.paths, *made))
        object.__setattr__(self, "expected", self.expected or next(iter(templates or ()), ""))
        if not self.expected:
            raise TableError(f"the layout {self.name!r} needs expected=, an example of its files")


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
