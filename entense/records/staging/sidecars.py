"""The JSON files that speak of the data, by BIDS inheritance."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from entense.index.entities import ENTITIES
from entense.records.staging.queries import number

if TYPE_CHECKING:
    from collections.abc import Sequence

_PLACE = ("dataset", "root", "suffix")
_TWIN, _LEVEL = 1_000_000, 1_000  # a twin comes before any folder, a folder before any entity
_NEAR = {"_file": pl.UInt32, "_json": pl.UInt32, "near": pl.UInt32}


def json_files(files: pl.DataFrame) -> pl.DataFrame:
    """Keep the JSON files of a file table, sorted by path, with a number ``_json``.

    The entities that none of them has are left out.

    Examples
    --------
    >>> from entense.index.entities import FILE_SCHEMA
    >>> json_files(pl.DataFrame(schema=FILE_SCHEMA)).columns[:4]
    ['_json', 'dataset', 'root', 'path']
    """
    jsons = files.filter(_inside("path").str.ends_with(".json"))
    empty = [name for name in ENTITIES if jsons[name].null_count() == len(jsons)]
    return jsons.drop(empty).sort("path").with_row_index("_json")


def sidecars(pairs: pl.DataFrame, data: pl.DataFrame, jsons: pl.DataFrame) -> pl.DataFrame:
    """List the JSON files that apply to the files of each record, nearest first.

    They are of the same dataset, root and suffix, lie in the file's folder or above it, and name
    no entity that the file does not. A JSON of the file's own name comes first, then the deepest
    folder, then the most entities.

    Parameters
    ----------
    pairs
        ``_row``, the record, and ``_file``, a file of it.
    data
        Rows of a file table, with a number ``_file``.
    jsons
        What `json_files` makes of the whole table.

    Returns
    -------
    DataFrame
        ``_row`` and ``sidecar``, a list of paths; no row where there is none.

    Notes
    -----
    The inheritance principle of the BIDS specification:
    https://bids-specification.readthedocs.io/en/stable/common-principles.html

    Examples
    --------
    >>> from entense.index.entities import FILE_SCHEMA
    >>> paths = ["/ds/sub-01/sub-01_task-x_bold.nii", "/ds/task-x_bold.json"]
    >>> files = pl.DataFrame({"path": paths, "extension": [".nii", ".json"], "task": "x",
    ...                       "suffix": "bold", "root": "/ds"})
    >>> files = files.with_columns(
    ...     pl.lit(None, kind).alias(c) for c, kind in FILE_SCHEMA.items() if c not in files.columns
    ... ).with_row_index("_file")
    >>> pairs = pl.DataFrame({"_row": [7], "_file": [0]}, schema_overrides={"_file": pl.UInt32})
    >>> sidecars(pairs, files, json_files(files))["sidecar"].to_list()
    [['/ds/task-x_bold.json']]
    """
    data = data.filter(pl.col("_file").is_in(pairs["_file"].unique().implode()))
    near = pl.concat([_twins(data, jsons), _inherited(data, jsons)])
    found = pairs.join(near, on="_file").sort("_row", -pl.col("near").cast(pl.Int64), "_json")
    each = found.unique(["_row", "_json"], keep="first", maintain_order=True)
    path = jsons["path"].gather(each["_json"])
    listed = each.select("_row", sidecar=path).group_by("_row", maintain_order=True)
    return listed.agg("sidecar")


def _twins(data: pl.DataFrame, jsons: pl.DataFrame) -> pl.DataFrame:
    name = _inside("path").str.strip_suffix(pl.col("extension"))
    on = ["dataset", "root", "path"]
    twins = data.select("_file", *on[:2], path=pl.concat_str(name, pl.lit(".json")))
    there = jsons.select("_json", *on[:2], path=_inside("path"))
    found = twins.join(there, on=on, nulls_equal=True)
    return found.select("_file", "_json", near=pl.lit(_TWIN, pl.UInt32))


def _inherited(data: pl.DataFrame, jsons: pl.DataFrame) -> pl.DataFrame:
    """Join by folder and, where a JSON has one, by subject; the few that remain are compared."""
    above = jsons.filter(pl.col("suffix").is_in(data["suffix"].unique().implode()))
    used = [name for name in ENTITIES if name in above.columns]
    left, right = (_comparable(files, used) for files in (data, above))
    named = pl.col("subject").is_not_null() if "subject" in used else pl.lit(False)
    depth = pl.col("folder").str.count_matches("/", literal=True)
    count = pl.sum_horizontal(pl.col("others").list.len(), pl.col(used).is_not_null())
    right = right.with_columns(level=depth, named=named, count=count.cast(pl.UInt32))
    levels = right.partition_by("level", "named")
    return pl.concat([pl.DataFrame(schema=_NEAR), *(_applying(left, one, used) for one in levels)])


def _comparable(files: pl.DataFrame, used: Sequence[str]) -> pl.DataFrame:
    below = _inside("path").str.strip_prefix(_inside("root").fill_null(""))
    entry = pl.element().struct
    words = pl.concat_str(entry.field("key"), pl.lit("-"), entry.field("value"))
    return files.select(
        "^_file|_json$",
        *(pl.col(name).fill_null("") for name in (*_PLACE, "extension")),
        *(number(name, pl.col(name)) for name in used),
        folder=below.str.replace(r"[^/]*$", ""),
        others=pl.col("others").list.eval(words).fill_null(pl.lit([], pl.List(pl.String))),
    )


def _inside(column: str) -> pl.Expr:
    """Return the first link of a chained URL (``zip://sub-01/a.nii::…``), any other path whole."""
    return pl.col(column).str.replace("(?s)::.*", "")


def _applying(data: pl.DataFrame, jsons: pl.DataFrame, used: Sequence[str]) -> pl.DataFrame:
    """Pair files with the JSONs of one level: folders that are equally deep."""
    level, named = jsons.select("level", "named").row(0)
    above = data.with_columns(pl.col("folder").str.extract(f"^((?:[^/]*/){{{level}}})"))
    on = [*_PLACE, "folder", *(["subject"] if named else [])]
    agree = [
        pl.col(f"{name}_right").is_null() | (pl.col(name) == pl.col(f"{name}_right"))
        for name in used
        if name not in on
    ]
    kind = pl.col("extension_right").str.strip_suffix(".json")  # .dtseries of .dtseries.json
    unknown = pl.col("others_right").list.set_difference("others").list.len()
    pairs = above.join(jsons, on=on).filter(
        *agree, pl.col("extension").str.starts_with(kind), unknown == 0
    )
    return pairs.select("_file", "_json", near=pl.lit(level * _LEVEL, pl.UInt32) + pl.col("count"))
