"""records.parquet: a row a record, where its tensors lie, and what went wrong."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import polars as pl

from entense.errors import ArchiveError
from entense.index.entities import IDENTIFYING
from entense.tensors.lazy import tensor_columns

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PLACEMENT = pl.Struct(
    {
        "offset": pl.Int64,
        "size": pl.Int64,
        "shape": pl.List(pl.Int64),
        "frames_per_block": pl.Int64,
        "crc32c": pl.List(pl.UInt32),
        "mask": pl.String,
        "coords": pl.String,
        "tr": pl.Float64,
        "constant": pl.Int64,
        "nonfinite": pl.Int64,
        "absent": pl.Int64,
    }
)
"""Where a tensor of a record lies in its shard, and what is particular to it."""

FOLDERS = r"^(/|\w+://)(.*/)?"


def without_folders(table: pl.DataFrame) -> pl.DataFrame:
    """Return a record table with every path reduced to its file name.

    Examples
    --------
    >>> table = pl.DataFrame({"bold": ["/data/a.nii"], "bold_sidecar": ["/data/a.json"]})
    >>> without_folders(table).row(0)
    ('a.nii', 'a.json')
    """
    paths = [name for name in table.columns if _has_paths(table, name)]
    return table.with_columns(_names(pl.col(name), table.schema[name]) for name in paths)


def check_names(table: pl.DataFrame, columns: Sequence[str]) -> None:
    """Raise where a column has a name that archives or batches need for themselves."""
    for name in ("shard", "error"):
        if name in table.columns:
            raise ArchiveError(f"the archive has a column {name!r} of its own; rename the table's")
    check_sample_names(columns, tensor_columns(table.schema))


def check_sample_names(columns: Sequence[str], tensors: Sequence[str]) -> None:
    """Raise where a scalar is a tensor, or either has a name that batches need for themselves."""
    if both := set(columns) & set(tensors):
        raise ArchiveError(
            f"columns= names {min(both)!r}, a tensor, which is in the samples anyway; leave it out"
        )
    for name in ("record", "start"):
        if name in columns or name in tensors:
            raise ArchiveError(f"samples have a {name!r} of their own; rename the table's")


def records_table(
    table: pl.DataFrame,
    splits: Sequence[str],
    shards: Sequence[int | None],
    tensors: Mapping[str, Sequence[Mapping[str, Any] | None]],
    errors: Sequence[str | None],
) -> pl.DataFrame:
    """Return the table of an archive: ids first, then what was known, then what was written.

    Identifying entities that no record has are left out.
    """
    first = [name for name in ("record", "dataset") if name in table.columns]
    empty = [name for name in IDENTIFYING if _is_empty(table, name)]
    return table.select(*first, pl.exclude(*first, *empty, "split")).with_columns(
        pl.Series("split", splits, pl.String),
        pl.Series("shard", shards, pl.Int64),
        *(pl.Series(name, rows, PLACEMENT) for name, rows in tensors.items()),
        pl.Series("error", errors, pl.String),
    )


def to_parquet(table: pl.DataFrame) -> bytes:
    """Return the bytes of a table as Parquet; the same table gives the same bytes."""
    file = io.BytesIO()
    table.write_parquet(file, compression="zstd", statistics=False, row_group_size=2**16)
    return file.getvalue()


def _is_empty(table: pl.DataFrame, name: str) -> bool:
    return name in table.columns and table[name].null_count() == len(table)


def _has_paths(table: pl.DataFrame, name: str) -> bool:
    """Whether a column holds files: a role, a role's sidecar, or nothing but absolute paths."""
    if name.endswith("_sidecar") or f"{name}_sidecar" in table.columns:
        return True
    values = table[name].drop_nulls()
    is_text = values.dtype == pl.String and len(values) > 0
    return is_text and bool(values.str.contains(FOLDERS).all())


def _names(value: pl.Expr, dtype: Any) -> pl.Expr:
    """Reduce every path within a value to its file name."""
    if dtype == pl.String:
        return value.str.replace(FOLDERS, "")
    if isinstance(dtype, pl.List):
        return value.list.eval(_names(pl.element(), dtype.inner))
    if isinstance(dtype, pl.Struct):
        return value.struct.with_fields(_names(pl.field(f.name), f.dtype) for f in dtype.fields)
    return value
