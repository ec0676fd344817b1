"""From paths to entities: string expressions, no loop over files."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Literal

import polars as pl

from entense.index.entities import DATATYPES, ENTITIES, FILE_SCHEMA

if TYPE_CHECKING:
    from entense.index.layouts import Layout

_LOG = logging.getLogger("entense")
_KEYS = "|".join(ENTITIES.values())
_NAME = (
    # …/func/sub-01_ses-a_task-rest_bold.nii.gz: the folder, subject, session, rest of the name
    r"([^/]*)/(?:sub-(?P<sub>[^_/.]+)(?:_ses-(?P<ses>[^_/.]+))?(?P<rest>_[^/]+)"
    # …/task-rest_bold.json, and /bold.json at the top, speak for many subjects
    rf"|(?P<shared>(?:{_KEYS})-[^/]+))$|^/(?P<top>[A-Za-z0-9]+\.json)$"
)
_OF_TABLES = ("participants.json", "samples.json")  # they speak of columns, not of images
_KEY = r"_[^-_./]+-"
_ENTITY = r"_(?P<key>[^-_./]+)-(?P<value>[^_./]+)"
_READ = {name: FILE_SCHEMA[name] for name in (*ENTITIES, "suffix", "extension", "others")}
_READ |= {"twice": pl.Boolean()}
_FIRST = ("subject", "session")  # what names begin with
_ENDING = r"_(?P<suffix>[^-_./]+)(?P<extension>\.[^/]+)$"


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
        A row a path; all null where its name has no entity, nor is a JSON file at the top. Of an
        entity that a name has twice the first counts; where the second differs, that is logged.

    Examples
    --------
    >>> from entense.index.layouts.fmriprep import FMRIPREP
    >>> row = parse(pl.Series(["/sub-01/func/sub-01_run-2_desc-preproc_bold.nii.gz"]), FMRIPREP)
    >>> row.select("subject", "run", "suffix", "extension", "datatype").row(0)
    ('01', '2', 'bold', '.nii.gz', 'func')
    """
    return _read(paths, layout, "left").drop("path")


def known(paths: pl.Series, layout: Layout) -> pl.DataFrame:
    """Read what `parse` reads, of those files alone whose name says something.

    Returns
    -------
    DataFrame
        The columns of `parse`, and ``path``, as it was given.

    Examples
    --------
    >>> from entense.index.layouts.fmriprep import FMRIPREP
    >>> known(pl.Series(["/README", "/dwi.json"]), FMRIPREP).select("path", "suffix").rows()
    [('/dwi.json', 'dwi')]
    """
    return _read(paths, layout, "inner")


def _read(paths: pl.Series, layout: Layout, how: Literal["left", "inner"]) -> pl.DataFrame:
    bids = paths
    for pattern, replacement in layout.paths:
        bids = bids.str.replace(pattern, replacement)
    top = pl.when(~pl.col("top").is_in(_OF_TABLES)).then("top")
    shared = pl.concat_str(pl.lit("_"), pl.coalesce("shared", top))
    files = bids.str.extract_groups(_NAME).struct.unnest()
    files = files.select("1", "sub", "ses", path=paths, rest=pl.coalesce("rest", shared))
    # subjects and sessions apart, names repeat: each distinct one is read once
    names = _names(files["rest"].drop_nulls().unique(), layout)
    table = files.join(names, on="rest", how=how, maintain_order="left")
    table = table.with_columns(_null(name) for name in _READ if name not in table.columns)
    _say_what_repeats(table)
    return table.select(
        "path",
        *(_first(entity) if entity in _FIRST else entity for entity in ENTITIES),
        "suffix",
        "extension",
        _known(pl.col("1").replace_strict(DATATYPES, DATATYPES, default=None)).alias("datatype"),
        "others",
    )


def _names(rests: pl.Series, layout: Layout) -> pl.DataFrame:
    """Read distinct names; what none of them has makes no column, which saves much memory."""
    today = pl.col("rest")
    for pattern, replacement in layout.renames:
        today = today.str.replace(pattern, replacement)
    names = pl.DataFrame({"rest": rests}, {"rest": pl.String}).with_columns(today=today)
    names = names.with_columns(keys=pl.col("today").str.extract_all(_KEY))
    read = names.select("rest", *_entity_columns(names)).unnest("ending").drop_nulls("suffix")
    pairs = _odd_pairs(names)
    read = read.join(_others(pairs), on="rest", how="left", maintain_order="left")
    read = read.with_columns(twice=pl.col("rest").is_in(_twice(pairs).implode()))
    return read.select(c for c in read if c.name == "rest" or c.null_count() < len(c))


def _entity_columns(names: pl.DataFrame) -> list[pl.Expr]:
    name, seen = pl.col("today"), set(names["keys"].explode().unique())
    return [
        name.str.extract(f"_{prefix}-([^_./]+)").alias(entity)
        for entity, prefix in ENTITIES.items()
        if f"_{prefix}-" in seen
    ] + [name.str.extract_groups(_ENDING).alias("ending")]


def _odd_pairs(names: pl.DataFrame) -> pl.DataFrame:
    """Take apart the few names with an entity twice or not of BIDS: a row an entity, in order."""
    keys = pl.col("keys").list
    is_known = pl.element().is_in([f"_{prefix}-" for prefix in ENTITIES.values()])
    odd = names.filter((keys.n_unique() < keys.len()) | ~keys.eval(is_known).list.all())
    pairs = odd.select("rest", pair=pl.col("today").str.extract_all(_ENTITY)).explode("pair")
    groups = pl.col("pair").str.extract_groups(_ENTITY)
    return pairs.drop_nulls().select("rest", groups).unnest("pair")


def _others(pairs: pl.DataFrame) -> pl.DataFrame:
    unknown = pairs.filter(~pl.col("key").is_in(list(ENTITIES.values())))
    return unknown.group_by("rest", maintain_order=True).agg(others=pl.struct("key", "value"))


def _twice(pairs: pl.DataFrame) -> pl.Series:
    return pairs.unique().filter(pl.struct("rest", "key").is_duplicated())["rest"]


def _null(name: str) -> pl.Expr:
    return pl.lit(None, _READ[name]).alias(name)


def _known(value: pl.Expr) -> pl.Expr:
    return pl.when(pl.col("suffix").is_not_null()).then(value)


def _first(entity: str) -> pl.Expr:
    return _known(pl.coalesce(ENTITIES[entity], entity)).alias(entity)


def _say_what_repeats(table: pl.DataFrame) -> None:
    differ = (pl.col(ENTITIES[entity]) != pl.col(entity) for entity in _FIRST)
    names = table.filter(pl.any_horizontal("twice", *differ))["path"]
    if len(names):
        more = f" (and {len(names) - 1} more)" if len(names) > 1 else ""
        _LOG.warning("%s%s has one entity twice: the first counts; rename it", names[0], more)
