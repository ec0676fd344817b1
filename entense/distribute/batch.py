"""Parts of an archive that another process writes: what it is given, and what it says of them."""

from __future__ import annotations

import hashlib
import io
import json
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import polars as pl

from entense.archive.assign import Planned, digest_of_rows
from entense.archive.finish import digests_of_code
from entense.archive.folder import Receipt, begun_in
from entense.archive.home import home_of
from entense.archive.job import prepare
from entense.archive.locks import in_turn, sharing
from entense.archive.manifest import Series, made_by
from entense.archive.series import shared_by
from entense.archive.shard import refusals
from entense.archive.writer import Writer, written
from entense.errors import ArchiveError
from entense.plan.fuse import how_of
from entense.plan.rows import Row, Rows

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping, Sequence

    from entense.archive.formats.foreign import Shared
    from entense.archive.home import Home
    from entense.archive.job import Job
    from entense.execute.serial import Outcome
    from entense.plan.survey import Survey

ENTRY = "entense.distribute.batch:write_batch"


@dataclass(frozen=True)
class Batch:
    """What a process that writes parts is given, beside a slice of the table.

    Parameters
    ----------
    folder, scratch
        The archive's, and where shards are made if it is a URL.
    parts
        What is to be written; their rows are those of the slice, which is sorted by id.
    series, ragged, skip
        What all parts of the archive have in common.
    columns, dtype, without, fusion, hash_inputs
        As `write` was asked.
    memory
        How many bytes may be taken; None for as many as it takes.
    banned
        Record to why it is not to be computed: it killed those that tried.
    alone
        Whether each record is computed by itself, and noted before: one of them kills its process.
    """

    folder: str
    scratch: str | None
    parts: Sequence[Planned]
    series: Sequence[Series]
    ragged: Sequence[str]
    skip: bool
    columns: Sequence[str]
    dtype: Mapping[str, str]
    without: Sequence[str]
    fusion: str
    memory: int | None
    hash_inputs: bool
    banned: Mapping[str, str]
    alone: bool

    def save(self, path: Path, table: pl.DataFrame) -> str:
        """Save it and its slice of the table; return a digest of both."""
        plain = vars(self) | {key: [*map(vars, getattr(self, key))] for key in ("parts", "series")}
        text, cells = json.dumps(plain, sort_keys=True).encode(), io.BytesIO()
        table.write_parquet(cells)
        with refusals(path.parent):
            path.write_bytes(text)
            _slice(path).write_bytes(cells.getvalue())
            _said(path).touch()  # a disk over a network remembers for a while what was not there
        return hashlib.sha256(text + cells.getvalue()).hexdigest()

    @classmethod
    def of(cls, text: bytes) -> Batch:
        """Return what `save` saved."""
        body = json.loads(text)
        body["parts"] = [_planned(part) for part in body["parts"]]
        body["series"] = [Series(o["format"], tuple(o["tensors"]), o["folder"])
                          for o in body["series"]]  # fmt: skip
        return cls(**body)


def write_batch(job: str, digest: str) -> None:
    """Write the parts of a batch, in whatever process; `Log` has what became of them.

    `digest` is what `Batch.save` returned.

    Raises
    ------
    ArchiveError
        Where this process would write other bytes than the one that planned them.
    """
    path = Path(job)
    # first: a run that begins now waits, or takes the batch away
    with sharing(path.parents[1]), in_turn(path):
        text, cells = path.read_bytes(), _slice(path).read_bytes()
        if hashlib.sha256(text + cells).hexdigest() != digest:
            raise ArchiveError(
                f"{path}: it, or the slice of the table beside it, is not what was planned; see "
                "who else writes there, and write again"
            )
        _write(Batch.of(text), pl.read_parquet(cells), path)


def _write(batch: Batch, cells: pl.DataFrame, path: Path) -> None:
    """Write the parts of the batch that was saved at `path`."""
    known = prepare(cells, batch.columns, batch.dtype, how_of(batch.without, batch.fusion))
    common = replace(shared_by(known), ragged=frozenset(batch.ragged))
    home = home_of(batch.folder, scratch=batch.scratch)
    _check_same(batch, home, known, common)
    known = replace(known, survey=_without(known, batch.banned))
    skip, hashes = batch.skip, batch.hash_inputs
    writer = Writer(known, batch.series, home, skip=skip, shared=common, hash_inputs=hashes)
    path.with_suffix(".at").touch()
    with _said(path).open("a") as log:
        for part, receipt in _receipts(writer, batch, path):
            errors = [writer.errors.get(row) for row in part.rows]
            log.write(json.dumps({"receipt": receipt.plain(), "errors": errors}) + "\n")
            log.flush()


class Log:
    """What a batch says of its parts, as it goes on.

    Parameters
    ----------
    path
        Where the batch was saved.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._read = _said(path), 0

    def new(self) -> Iterator[tuple[Receipt, list[str | None]]]:
        """Yield the receipt of each part that is done since, and what is wrong with its records."""
        if not self._path.exists():
            return
        with self._path.open("rb") as file:
            file.seek(self._read)
            for line in file:
                if not line.endswith(b"\n"):
                    return  # it is being written
                self._read += len(line)
                body = json.loads(line)
                yield Receipt.of(body["receipt"]).placed, body["errors"]


def at(path: Path) -> str | None:
    """Return the record that a batch computed by itself, last; None where it has not begun."""
    note = path.with_suffix(".at")
    return note.read_text("utf-8") if note.exists() else None


def _receipts(writer: Writer, batch: Batch, path: Path) -> Iterator[tuple[Planned, Receipt]]:
    from entense.execute.serial import run

    left = []  # by a process that died in the middle, where a worker gives its batch to another
    for part in batch.parts:
        if receipt := writer.good(part):
            yield part, receipt
        else:
            left.append(part)
    survey, rows = writer.job.survey, writer.computed(left)
    if batch.alone:
        outcomes: Iterator[Outcome] = _one_by_one(writer, rows, batch.memory, path)
    else:
        outcomes = run(survey, rows, memory=batch.memory)
    with closing(cast("Generator[Outcome]", outcomes)):
        yield from zip(left, written(writer, left, outcomes), strict=True)


def _one_by_one(
    writer: Writer, rows: Sequence[int], memory: int | None, path: Path
) -> Iterator[Outcome]:
    from entense.execute.serial import run

    for row in rows:
        path.with_suffix(".at").write_text(writer.job.ids[row], "utf-8")
        yield from run(writer.job.survey, [row], memory=memory)


def _without(job: Job, banned: Mapping[str, str]) -> Survey:
    """Return the survey as if banned records could not be surveyed."""
    known = zip(job.ids, job.survey.rows, strict=True)
    rows = (Row(row.bound, error=banned[i]) if i in banned else row for i, row in known)
    return replace(job.survey, rows=Rows(rows))


def _check_same(batch: Batch, home: Home, job: Job, shared: Shared) -> None:
    """Raise where this process would write other bytes than the one that planned them."""
    begun = begun_in(home)
    if begun is None:
        raise ArchiveError(
            f"{home} is not there for a worker; write to a disk that all machines share"
        )
    planned = {**begun.identity["made_by"], **begun.identity["code"]}
    mine = {**made_by(), **digests_of_code(job, batch.series)}
    if other := [name for name, it in mine.items() if it != planned.get(name)]:
        raise ArchiveError(
            f"a worker would write other bytes than were planned: its {', '.join(other)} "
            f"{'is' if len(other) == 1 else 'are'} not as where the run was started "
            f"({mine[other[0]]} instead of {planned.get(other[0])}); use workers of one kind, and "
            "start the run on a machine of that kind, with the same packages"
        )
    for part in batch.parts:
        if digest_of_rows(job, part.rows, batch.series, shared) != part.digest:
            wrong = next(filter(None, (job.survey.rows[row].error for row in part.rows)), None)
            raise ArchiveError(
                f"the input files of {part.name} have changed since the run was planned, or are "
                f"others where the worker is{f' ({wrong})' if wrong else ''}; put them where it "
                "sees them, and write again"
            )


def _planned(body: dict[str, Any]) -> Planned:
    return Planned(**body | {"rows": tuple(body["rows"]), "files": tuple(body["files"])})


def _slice(path: Path) -> Path:
    return path.with_suffix(".parquet")


def _said(path: Path) -> Path:
    return path.with_suffix(".said")
