"""The main job, step by step, with what each step took: from a folder to batches."""

from __future__ import annotations

from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

import entense as et
from entense.demo.dataset import make_dataset
from entense.demo.readback import read_back, shapes
from entense.demo.report import say, step
from entense.errors import EntenseError, TableError

if TYPE_CHECKING:
    from entense.archive.read import Archive

VOLUMES = [".nii", ".nii.gz"]
PREFERRED = "MNI152NLin2009cAsym"


def demo(
    data: str | Path | None = None,
    *,
    out: str | Path = "demo",
    atlas: str | Path | None = None,
) -> None:
    """Turn a folder of fMRIPrep outputs into WebDataset and TFRecord shards, and read them back.

    Parameters
    ----------
    data
        The folder; without one a small dataset is simulated.
    out
        Where the archives go; what an earlier demo wrote there is replaced.
    atlas
        A label image on the grid of the data, for the connectome. The simulated data have theirs.

    Raises
    ------
    TableError
        The folder holds no preprocessed volumes in a standard space.
    ArchiveError
        A reader gave other values than the archive holds, or the archive is damaged.
    """
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    if data is None:
        with step("simulate a dataset") as note:
            data = make_dataset(out / "dataset")
            note.append(f"6 subjects, {_megabytes(data):.0f} MB in {data}")
        records, atlas = _adults(_records(data)), data / "atlas.nii.gz"
    else:
        records = _records(Path(data))
    records = _tensors(_split(records), out, atlas)
    say("the plan:")
    say(_indented(et.explain(records)))
    _collect(records.head(2))
    read_back({kind: _write(records, out / kind, kind) for kind in ("webdataset", "tfrecord")})
    say(f"done; the archives are {out / 'webdataset'} and {out / 'tfrecord'}")


def choose_volumes(files: pl.DataFrame) -> dict[str, str | None]:
    """Choose the space and resolution to work in, of those that a file table has BOLD in.

    Parameters
    ----------
    files
        A file table, as `entense.scan` makes it.

    Returns
    -------
    The query's ``space`` and ``resolution``: fMRIPrep's default space where it is there, then
    any other MNI space, then any other standard space; of several resolutions the first.

    Raises
    ------
    TableError
        There is no preprocessed BOLD volume in a standard space.
    """
    volumes = files.filter(
        pl.col("suffix") == "bold", pl.col("desc") == "preproc", pl.col("extension").is_in(VOLUMES)
    )
    spaces = set(volumes["space"].fill_null("the run's own").unique())
    standard = sorted(
        spaces - {"the run's own", "T1w", "boldref", "func"},
        key=lambda name: (name != PREFERRED, not name.startswith("MNI"), name),
    )
    if not standard:
        raise TableError(
            "there are no preprocessed BOLD volumes in a standard space"
            f" (spaces found: {', '.join(sorted(spaces)) or 'none'});"
            f" run fMRIPrep with --output-spaces {PREFERRED}:res-2"
        )
    resolutions = volumes.filter(pl.col("space") == standard[0])["resolution"].unique().sort()
    return {"space": standard[0], "resolution": resolutions[0]}


def split_sizes(groups: int) -> dict[str, float]:
    """Choose fractions that leave at least one group for each split; none below three groups.

    Examples
    --------
    >>> split_sizes(4)
    {'train': 0.5, 'val': 0.25, 'test': 0.25}
    """
    if groups < 3:
        return {}
    held = max(1, groups // 5)
    return {"train": (groups - 2 * held) / groups, "val": held / groups, "test": held / groups}


def _records(data: Path) -> pl.DataFrame:
    with step("scan") as note:
        start = perf_counter()
        files = et.scan(data, layout="fmriprep").collect()
        note.append(f"{files.height} files, {files.height / (perf_counter() - start):,.0f} files/s")
    where = choose_volumes(files)
    with step("stage, drop_incomplete") as note:
        staged = et.stage(
            files.lazy(),
            bold={"suffix": "bold", "desc": "preproc", "extension": VOLUMES, **where},
            mask={"suffix": "mask", "desc": "brain", "extension": VOLUMES, **where},
            confounds={"suffix": "timeseries", "desc": "confounds", "extension": ".tsv"},
        ).collect()
        records = et.drop_incomplete(staged)
        note.append(f"{records.height} of {staged.height} runs in {where['space']} are complete")
    return _phenotypes(records, data.resolve())


def _phenotypes(records: pl.DataFrame, data: Path) -> pl.DataFrame:
    """Join the participants' table of the folder, or of the raw dataset that it lies in."""
    tables = [place / "participants.tsv" for place in (data, *data.parents[:2])]
    table = next((table for table in tables if table.exists()), None)
    if table is None:
        say(f"{'join_table':<34}             no participants.tsv there: no ages, no sexes")
        return records
    with step("join_table") as note:
        joined = et.join_table(records, table)
        note.append(f"{table}: {', '.join(joined.columns[records.width :])}")
    return joined


def _adults(records: pl.DataFrame) -> pl.DataFrame:
    with step("filter") as note:
        adults = records.filter(pl.col("age") >= 18)
        note.append(f"age >= 18: {adults.height} of {records.height} runs")
    return adults


def _split(records: pl.DataFrame) -> pl.DataFrame:
    sizes = split_sizes(records.select("dataset", "subject").n_unique())
    if not sizes:
        say(f"{'split':<34}             fewer than three subjects: one split, named all")
        return records
    with step("split by subject") as note:
        parted = et.split(records, sizes, by=["dataset", "subject"], seed=0)
        counts = dict(parted["split"].value_counts().rows())
        note.append(", ".join(f"{counts[name]} {name}" for name in sizes) + " runs")
    return parted


def _tensors(records: pl.DataFrame, out: Path, atlas: str | Path | None) -> pl.DataFrame:
    with step("group_mask") as note:
        brain = et.group_mask(records, "mask", threshold=0.9, to=out / "brain.nii.gz")
        note.append(f"{brain}, the voxels in 90% of the masks")
    cleaned = et.volume("bold", mask=brain).denoise(
        "confounds", "9P", high_pass=0.01, low_pass=0.08
    )
    with step("transform") as note:
        records = et.transform(records, clean=cleaned.zscore())
        note.append("clean: 9P, 0.01-0.08 Hz, z-scores; no voxel is read yet")
        if atlas is None:
            note.append("no atlas given (--atlas): no connectome")
        else:
            connectome = et.col("clean").parcellate(str(atlas)).correlation()
            records = et.transform(records, fc=connectome)
            note.append(f"fc: correlations of the parcels of {atlas}")
    return records


def _collect(records: pl.DataFrame) -> None:
    """Materialise a few records; what is wrong with one is said, and `write` goes on without it."""
    with step(f"collect {records.height} records") as note:
        try:
            first = et.collect(records)
        except EntenseError as error:
            note.append(str(error))
        else:
            found = {n: et.to_numpy(first[n]) for n in ("clean", "fc") if n in first.columns}
            note.append(shapes({n: arrays[0] for n, arrays in found.items()}))
        note.append("with the import of JAX and compiling")


def _write(records: pl.DataFrame, path: Path, kind: str) -> Archive:
    columns = [name for name in records.columns if name in {"age", "sex"}]
    with step(f"write {kind}") as note:
        start = perf_counter()
        archive = et.write(
            records,
            path,
            format=kind,
            columns=columns,
            dtype={"clean": "float16"},
            on_error="skip",
            overwrite=True,
        )
        wall = perf_counter() - start
        note.append(f"{len(archive)} records, {len(archive) / wall:.1f} records/s")
        note.append(f"{_voxels(records) / wall:.0f} MB/s of voxels decoded")
        note.append(f"{_megabytes(path):.0f} MB on disk")
    for record, error in archive.records.drop_nulls("error").select("record", "error").rows():
        say(f"    left out: {record}: {error}")
    with step(f"verify {kind}") as note:
        note.append(str(archive.verify()))
    return archive


def _voxels(records: pl.DataFrame) -> float:
    """Add up the megabytes of voxels that the headers announce."""
    import nibabel as nib

    headers = [nib.load(path).header for path in records["bold"]]
    sizes = [np.prod(h.get_data_shape()) * h.get_data_dtype().itemsize for h in headers]
    return float(sum(sizes)) / 1e6


def _megabytes(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6


def _indented(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.splitlines())
