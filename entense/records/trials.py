"""Reading the files that say when something happened: BIDS events.tsv and the EVs of HCP."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from entense.errors import RecordError
from entense.index.fetch import name_of
from entense.records.contents import Content, read_files

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    Problems = dict[str, str]  # path -> what is wrong with the file

_TIMES = ("onset", "duration")
_SCHEMA = {
    **{"_path": pl.String, "_line": pl.UInt32},
    **dict.fromkeys((*_TIMES, "trial_type"), pl.String),
}
_EV = (*_TIMES, "amplitude")
_SYNC = "Sync.txt"  # HCP: when the scanner began, which is no trial


def read_trials(paths: Iterable[str]) -> tuple[pl.DataFrame, Problems]:
    """Read each distinct file once, and put their trials into one table.

    Returns
    -------
    tuple
        A row a trial: ``_path``, ``_line``, ``onset`` and ``duration`` (Float64, seconds),
        ``trial_type`` (String), and the other columns of the files, each of the type that fits all
        of them. And what is wrong with which file.

    Examples
    --------
    >>> trials, problems = read_trials(["/no/such_events.tsv"])
    >>> trials.columns
    ['_path', '_line', 'onset', 'duration', 'trial_type']
    >>> list(problems)
    ['/no/such_events.tsv']
    """
    texts, problems = _texts(path for path in paths if path.rpartition("/")[2] != _SYNC)
    tables = _tables(_lines(texts, ".tsv", r"\t"), problems)
    evs = _evs(_lines(texts, ".txt", r"\s+"), problems)
    trials = pl.concat([pl.DataFrame(schema=_SCHEMA), *tables, *evs], how="diagonal")
    return _typed(trials, _EV if evs else _TIMES, problems), problems


def _texts(paths: Iterable[str]) -> tuple[dict[str, str], Problems]:
    read = read_files(paths, _text)
    texts = {path: text for path, text in read.items() if isinstance(text, str)}
    return texts, {
        path: str(error).removeprefix(f"{path}: ")
        for path, error in read.items()
        if isinstance(error, RecordError)
    }


def _text(path: str, content: Content) -> str | RecordError:
    if isinstance(content, RecordError):
        return content
    name = name_of(path)
    if not name.endswith((".tsv", ".txt")):
        return RecordError("is neither a .tsv, as BIDS has it, nor a .txt, as HCP has it")
    if name.endswith(".tsv") and not content.strip():
        return RecordError("is empty")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        return RecordError(f"is not UTF-8 ({error.reason})")


def _lines(texts: Mapping[str, str], extension: str, separator: str) -> pl.DataFrame:
    """Cut files into lines, numbered from 1 and bar the empty ones, and lines into fields."""
    some = [(path, text) for path, text in texts.items() if name_of(path).endswith(extension)]
    files = pl.DataFrame(some, {"_path": pl.String, "text": pl.String}, orient="row")
    text = pl.col("text").str.replace_all("\r\n?", "\n").str.split("\n")
    rows = files.select("_path", text).with_columns(
        _line=pl.int_ranges(1, pl.col("text").list.len() + 1, dtype=pl.UInt32)
    )
    lines = rows.explode("text", "_line").filter(pl.col("text").str.contains(r"\S"))
    field = pl.element().str.strip_chars()
    text = pl.col("text") if separator == r"\t" else pl.col("text").str.strip_chars()
    fields = text.str.split(separator, literal=False).list.eval(field)
    return lines.select("_path", "_line", fields=fields)


def _evs(lines: pl.DataFrame, problems: Problems) -> list[pl.DataFrame]:
    name = pl.col("_path").str.extract(r"([^/]*)\.txt$")
    trials = _columns(lines, _EV, problems).with_columns(trial_type=name)
    return [trials] if len(trials) else []


def _tables(lines: pl.DataFrame, problems: Problems) -> Iterator[pl.DataFrame]:
    """Give the lines of tables their columns: a table for each header that there is."""
    first = pl.col("_path").is_first_distinct()
    headers: dict[tuple[str, ...], list[str]] = {}
    for path, header in lines.filter(first).select("_path", "fields").rows():
        headers.setdefault(tuple(header), []).append(path)
    for header, paths in headers.items():
        if wrong := _wrong(header):
            problems.update(dict.fromkeys(paths, wrong))
        else:
            yield _columns(lines.filter(~first, pl.col("_path").is_in(paths)), header, problems)


def _wrong(header: Sequence[str]) -> str | None:
    if "onset" not in header:
        return f"has no column 'onset', but {', '.join(header)}"
    twice = [name for name in header if header.count(name) > 1]
    return f"has the column {twice[0]!r} twice" if twice else None


def _columns(lines: pl.DataFrame, names: Sequence[str], problems: Problems) -> pl.DataFrame:
    count = pl.col("fields").list.len()
    odd = lines.filter(count != len(names))
    _note(problems, odd, pl.format("line {} has {} values, not {}", "_line", count, len(names)))
    fields = [pl.col("fields").list.get(i, null_on_oob=True) for i in range(len(names))]
    given = [pl.when(~field.is_in(["n/a", ""])).then(field) for field in fields]
    return lines.select("_path", "_line", **dict(zip(names, given, strict=True)))


def _typed(trials: pl.DataFrame, names: Sequence[str], problems: Problems) -> pl.DataFrame:
    numbers = {name: pl.col(name).cast(pl.Float64, strict=False) for name in names}
    for name, number in numbers.items():
        wrong = pl.col(name).is_not_null() & ~number.is_finite().fill_null(False)
        text = pl.format(f"line {{}}: the {name} {{}} is no number", "_line", name)
        _note(problems, trials.filter(wrong), text)
    never = trials.filter(pl.col("onset").is_null())
    _note(problems, never, pl.format("line {} has no onset", "_line"))
    others = [trials[name] for name in trials.columns if name not in (*_SCHEMA, *names)]
    return trials.with_columns(*map(_inferred, others), **numbers)


def _inferred(column: pl.Series) -> pl.Series:
    for dtype in (pl.Int64, pl.Float64):
        number = column.cast(dtype, strict=False)
        if number.null_count() == column.null_count() < len(column):
            return number.fill_nan(None) if dtype == pl.Float64 else number
    return column


def _note(problems: Problems, rows: pl.DataFrame, text: pl.Expr) -> None:
    """Keep the first of what is wrong with each file."""
    for path, said in (
        rows.select("_path", said=text).unique("_path", keep="first", maintain_order=True).rows()
    ):
        problems.setdefault(path, said)
