"""Tables of regressors, whoever wrote them, under today's fMRIPrep names."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

import polars as pl
from polars import selectors as cs

from entense.errors import RecordError
from entense.files import opening
from entense.index.fetch import name_of
from entense.records.tables.files import KINDS, check_no_folder, ending, read_table

if TYPE_CHECKING:
    from pathlib import Path

MOTION = tuple(f"{kind}_{axis}" for kind in ("trans", "rot") for axis in "xyz")
HEAD = 50.0  # mm: Power's radius of the head

_LEGACY = {"RotX", "FramewiseDisplacement", "stdDVARS", "aCompCor00"}  # fMRIPrep <= 1.1
_TODAY = (
    (r"^([XYZ])$", r"trans_\1"),
    (r"^Rot([XYZ])$", r"rot_\1"),
    (r"^FramewiseDisplacement$", "framewise_displacement"),
    (r"^stdDVARS$", "std_dvars"),
    (r"^non-stdDVARS$", "dvars"),
    (r"^vx-wisestdDVARS$", "vx_wise_std_dvars"),  # has no name today
    (r"^([at])CompCor(\d+)$", r"\1_comp_cor_\2"),
    (r"^WhiteMatter$", "white_matter"),
    (r"^CSF$", "csf"),
    (r"^GlobalSignal$", "global_signal"),
    (r"^AROMAAggrComp(\d+)$", r"aroma_motion_\1"),
    (r"^NonSteadyStateOutlier(\d+)$", r"non_steady_state_outlier\1"),
    (r"^Cosine(\d+)$", r"cosine\1"),
)


def read_confounds(path: str | Path) -> pl.DataFrame:
    r"""Read a table of regressors under today's fMRIPrep names.

    Parameters
    ----------
    path
        A ``.tsv`` or ``.csv`` with a header (of fMRIPrep, names up to 1.1 become today's), a
        ``.parquet``, HCP's ``Movement_Regressors.txt`` or ``Movement_Regressors_dt.txt``, or
        another text of numbers in columns without a header.

    Returns
    -------
    DataFrame
        A row a frame; null where the file says ``n/a`` or NaN. Translations are in mm, rotations
        in radians (HCP's degrees are converted). Columns without a name are ``column_1``, …
        Where there is motion and no ``framewise_displacement``, it is added: Power's, in mm, for
        a head of 50 mm, null in the first frame.

    Raises
    ------
    RecordError
        The file is missing, damaged, cut short, of another kind, or without a row.

    Notes
    -----
    Framewise displacement is the sum of the absolute backward differences, rotations as arcs on a
    sphere of 50 mm (Power et al. 2012, NeuroImage 59:2142).

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "sub-01_bold_confounds.tsv")
    ...     _ = path.write_text("WhiteMatter\tstdDVARS\n1.5\tn/a\n2.5\t1.1\n")
    ...     read_confounds(path).rows(named=True)[0]
    {'white_matter': 1.5, 'std_dvars': None}
    """
    check_no_folder(path)
    table = _read_columns(path) if ending(path) == ".txt" else _read_named(path)
    if table.is_empty():
        raise RecordError(f"{path}: the table has no rows, one a frame is due; copy it again")
    with opening(path):
        return _with_displacement(table.with_columns(cs.numeric().cast(pl.Float64).fill_nan(None)))


def _read_named(path: str | Path) -> pl.DataFrame:
    if ending(path) not in KINDS:
        raise RecordError(f"{path}: a table is due: .tsv, .csv, .parquet or .txt")
    table = read_table(path)
    table = table.with_columns(_numbers(table.select(cs.string())))
    if _LEGACY.isdisjoint(table.columns):
        return table
    with opening(path):
        return table.rename({name: _today(name) for name in table.columns})


def _numbers(text: pl.DataFrame) -> list[pl.Series]:
    """Return the columns that hold nothing but numbers; cast at once, for there are hundreds."""
    made = text.cast(pl.Float64, strict=False)
    return [one for one in made if one.null_count() == text[one.name].null_count()]


def _today(name: str) -> str:
    for pattern, replacement in _TODAY:
        if re.match(pattern, name):
            new = re.sub(pattern, replacement, name)
            return new[:-1] + new[-1].lower()
    return name


def _read_columns(path: str | Path) -> pl.DataFrame:
    with opening(path) as place:
        rows = [line.split() for line in place.read_text("utf-8").splitlines() if line.strip()]
        width = len(rows[0]) if rows else 0
        for number, row in enumerate(rows, 1):
            if len(row) != width:
                raise RecordError(
                    f"{path}: row {number} has {len(row)} numbers, the first has {width}; it may "
                    "be cut short: copy it again"
                )
        names = [f"column_{i}" for i in range(1, width + 1)]
        table = pl.DataFrame(rows, schema=dict.fromkeys(names, pl.String), orient="row")
        numbers = table.cast(pl.Float64)
    return _of_hcp(path, numbers) if "Movement_Regressors" in name_of(path) else numbers


def _of_hcp(path: str | Path, table: pl.DataFrame) -> pl.DataFrame:
    """Name HCP's columns: motion, then its backward differences, angles in degrees."""
    names = [*MOTION, *(f"{name}_derivative1" for name in MOTION)]
    if table.width != len(names):
        raise RecordError(
            f"{path}: HCP's movement regressors have 12 columns, this has {table.width}; copy it "
            "again, or rename it if it is something else"
        )
    table.columns = names
    return table.with_columns(cs.starts_with("rot_") * (math.pi / 180))


def _with_displacement(table: pl.DataFrame) -> pl.DataFrame:
    if "framewise_displacement" in table.columns or not {*MOTION} <= {*table.columns}:
        return table
    steps = [pl.col(name).diff().abs() * (HEAD if name.startswith("rot") else 1) for name in MOTION]
    power = pl.sum_horizontal(steps, ignore_nulls=False)
    return table.with_columns(framewise_displacement=power)
