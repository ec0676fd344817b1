"""Roles for the common cases: dictionaries, to be changed at will, for ``stage(**roles)``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from entense.records.staging.roles import Role, role

if TYPE_CHECKING:
    from collections.abc import Mapping

    Roles = dict[str, Mapping[str, object] | Role]

# an anatomical mask may be on another grid: where a run has none, it is missing
_MASK = {"suffix": "mask", "desc": "brain", "datatype": "func"}
_FIX = ("hp2000clean", "hp0clean")  # ICA-FIX: Young Adult; Aging and Development


def fmriprep(space: str | None = "MNI152NLin2009cAsym", *, resolution: str | None = None) -> Roles:
    """Name the roles of fMRIPrep's volumes: ``bold``, ``mask`` and ``confounds``.

    Parameters
    ----------
    space
        The template, or ``"T1w"``; None is the space of the run itself.
    resolution
        The label of the resolution, such as ``"2"``; all that there are by default, each of which
        makes records of its own.

    Examples
    --------
    >>> fmriprep("T1w")["bold"]
    {'suffix': 'bold', 'desc': 'preproc', 'space': 'T1w'}
    """
    where = {"space": space} | ({} if resolution is None else {"resolution": resolution})
    return {
        "bold": {"suffix": "bold", "desc": "preproc", **where},
        "mask": {**_MASK, **where},
        "confounds": _confounds(),
    }


def fmriprep_surface(space: str = "fsaverage5") -> Roles:
    """Name the roles of fMRIPrep's surfaces: ``bold``, both hemispheres, and ``confounds``.

    Parameters
    ----------
    space
        The surface: ``"fsaverage5"``, ``"fsaverage"``, ``"fsnative"``.

    Examples
    --------
    >>> fmriprep_surface()["bold"]["hemi"]
    ['L', 'R']
    """
    bold = {"suffix": "bold", "space": space, "hemi": ["L", "R"], "extension": ".func.gii"}
    return {"bold": bold, "confounds": _confounds()}


def fmriprep_cifti(density: str = "91k") -> Roles:
    """Name the roles of fMRIPrep's grayordinates: ``bold`` (dtseries) and ``confounds``.

    Parameters
    ----------
    density
        ``"91k"`` (91,282 grayordinates) or ``"170k"`` (170,494).

    Examples
    --------
    >>> fmriprep_cifti()["bold"]["density"]
    '91k'
    """
    return {"bold": _dtseries(density), "confounds": _confounds()}


def hcp(*, cleaned: bool | str = False) -> Roles:
    """Name the roles of HCP volumes: ``bold``, ``mask``, ``confounds`` and ``events``.

    ``confounds`` are the movement regressors; ``events`` are the EVs of task runs, a role of many
    files that may be lacking.

    Parameters
    ----------
    cleaned
        False is the minimally preprocessed run, True what ICA-FIX made of it; or the label of
        another cleaning as `scan` gives it, such as ``"hp2000cleanrcleantclean"``.

    Examples
    --------
    >>> hcp()["bold"]
    {'suffix': 'bold', 'desc': 'preproc', 'space': 'MNI152NLin6Asym'}
    """
    space = "MNI152NLin6Asym"
    desc = list(_FIX) if cleaned is True else cleaned or "preproc"
    return {
        "bold": {"suffix": "bold", "desc": desc, "space": space},
        "mask": {**_MASK, "space": space},
        **_beside_hcp(),
    }


def hcp_cifti(
    *, cleaned: bool | str = False, aligned: str | None = "MSMAll", density: str = "91k"
) -> Roles:
    """Name the roles of HCP grayordinates: ``bold`` (dtseries), ``confounds`` and ``events``.

    Parameters
    ----------
    cleaned
        As for `hcp`.
    aligned
        How the surfaces were registered; None is by folding alone (MSMSulc).
    density
        ``"91k"``, or ``"170k"`` for the 1.6 mm of 7T.

    Examples
    --------
    >>> hcp_cifti(cleaned=True)["bold"]["desc"]
    ['MSMAllhp2000clean', 'MSMAllhp0clean']
    """
    labels = _FIX if cleaned is True else (cleaned or "",)
    desc = [f"{aligned or ''}{label}" or None for label in labels]
    return {"bold": {**_dtseries(density), "desc": desc}, **_beside_hcp()}


def _confounds() -> Mapping[str, object]:
    return {"suffix": "timeseries", "desc": "confounds"}


def _dtseries(density: str) -> dict[str, object]:
    return {
        "suffix": "bold",
        "space": "fsLR",
        "density": density,
        "extension": ".dtseries.nii",
    }


def _beside_hcp() -> Roles:
    return {
        "confounds": {"suffix": "timeseries", "desc": "movement"},
        "events": role({"suffix": "events", "extension": ".txt"}, many=True, optional=True),
    }
