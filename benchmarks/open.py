"""Opening an archive of a million records, and making a loader of it; no shard is looked at."""

import tempfile
from dataclasses import replace
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np
import polars as pl
from awscrt.checksums import crc32c

from benchmarks.fresh import Aim, Row, measure
from entense.archive.manifest import NAME, RECORDS, VERSION, sealed
from entense.archive.table import PLACEMENT, to_parquet

LIMIT = 2.0  # seconds
PER_SHARD = 1_000
TENSORS = {"series": ("time", (200, 400)), "fc": ("parcel", (400, 400))}  # float32
SIZE = sum(4 * rows * columns for _, (rows, columns) in TENSORS.values())


def bench(cache: Path, *, quick: bool) -> list[Row]:
    """Open each archive in a process of its own."""
    rows = []
    for records in (10_000,) if quick else (10_000, 1_000_000):
        with tempfile.TemporaryDirectory(dir=cache) as folder:
            make(Path(folder), records)
            for what in ("open", "open, loader"):
                found, peak = measure("open:opened", folder, what)
                name = f"{what}, {records:,} records"
                rows.append(Row("open", name, found["seconds"], "archive", peak, found["note"]))
    row = rows[-2]
    aim = Aim(f"{row.name}, seconds", row.seconds, LIMIT)
    return [*rows[:-2], replace(row, aims=(aim,)), rows[-1]]


def opened(folder: str, what: str) -> dict:
    """Open an archive five times; the median."""
    import entense as et

    times = []
    for _ in range(5):
        start = perf_counter()
        archive = et.open(folder)
        if what != "open":
            archive.loader("train", batch_size=8, window=32, seed=0)
        times.append(perf_counter() - start)
    size = (Path(folder) / RECORDS).stat().st_size / 1e6
    return {"seconds": median(times), "note": f"records.parquet has {size:.0f} MB"}


def make(folder: Path, records: int) -> None:
    """Write the manifest and the table of an archive whose shards are elsewhere."""
    content = to_parquet(_table(records))
    (folder / RECORDS).write_bytes(content)
    (folder / NAME).write_bytes(sealed(_body(records, content)))


def _table(records: int) -> pl.DataFrame:
    number = np.arange(records)
    rng = np.random.default_rng(0)
    begin = number % PER_SHARD * SIZE
    subjects = pl.Series("subject", number // 4).cast(pl.String).str.zfill(6)
    table = pl.DataFrame({"subject": subjects, "run": pl.Series(number % 4).cast(pl.String)})
    placed = {}
    for name, (_, shape) in TENSORS.items():
        placed[name] = _placements(number // PER_SHARD, begin, shape, rng)
        begin = begin + 4 * shape[0] * shape[1]
    return table.select(
        pl.format("ds_sub-{}_run-{}", "subject", "run").alias("record"),
        pl.lit("ds").alias("dataset"),
        "subject",
        "run",
        pl.Series("age", rng.integers(18, 80, records)),
        pl.format("sub-{}_run-{}_bold.nii.gz", "subject", "run").alias("bold"),
        pl.lit("train").alias("split"),
        pl.Series("shard", number // PER_SHARD),
        *(series.alias(name) for name, series in placed.items()),
        pl.lit(None, pl.String).alias("error"),
    )


def _placements(
    shard: np.ndarray, begin: np.ndarray, shape: tuple[int, int], rng: np.random.Generator
) -> pl.Series:
    """Return what `write` would have noted of tensors of one block each."""
    count = len(begin)
    crcs = rng.integers(0, 2**32, count, dtype=np.uint32).tobytes()
    known = {
        "shard": shard,
        "offset": begin,
        "size": np.full(count, 4 * shape[0] * shape[1]),
        "shape": pl.Series([list(shape)]).new_from_index(0, count),
        "frames_per_block": np.full(count, 2**20 // (4 * shape[1])),
        "crc32c": pl.Series([crcs[at : at + 4] for at in range(0, 4 * count, 4)]),
    }
    rest = [name for name in PLACEMENT.to_schema() if name not in known]
    frame = pl.DataFrame(known).with_columns(pl.lit(None).alias(name) for name in rest)
    return frame.select(list(PLACEMENT.to_schema())).to_struct().cast(PLACEMENT)


def _body(records: int, content: bytes) -> dict:
    tensor = {"dtype": "float32", "coords": None, "mask": None, "tr": None, "scale": None}
    counts = [min(PER_SHARD, records - at) for at in range(0, records, PER_SHARD)]
    return {
        "version": VERSION,
        "series": [{"format": "webdataset", "tensors": [*TENSORS], "folder": "{split}"}],
        "sharding": {},
        "recipes": {},
        "tensors": {
            name: tensor | {"dims": [dim, "parcel"], "shape": shape}
            for name, (dim, shape) in TENSORS.items()
        },
        "columns": {"age": "Int64"},
        "splits": {"train": records},
        "shards": [
            {"path": f"train/train-{number:06}.tar", "bytes": SIZE * PER_SHARD, "crc32c": 0}
            | {"split": "train", "records": count}
            for number, count in enumerate(counts)
        ],
        "masks": {},
        "coords": {},
        "records": {"path": RECORDS, "bytes": len(content), "crc32c": crc32c(content)},
        "failures": 0,
        "code": {},
        "made_by": {},
    }
