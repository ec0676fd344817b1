"""Tables as files: text whose types are inferred from the whole, or Parquet."""

from __future__ import annotations

import csv
import gzip
import io
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from entense.errors import RecordError
from entense.files import opening
from entense.index.fetch import name_of

if TYPE_CHECKING:
    from collections.abc import Iterator

SEPARATORS = {".tsv": "\t", ".csv": ","}
KINDS = (".tsv", ".csv", ".tsv.gz", ".csv.gz", ".parquet")


def ending(path: str | Path) -> str:
    """Return the extension of a table, ``.gz`` included.

    Examples
    --------
    >>> ending("/a.b/participants.tsv.gz")
    '.tsv.gz'
    """
    name = name_of(path).lower()
    return next((kind for kind in KINDS if name.endswith(kind)), Path(name).suffix)


def check_no_folder(path: str | Path) -> None:
    """Raise a `RecordError` where a folder is given for a table."""
    if Path(path).is_dir():
        raise RecordError(f"{path} is a folder: name a table in it, or all as {path}/*.tsv")


def read_table(path: str | Path) -> pl.DataFrame:
    r"""Read a table; of text, every column is text, in which ``n/a`` and nothing are null.

    Parameters
    ----------
    path
        A ``.tsv`` or ``.csv`` in UTF-8, gzipped or not, or a ``.parquet``.

    Raises
    ------
    RecordError
        The file is missing, of another kind or damaged, two columns have one name, or a row has
        fewer cells than the header: it may be cut short.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "participants.tsv")
    ...     _ = path.write_text("participant_id\tage\nsub-01\tn/a\n")
    ...     read_table(path).row(0)
    ('sub-01', None)
    """
    kind = ending(path)
    check_no_folder(path)
    if kind not in KINDS:
        raise RecordError(f"{path} is not a table that can be read: give a .tsv, .csv or .parquet")
    with opening(path) as place:
        data = place.read_bytes()
        if kind == ".parquet":
            return pl.read_parquet(data)
        if kind.endswith(".gz"):
            data = gzip.decompress(data)
        return _read_text(path, data, SEPARATORS[kind.removesuffix(".gz")])


def _read_text(path: str | Path, data: bytes, separator: str) -> pl.DataFrame:
    data = data.rstrip(b"\r\n")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise RecordError(f"{path} is not text in UTF-8 ({error.reason}): save it so") from error
    header = next(_rows(text, separator), [])
    if twice := [name for i, name in enumerate(header) if name in header[:i]]:
        raise RecordError(f"{path} has the column {twice[0]!r} twice: rename or delete one")
    try:
        table = pl.read_csv(data, separator=separator, infer_schema=False)
    except pl.exceptions.ComputeError:
        _check_width(path, text, separator)
        raise
    if table.height and table[:, -1].null_count():  # only then can a row lack cells
        _check_width(path, text, separator)
    return table.with_columns(pl.when(pl.all() != "n/a").then(pl.all()))


def _check_width(path: str | Path, text: str, separator: str) -> None:
    rows = _rows(text, separator)
    width = len(next(rows))
    for number, row in enumerate(rows, 1):
        if row and len(row) != width:
            raise RecordError(
                f"{path} has {len(row)} cells in row {number} and {width} in its header: it may be "
                "cut short; copy it again, or mend that row"
            )


def _rows(text: str, separator: str) -> Iterator[list[str]]:
    try:
        yield from csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    except csv.Error as error:
        raise ValueError(str(error)) from error


def typed(text: pl.Series) -> pl.Series:
    """Make a column of text what all of its cells are: whole numbers, numbers, or true and false.

    Parameters
    ----------
    text
        String, null where missing.

    Returns
    -------
    Series
        Int64, Float64 or Boolean; String where a cell is none of these, or where all are null.
        A NaN among numbers, which pandas writes for what is missing, is null.

    Examples
    --------
    >>> [typed(pl.Series(cells)).dtype for cells in (["1", None], ["1", ".5"], ["1", "x"])]
    [Int64, Float64, String]
    """
    missing = text.null_count()
    if missing == len(text):
        return text
    made = next((made for made in _readings(text) if made.null_count() == missing), text)
    return made.fill_nan(None) if made.dtype == pl.Float64 else made  # it is above any number


def _readings(text: pl.Series) -> Iterator[pl.Series]:
    yield text.cast(pl.Int64, strict=False)
    yield text.cast(pl.Float64, strict=False)
    words = text.str.to_lowercase()
    yield words.replace_strict(["true", "false"], [True, False], default=None)
