"""Datasets as BIDS names them: raw ones, and derivatives of any tool."""

from __future__ import annotations

from entense.index.entities import ENTITIES
from entense.index.layouts import Layout, register_layout
from entense.index.layouts.fmriprep import FMRIPREP

_DERIVED = {"template", "cohort", "space", "atlas", "segmentation", "scale", "resolution"}
_DERIVED |= {"density", "label", "desc", "from", "to", "mode"}  # no raw image has one of these
_RAW = "|".join(prefix for entity, prefix in ENTITIES.items() if entity not in _DERIVED)
_IMAGE = (
    r"bold|cbv|sbref|epi|phasediff|phase\d?|magnitude\d?|fieldmap|dwi|asl|m0scan|pet|meg|i?eeg|nirs"
    r"|T1w|T2w|T2starw|PDw|PDT2|FLAIR|inplaneT[12]|UNIT1|MP2RAGE|MEGRE|angio"
)
_KIND = r"nii(?:\.gz)?|fif|edf|bdf|vhdr|set|snirf"

BIDS = register_layout(
    Layout(
        name="bids",
        expected="sub-01/func/sub-01_task-rest_bold.nii.gz",
        skip=frozenset(
            (
                *("derivatives", "sourcedata", "code", "stimuli", "figures", "freesurfer"),
                *("log", "logs", "work"),
            )
        ),
        renames=FMRIPREP.renames,  # of old derivatives; names of today are left alone
        sign=rf"/sub-[^_/]+(?:_(?:{_RAW})-[^_./]+)*_(?:{_IMAGE})\.(?:{_KIND})$",
    )
)
"""Raw BIDS datasets, and derivatives of any tool."""
