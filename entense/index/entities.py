"""The entities of BIDS names: the one table of them."""

from __future__ import annotations

import polars as pl

ENTITIES: dict[str, str] = {
    "subject": "sub",
    "template": "tpl",
    "session": "ses",
    "cohort": "cohort",
    "sample": "sample",
    "task": "task",
    "tracksys": "tracksys",
    "acquisition": "acq",
    "nucleus": "nuc",
    "voi": "voi",
    "ceagent": "ce",
    "tracer": "trc",
    "stain": "stain",
    "reconstruction": "rec",
    "direction": "dir",
    "run": "run",
    "modality": "mod",
    "echo": "echo",
    "flip": "flip",
    "inversion": "inv",
    "mtransfer": "mt",
    "part": "part",
    "processing": "proc",
    "hemi": "hemi",
    "space": "space",
    "chunk_split": "split",  # `split` is the column that says train or test
    "chunk": "chunk",
    "atlas": "atlas",
    "segmentation": "seg",
    "scale": "scale",
    "resolution": "res",
    "density": "den",
    "label": "label",
    "desc": "desc",
    "from": "from",
    "to": "to",
    "mode": "mode",
    "recording": "recording",
}
"""Name of an entity (a column of the file table) -> its prefix in file names."""

IDENTIFYING: tuple[str, ...] = (
    "subject",
    "session",
    "task",
    "acquisition",
    "direction",
    "run",
    "echo",
    "part",
    "space",
    "resolution",
    "density",
)
"""The entities that say which record a file belongs to."""

NUMBERED: tuple[str, ...] = ("run", "echo")
"""The entities whose labels are numbers: ``run-1`` is ``run-01``."""

DATATYPES: tuple[str, ...] = (
    *("anat", "func", "dwi", "fmap", "perf", "meg", "eeg", "ieeg", "emg"),
    *("beh", "pet", "micr", "nirs", "motion", "mrs", "phenotype"),
)
"""The folders that BIDS has for kinds of data."""

OTHERS = pl.List(pl.Struct({"key": pl.String, "value": pl.String}))
"""A map of the entities that are not in `ENTITIES`, as Arrow lays out a map."""

FILE_SCHEMA: dict[str, pl.DataType] = {
    **dict.fromkeys(("dataset", "root", "path"), pl.String()),
    **dict.fromkeys(ENTITIES, pl.String()),
    **dict.fromkeys(("suffix", "extension", "datatype"), pl.String()),
    "others": OTHERS,
}
"""The columns of a file table, in their order, and their types."""
