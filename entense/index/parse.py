"""From paths to entities: string expressions, no loop over files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from entense.index.entities import ENTITIES, OTHERS

if TYPE_CHECKING:
    from entense.index.layouts import Layout

# …/func/sub-01_ses-a_task-rest_bold.nii.gz: the folder, subject, session, and the rest of the name
_NAME = r"([^/]*)/sub-(?P<subject>[^_/.]+)(?:_ses-(?P<ses>[^_/.]+))?(?P<rest>_[^/]+)$"
_ENDING = r"_(?P<suffix>[^-_./]+)(?P<extension>\.[^/]+)$"
_DATATYPES = (
    *("anat", "func", "dwi", "fmap", "perf", "meg", "eeg", "ieeg"),
    *("beh", "pet", "micr", "nirs", "motion", "mrs"),
)


def parse(paths: pl.Series, layout: Layout) -> pl.DataFrame:
    """Read the entities, suffix, extension and datatype of each path.

    Parameters
    ----------
    paths
        Paths below the root, strings of the form ``/sub-01/func/sub-01_task-rest_bold.nii.gz``.
    layout
        How they are named.

    Returns
    -------
    DataFrame
        A row a path; all null where the path is not a subject's file. Of an entity that a name
        has twice, the first counts.

    Examples
    --------
    >>> from entense.index.layouts.fmriprep import FMRIPREP
    >>> row = parse(pl.Series(["/sub-01/func/sub-01_run-2_desc-preproc_bold.nii.gz"]), FMRIPREP)
    >>> row.select("subject", "run", "suffix", "extension", "datatype").row(0)
    ('01', '2', 'bold', '.nii.gz', 'func')
    """
    for pattern, replacement in layout.paths:
        paths = paths.str.replace(pattern, replacement)
    files = paths.str.extract_groups(_NAME).struct.unnest()
    # subjects and sessions apart, names repeat: each distinct one is parsed once
    rests = files.select("rest").unique().with_columns(today=_today(layout))
    rests = rests.select("rest", *_entity_columns()).unnest("ending").drop_nulls("suffix")
    return files.join(rests, on="rest", how="left", maintain_order="left").select(
        _known("subject"),
        _known(pl.coalesce("ses", "session").alias("session")),
        *(entity for entity in ENTITIES if entity not in ("subject", "session")),
        "suffix",
        "extension",
        _known(pl.col("1").replace_strict(_DATATYPES, _DATATYPES, default=None).alias("datatype")),
        pl.lit(None, OTHERS).alias("others"),
    )


def _known(value: str | pl.Expr) -> pl.Expr:
    column = pl.col(value) if isinstance(value, str) else value
    return pl.when(pl.col("suffix").is_not_null()).then(column)


def _today(layout: Layout) -> pl.Expr:
    name = pl.col("rest")
    for pattern, replacement in layout.renames:
        name = name.str.replace(pattern, replacement)
    return name


def _entity_columns() -> list[pl.Expr]:
    name = pl.col("today")
    return [
        name.str.extract(f"_{prefix}-([^_./]+)").alias(entity)
        for entity, prefix in ENTITIES.items()
        if entity != "subject"
    ] + [name.str.extract_groups(_ENDING).alias("ending")]
