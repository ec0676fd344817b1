"""The words of the formulas: shorthands, families of numbered columns, fMRIPrep's own names."""

from __future__ import annotations

import re
from difflib import get_close_matches
from typing import NamedTuple

MOTION = tuple(f"{kind}_{axis}" for kind in ("trans", "rot") for axis in "xyz")

SHORTHAND: dict[str, tuple[str, ...]] = {
    "rps": MOTION,
    "wm": ("white_matter",),
    "csf": ("csf",),
    "gsr": ("global_signal",),
    "gs": ("global_signal",),
    "fd": ("framewise_displacement",),
    "dv": ("std_dvars",),
}


class Family(NamedTuple):
    """Numbered columns: what their names begin with, and what the sidecar must say of them."""

    stems: tuple[str, ...]
    filters: tuple[tuple[str, tuple[str, ...]], ...] = ()
    may_lack: bool = False  # fMRIPrep writes none where there is nothing to write


# until fMRIPrep 21 the components of every mask were called a_comp_cor
_ANATOMICAL = ("a_comp_cor_", "c_comp_cor_", "w_comp_cor_")
FAMILIES: dict[str, Family] = {
    "acc": Family(_ANATOMICAL, (("Mask", ("combined",)),)),
    "ccc": Family(_ANATOMICAL, (("Mask", ("CSF",)),)),
    "wcc": Family(_ANATOMICAL, (("Mask", ("WM",)),)),
    "tcc": Family(("t_comp_cor_",)),
    "aroma": Family(("aroma_motion_",)),
    "cosine": Family(("cosine",), may_lack=True),
    "nss": Family(("non_steady_state_outlier",), may_lack=True),
}
FACTS = (
    *("Mask", "Retained", "MotionNoise", "Method"),
    *("SingularValue", "VarianceExplained", "CumulativeVarianceExplained"),
)

_NUMBERED = {stem.rstrip("_") for family in FAMILIES.values() for stem in family.stems}
STEMS = {
    *MOTION,
    *("csf", "white_matter", "global_signal", "csf_wm", "tcompcor"),
    *("framewise_displacement", "std_dvars", "dvars", "vx_wise_std_dvars", "rmsd"),
    *("motion_outlier", "edge_comp", "aroma_orth_motion", *_NUMBERED),
}


def stem_of(name: str) -> str:
    """Return what a column's name begins with, less orders and numbers.

    Examples
    --------
    >>> stem_of("trans_x_derivative1_power2"), stem_of("a_comp_cor_07")
    ('trans_x', 'a_comp_cor')
    """
    return re.sub(r"_?\d*$", "", re.sub(r"(_(derivative|power)\d+)*$", "", name))


def meant(name: str, known: list[str]) -> str | None:
    """Return the known word that a name misspells; None where it is too far from all."""
    lower = {one.lower(): one for one in reversed(known)}
    close = get_close_matches(name.lower(), lower, n=1, cutoff=0.75)
    return lower[close[0]] if close else None
