"""From a table with lazy tensors to an archive, in steps that a rerun can skip."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl

from entense.archive import folder as folders
from entense.archive.assign import Planned, assign, splits_of
from entense.archive.executors import Elsewhere, executors
from entense.archive.failures import FailedRecordsError
from entense.archive.finish import finish, identity_of
from entense.archive.folder import Begun
from entense.archive.home import home_of
from entense.archive.indexes import check_indexes, indexes_of
from entense.archive.job import prepare
from entense.archive.options import Options
from entense.archive.read import Archive, just_written
from entense.archive.series import series_of, shared_by
from entense.archive.sharding import Sharding
from entense.archive.table import check_free, check_storable
from entense.archive.writer import Writer, write_parts
from entense.errors import ArchiveError
from entense.plan.fuse import how_of
from entense.plan.host import FEW, warn_of_noise
from entense.sizes import bytes_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from entense.archive.home import Home
    from entense.archive.writer import Execute


ON_ERROR = ("raise", "skip")
_LOG = logging.getLogger("entense")


def write(
    frame: pl.DataFrame | pl.LazyFrame,
    path: str | Path,
    *,
    format: str | Sequence[str] = "webdataset",
    columns: Sequence[str] = (),
    shard_size: str | float | None = "512MB",
    shard_records: int | None = None,
    shard_by: str | Sequence[str] | None = None,
    shuffle: int | None = None,
    sharding: str = "size",
    disaggregate: str | None = None,
    dtype: Mapping[str, str] | None = None,
    index: Sequence[str] = (),
    on_error: str = "raise",
    memory: str | int | None = None,
    without: Sequence[str] = (),
    fusion: str = "greedy",
    hash_inputs: bool = False,
    overwrite: bool = False,
    storage_options: Mapping[str, Any] | None = None,
    scratch: str | Path | None = None,
    executor: str = "serial",
    worker: Any = "process",
    modules: Sequence[str] = (),
    cores: int = 1,
    gpus: int = 0,
    tasks: int | None = None,
    **options: Any,
) -> Archive:
    """Compute every lazy tensor of a table and write an archive.

    A write that was interrupted, by whatever, is finished by calling it again: shards that are
    good are kept. The same table, inputs, versions and kind of machine give the same bytes. A
    table that has gained records adds them; one that has lost any is refused.

    Parameters
    ----------
    frame
        A record table with lazy tensor columns; a column `split` parts it into splits.
    path
        The folder: absent, empty, or holding this archive, finished or not. Or one of an object
        store, ``s3://bucket/out`` or ``gs://bucket/out``, which takes the same files.
    format
        ``"webdataset"`` (tar), ``"tfrecord"``, or a registered format; or a list of them: each
        is written, in a folder of its own, from one computation.
    columns
        Numbers, booleans and strings of the table that go into the samples themselves.
    shard_size
        About how large a shard may be: ``"512MB"`` or a number of bytes; None for no limit.
    shard_records
        How many records a shard may have; None for no limit.
    shard_by
        Column, or columns: records of a split that agree in them share a shard, even where these
        are more than a shard may have.
    shuffle
        Seed of the order in which records are cut into shards, the same on any machine. None: in
        the order of their ids.
    sharding
        ``"size"``, or a way of cutting that `register_sharding` was given.
    disaggregate
        ``"tensor"``: each tensor in shards of its own, the columns in all of them. Shards of one
        number hold the same records in the same order, and are of `shard_size` together.
    dtype
        Tensor to the dtype that it is stored in: ``{"clean": "float16"}``.
    index
        Which indexes to write for others' readers: ``"dali"`` (NVIDIA DALI, of both formats),
        ``"wids"`` and ``"energon"`` (Megatron Energon), both of ``"webdataset"``.
    on_error
        ``"raise"``: when all else is done, raise one error that lists the records that failed.
        ``"skip"``: finish the archive without them; `Archive.records` has their errors, and a
        rerun tries again those whose files have changed.
    memory
        About how much memory the computation may take: ``"4GB"`` or a number of bytes. A record
        that would take more is read in parts; the bytes are the same.
    without, fusion
        Rules to leave out, and how steps are fused; see `explain`.
    hash_inputs
        Know the input files of this machine again by the hashes (SHA-256) of what they hold, not by
        their times of change, so that a rerun keeps what was made of files that were only copied
        or touched. It reads every one of them once more, in each run.
    overwrite
        Replace the archive that is there, whatever it is and whatever made it. Nothing else in
        the folder is touched.
    storage_options
        What the filesystem of a URL takes (credentials, an endpoint), beside what
        `register_storage` was given for it. They stay in this process and in no message.
    scratch
        Of a URL: a folder of this machine in which shards are made, one or two at a time, before
        they are put where they belong; a temporary one unless given. Workers on other machines
        must see it, too. With the same one a second writer is refused, as in a folder.
    executor
        ``"serial"``: in this process. ``"pydra"``: in others, here or on a cluster; the bytes are
        the same. Or one that `register_executor` was given.
    worker
        Of Pydra: ``"process"`` (on this machine; ``n_procs=``), ``"dask"`` (a scheduler's
        ``address=``, else a cluster of this machine's), ``"slurm"`` (``partition=``, ``time=``,
        ``account=``, ``sbatch_args=[…]``), ``"sge"``, or a worker of Pydra's own.
    modules
        What each of its processes imports: the modules that register ops of your own.
    cores, gpus
        What each of its tasks has; their memory is `memory`, or as estimated.
    tasks
        About how many there are; unless given as many as last tens of seconds, 1,000 at most, and
        four for each process of this machine.
    **options
        The worker's, as above.

    Returns
    -------
    Archive

    Raises
    ------
    TableError
        When the table has no record or no lazy tensor.
    RecipeError
        When a record cannot be computed within `memory`, however it is cut, before any is.
    ArchiveError
        When the folder holds something else, another archive or one that is cut into shards
        otherwise, another process is writing there, a column cannot go into a sample, or the disk
        is full. When records failed, its attribute `failures` has the reasons by record id.

    Examples
    --------
    >>> import polars as pl
    >>> write(pl.DataFrame({"record": ["a"]}), "out")
    Traceback (most recent call last):
    entense.errors.TableError: the table has no lazy tensor to compute; add one with transform
    """
    budget = None if memory is None else bytes_of(memory, "memory")
    home = home_of(path, storage_options, scratch)
    asked = Options(
        format=format,
        columns=columns,
        shard_size=shard_size,
        shard_records=shard_records,
        shard_by=shard_by,
        shuffle=shuffle,
        sharding=sharding,
        disaggregate=disaggregate,
        dtype=dtype or {},
        index=index,
        on_error=on_error,
        without=without,
        fusion=fusion,
        hash_inputs=hash_inputs,
    )
    where = Elsewhere(worker, cores, gpus, tasks, modules, options)
    execute = executors[executor](asked, budget, where)
    archive = _write(frame, home, asked, execute, overwrite=overwrite)
    _say_noise(archive)
    _say_left_out(archive)
    return archive


@dataclass(frozen=True)
class Work:
    """An archive to write: what it is, its shards, and what writes them."""

    asked: Options
    identity: Mapping[str, Any]
    parts: Sequence[Planned]
    writer: Writer

    def begun(self) -> Begun:
        """Return what is noted before anything is written; it is large, and not kept."""
        files = {part.name: list(part.files) for part in self.parts}
        table = self.writer.job.table
        ids, splits = table["record"].to_list(), splits_of(table)
        return Begun(self.identity, ids, files, self.asked.plain(), splits)

    def complete(self, execute: Execute) -> pl.DataFrame:
        """Write what is not there yet, or not good, and return the records.

        Its folder is locked.
        """
        writer, parts = self.writer, self.parts
        receipts = write_parts(writer, parts, execute)
        indexes = indexes_of(self.asked.index, writer.job, writer.series, parts, receipts)
        return finish(writer.job, self.identity, parts, receipts, writer.home, indexes=indexes)


def _write(
    frame: pl.DataFrame | pl.LazyFrame,
    home: Home,
    asked: Options,
    execute: Execute,
    *,
    overwrite: bool,
) -> Archive:
    """Plan and write; let go of all that is known of the records, but their table."""
    work = plan_archive(frame, home, asked, overwrite=overwrite)
    with home.locked():
        folders.begin(home, work.begun(), overwrite=overwrite)
        return just_written(home.place, work.complete(execute))


def plan_archive(
    frame: pl.DataFrame | pl.LazyFrame, home: Home, asked: Options, *, overwrite: bool = False
) -> Work:
    """Decide all that can be decided without a voxel; see `write`."""
    if asked.on_error not in ON_ERROR:
        raise ArchiveError(f'on_error={asked.on_error!r} is neither "raise" nor "skip"; use one')
    cut = Sharding.of(
        asked.shard_size, asked.shard_records, asked.shard_by, asked.shuffle, asked.sharding
    )
    folders.claim(home, overwrite=overwrite)
    job = prepare(frame, asked.columns, asked.dtype, how_of(asked.without, asked.fusion))
    check_free(job.table.columns, job.survey.tensors)
    check_storable(job.table)
    if not job.survey.specs:
        errors = map(str, job.survey.errors)
        raise FailedRecordsError(dict(zip(job.ids, errors, strict=True)), len(job.ids))
    series = series_of(asked.format, job.survey.tensors, asked.disaggregate)
    check_indexes(asked.index, series)
    shared = shared_by(job)
    identity, parts = identity_of(job, series, cut), assign(job, series, cut, shared)
    skip, hashes = asked.on_error == "skip", asked.hash_inputs
    writer = Writer(job, series, home, skip=skip, shared=shared, hash_inputs=hashes)
    return Work(asked, identity, parts, writer)


def _say_left_out(archive: Archive) -> None:
    bad = archive.records.filter(pl.col("error").is_not_null())
    if len(bad):
        _LOG.warning(
            "%d of %d records are left out, as %s: %s; archive.records['error'] says why of each",
            *(len(bad), len(archive), *bad.select("record", "error").row(0)),
        )


def _say_noise(archive: Archive) -> None:
    for name in archive.schema:
        few = archive.records.filter(pl.col(name).struct.field("freedom") <= FEW)["record"]
        warn_of_noise(name, few.to_list(), len(archive))
