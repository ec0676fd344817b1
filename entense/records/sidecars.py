"""The JSON files beside the data."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl


def with_sidecars(files: pl.DataFrame) -> pl.DataFrame:
    """Add the column ``sidecar``: the ``.json`` of the same name, null where there is none.

    Examples
    --------
    >>> files = pl.DataFrame({"path": ["/a.json", "/a.nii"], "extension": [".json", ".nii"]})
    >>> with_sidecars(files)["sidecar"].to_list()
    ['/a.json', '/a.json']
    """
    twin = pl.concat_str(pl.col("path").str.strip_suffix(pl.col("extension")), pl.lit(".json"))
    there = twin.is_in(files["path"].implode())
    return files.with_columns(sidecar=pl.when(there).then(twin))


def repetition_time(sidecar: str) -> pl.Expr:
    """Read the repetition time (Float64, seconds) of each sidecar when, and only if, it is used.

    Null where there is no sidecar or it gives none, NaN where it cannot be read.

    Parameters
    ----------
    sidecar
        The column of paths.

    Examples
    --------
    >>> pl.DataFrame({"a": ["/no/such.json", None]}).select(repetition_time("a"))["a"].to_list()
    [nan, None]
    """
    # declared elementwise, so that a filter is applied before files are read and not after
    return pl.col(sidecar).map_batches(_read, return_dtype=pl.Float64, is_elementwise=True)


def _read(sidecars: pl.Series) -> pl.Series:
    return pl.Series(sidecars.name, [path and _seconds(path) for path in sidecars], pl.Float64)


def _seconds(path: str) -> float | None:
    try:
        value = json.loads(Path(path).read_bytes()).get("RepetitionTime")
        return None if value is None else float(value)
    except (OSError, ValueError, TypeError, AttributeError):
        return float("nan")  # whoever needs it says so, naming the file
