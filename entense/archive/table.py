"""records.parquet: a row a record, where its tensors lie, and what went wrong."""

from __future__ import annotations

import io
from contextlib import suppress
from functools import reduce
from itertools import accumulate, chain, islice, starmap
from math import inf
from operator import mul
from typing import TYPE_CHECKING, Any

import polars as pl
from polars.io.plugins import register_io_source

from entense.archive.formats import is_ours
from entense.archive.store import content_of
from entense.errors import ArchiveError
from entense.index.entities import IDENTIFYING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from entense.archive.assign import Planned
    from entense.archive.folder import Receipt
    from entense.archive.manifest import Manifest
    from entense.archive.schema import Tensor
    from entense.archive.store import Place

PLACEMENT = pl.Struct(
    {
        "shard": pl.Int64,
        "offset": pl.Int64,
        "size": pl.Int64,
        "shape": pl.List(pl.Int64),
        "frames_per_block": pl.Int64,
        "crc32c": pl.Binary,
        "mask": pl.String,
        "coords": pl.String,
        "tr": pl.Float64,
        "constant": pl.Int64,
        "nonfinite": pl.Int64,
        "absent": pl.Int64,
        "freedom": pl.Int64,
        "coverage": pl.List(pl.Float32),
    }
)
"""Where a tensor of a record lies, in the first format, and what is particular to it.

`shard` counts the manifest's shards. `offset` is null where a library writes the format. `crc32c`
has four bytes, little endian, a block of frames.
"""

PLACES = (  # applied in order, they leave the name of a file
    r"^([A-Za-z][A-Za-z0-9+.-]+://.*?)::.*$",  # what holds the file that is meant
    r"^(https?://[^?#]*)[?#].*$",
    r"^(?:[A-Za-z][A-Za-z0-9+.-]+:/)?/(?:.*/)?([^/]+)/?$",
)
GROUP = 2**13  # records of a row group
AT_ONCE = 512  # records that are made columns of together
LARGEST = 2**40  # no axis is longer
PACKED = 1032  # no table of ours is packed tighter, in values of 8 bytes a byte
IDS = 16  # and in records a byte: numbered ids have been seen to take a quarter of one each


def names_of_files(table: pl.DataFrame) -> pl.DataFrame:
    """Return a table with every absolute path and URL in it reduced to the file's name.

    Examples
    --------
    >>> names_of_files(pl.DataFrame({"bold": ["/data/a.nii"], "site": ["n/a"]})).row(0)
    ('a.nii', 'n/a')
    """
    return table.with_columns(_names(pl.col(name), dtype) for name, dtype in table.schema.items())


def check_names(columns: Sequence[str], tensors: Sequence[str]) -> None:
    """Raise where a scalar is a tensor, or either has a name that batches need for themselves."""
    if both := set(columns) & set(tensors):
        raise ArchiveError(
            f"columns= names {min(both)!r}, a tensor, which is in the samples anyway; leave it out"
        )
    for name in ("record", "start"):
        if name in columns or name in tensors:
            raise ArchiveError(f"samples have a {name!r} of their own; rename the table's")


def check_free(columns: Sequence[str], tensors: Sequence[str]) -> None:
    """Raise where a column has a name that archives need for themselves."""
    for name in ("shard", "error", "split"):
        if name in tensors or (name in columns and name != "split"):
            raise ArchiveError(f"the archive has a column {name!r} of its own; rename the table's")


def check_storable(table: pl.DataFrame) -> None:
    """Raise where records.parquet cannot hold a column, before anything is computed."""
    for name, dtype in table.schema.items():
        try:
            content = to_parquet(table.select(*dict.fromkeys(("record", name))))
            check_bounded(content, len(table), f"the column {name!r}")
        except (pl.exceptions.PolarsError, NotImplementedError) as error:
            raise ArchiveError(
                f"the column {name!r} is {dtype}, which records.parquet cannot hold; cast it "
                "first, or drop it"
            ) from error


def check_bounded(content: bytes, rows: int, what: str = "what is known of the tensors") -> None:
    """Raise where a table packs so well that opening it would take it for a bomb."""
    if not _is_bounded(content, rows):
        raise ArchiveError(
            f"{what} is so long and so even that records.parquet would unpack to more than "
            f"{PACKED:,} times its size, which opening refuses; drop it, or make it shorter"
        )


def written_table(
    tensors: Sequence[str], parts: Sequence[Planned], receipts: Sequence[Receipt]
) -> pl.DataFrame:
    """Return what became of each record: its split and shard, where its tensors lie, its error."""
    before = accumulate([0, *(len(receipt.files) for receipt in receipts[:-1])])
    rows = chain.from_iterable(starmap(_rows, zip(parts, receipts, before, strict=True)))
    total = sum(len(part.rows) for part in parts)
    found = pl.concat([_group(tensors, islice(rows, GROUP)) for _ in range(0, total, GROUP)])
    return (found if found["row"].is_sorted() else found.sort("row")).drop("row")  # a copy


def records_table(table: pl.DataFrame, written: pl.DataFrame) -> pl.DataFrame:
    """Return the table of an archive: ids first, then what was known, then what was written.

    Identifying entities that no record has are left out.
    """
    first = [name for name in ("record", "dataset") if name in table.columns]
    empty = [n for n in IDENTIFYING if n in table.columns and table[n].null_count() == len(table)]
    known = table.select(*first, pl.exclude(*first, *empty, "split"))
    return known.with_columns(written.get_columns())


def to_parquet(table: pl.DataFrame) -> bytes:
    """Return the bytes of a table as Parquet; the same table gives the same bytes."""
    file, whole = io.BytesIO(), pl.all().gather(pl.int_range(pl.len()))

    def groups(*_: object) -> Iterator[pl.DataFrame]:
        # copies: bytes depend on how a list lies in memory, and not on how the whole table does
        return (table.slice(at, GROUP).select(whole) for at in range(0, max(len(table), 1), GROUP))

    lazy = register_io_source(groups, schema=table.schema)
    lazy.sink_parquet(file, compression="zstd", statistics=False, row_group_size=GROUP)
    return file.getvalue()


def read_records(folder: Place, manifest: Manifest) -> pl.DataFrame:
    """Read records.parquet, if it can be what its manifest says; else an ArchiveError."""
    path = folder / manifest.records.path
    content = content_of(folder, manifest.records)
    if content is None:
        raise ArchiveError(
            f"{path} is missing, cut or damaged; copy it again, or run write again, which mends it"
        )
    with suppress(pl.exceptions.PolarsError, ValueError, OSError, NotImplementedError):
        if _is_bounded(content, sum(manifest.splits.values()) + manifest.failures):
            table = pl.read_parquet(content)
            if _has_columns(table, manifest) and _lies_right(table, manifest):
                return table
    raise ArchiveError(
        f"{path} is not what its manifest says; do not trust this archive: write it again"
    )


def _rows(part: Planned, receipt: Receipt, before: int) -> Iterator[dict[str, Any]]:
    """Yield what became of the records of a part; so many shards come before its own."""
    for row, places, error in zip(part.rows, receipt.tensors, receipt.errors, strict=True):
        placed = {
            n: {**place, "shard": before + place["shard"]} for n, place in (places or {}).items()
        }
        first = min((place["shard"] for place in placed.values()), default=None)
        yield {**placed, "row": row, "split": part.split, "shard": first, "error": error}


def _group(tensors: Sequence[str], rows: Iterator[dict[str, Any]]) -> pl.DataFrame:
    """Return the rows of a row group as columns, which take a tenth of the memory."""
    some = iter(lambda: list(islice(rows, AT_ONCE)), [])
    return pl.concat([_written(tensors, few) for few in some], rechunk=True)


def _written(tensors: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> pl.DataFrame:
    return pl.DataFrame([
        pl.Series("row", [row["row"] for row in rows], pl.Int64),
        pl.Series("split", [row["split"] for row in rows], pl.String),
        pl.Series("shard", [row["shard"] for row in rows], pl.Int64),
        *(pl.Series(name, [_place(row.get(name)) for row in rows], PLACEMENT) for name in tensors),
        pl.Series("error", [row["error"] for row in rows], pl.String),
    ])  # fmt: skip


def _place(receipt: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return a placement as a receipt, which is JSON, has it, with its checksums as bytes."""
    return {**receipt, "crc32c": bytes.fromhex(receipt["crc32c"])} if receipt else None


def _names(value: pl.Expr, dtype: Any) -> pl.Expr:
    """Reduce every absolute path and URL within a value to its file's name."""
    if isinstance(dtype, pl.Categorical | pl.Enum):  # as text, which is what samples hold
        value, dtype = value.cast(pl.String), pl.String
    if dtype == pl.String:
        for place in PLACES:
            value = value.str.replace(place, "$1")
        return value
    if isinstance(dtype, pl.List):
        return value.list.eval(_names(pl.element(), dtype.inner))
    if isinstance(dtype, pl.Struct):
        return value.struct.with_fields(_names(pl.field(f.name), f.dtype) for f in dtype.fields)
    return value


def _is_bounded(content: bytes, rows: int) -> bool:
    """Whether a table is no bomb: it has as many rows as it should, in about the room it takes."""
    from pyarrow.parquet import read_metadata

    footer = read_metadata(io.BytesIO(content))
    groups = [footer.row_group(number) for number in range(footer.num_row_groups)]
    columns = [group.column(place) for group in groups for place in range(group.num_columns)]
    unpacked = sum(column.total_uncompressed_size for column in columns)
    values = sum(column.num_values for column in columns)
    few = footer.num_rows == rows <= IDS * len(content)
    # zstd packs parcels that are all covered far tighter than deflate would
    return few and bool(max(unpacked / 8, values) <= PACKED * len(content))


def _has_columns(table: pl.DataFrame, manifest: Manifest) -> bool:
    due: dict[str, Any] = {"record": pl.String, "split": pl.String, "shard": pl.Int64}
    due |= {"error": pl.String, **dict.fromkeys(manifest.tensors, PLACEMENT)}
    has = all(table.schema.get(name) == dtype for name, dtype in due.items())
    return has and all(name in table.columns for name in manifest.columns)


def _lies_right(table: pl.DataFrame, manifest: Manifest) -> bool:
    """Whether each record's tensors lie in shards of their series, as many as these should have."""
    there = table.filter(pl.col("shard").is_not_null())
    first = pl.min_horizontal(pl.col(name).struct.field("shard") for name in manifest.tensors)
    if not there["shard"].equals(there.select(first).to_series(), check_names=False):
        return False
    failed = table.filter(pl.col("shard").is_null())
    return all(
        _are_there(there[name].struct.unnest(), name, manifest) and _is_nowhere(failed[name])
        for name in manifest.tensors
    )


def _is_nowhere(place: pl.Series) -> bool:
    """Whether nothing is said of where the tensor of failed records lies."""
    nothing = pl.all_horizontal(pl.all().is_null()).all()
    return bool(place.struct.unnest().select(nothing).item())


def _are_there(place: pl.DataFrame, tensor: str, manifest: Manifest) -> bool:
    series = manifest.series_of([tensor])
    shards = enumerate(manifest.shards)
    due = {n: shard.records for n, shard in shards if shard.series in series and shard.records}
    if dict(place["shard"].value_counts().iter_rows()) != due:
        return False
    sizes = pl.Series([shard.bytes for shard in manifest.shards], dtype=pl.Int64)
    most = PACKED if is_ours(manifest.format) else inf
    return _fits(place, manifest.tensors[tensor], sizes[place["shard"]], most)


def _fits(place: pl.DataFrame, tensor: Tensor, ends: pl.Series, most: float) -> bool:
    """Whether a tensor lies within its shards, with the size and checksums of its shape.

    A library may pack what it writes, up to `most` bytes a byte.
    """
    shape = pl.col("shape")
    # an axis at a time: to go through the lists themselves takes twenty times as long
    axes = [shape.list.get(axis, null_on_oob=True) for axis in range(len(tensor.dims))]
    # a product of floats cannot wrap round
    due = reduce(mul, (axis.cast(pl.Float64) for axis in axes), pl.lit(tensor.dtype.itemsize))
    rows = axes[0] if axes else pl.lit(1)
    blocks = pl.when(pl.col("size") > 0).then(-(-rows // pl.col("frames_per_block"))).otherwise(0)
    packed, plain = pl.col("end").cast(pl.Float64) * most, pl.col("end") - pl.col("offset")
    room = pl.when(pl.col("offset").is_null()).then(packed).otherwise(plain)
    right = pl.all_horizontal(
        pl.min_horizontal("offset", "size") >= 0,
        pl.col("frames_per_block") >= 1,
        room >= pl.col("size"),
        *(axis.is_between(0, LARGEST) for axis in axes),
        shape.list.len() == len(tensor.dims),
        due == pl.col("size"),
        pl.col("crc32c").bin.size() == 4 * blocks,
    )
    return bool(place.with_columns(end=ends).select(right.fill_null(value=False).all()).item())
