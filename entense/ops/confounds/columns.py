"""One column of a run's table: read and checked, or made of the one that it derives from."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from entense.errors import RecordError, hint
from entense.index.fetch import name_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from entense.ops.confounds.table import Regressors


def column(table: Regressors, name: str, asked: str = "") -> NDArray[np.float64]:
    """Return a column, (time,) float64; its first rows are NaN where it has none.

    What the table does not have is made of its base: ``trans_x_derivative1_power2`` of
    ``trans_x_derivative1``, or of ``trans_x``.

    Raises
    ------
    RecordError
        There is neither the column nor its base, it holds text, or it has a gap after its first
        row.
    """
    if name in table.frame.columns:
        return _numbers(table, name)
    derived = re.fullmatch(r"(.+)_(derivative|power)([1-9])", name)
    if derived is None:
        raise missing(table, asked or name)
    made = difference if derived[2] == "derivative" else power
    return made(column(table, derived[1], asked or name), int(derived[3]))


def difference(values: NDArray[np.float64], order: int) -> NDArray[np.float64]:
    """Return the backward difference of an order; the first rows, which have none, are NaN."""
    for _ in range(order):
        values = np.diff(values, prepend=np.nan)
    return values


def power(values: NDArray[np.float64], order: int) -> NDArray[np.float64]:
    """Return a power."""
    with np.errstate(over="ignore"):  # infinity is found out where the columns are put together
        return values**order


def missing(table: Regressors, name: str) -> RecordError:
    """Return the error of a column that is not there."""
    if "Movement_Regressors" in name_of(table.path):
        remedy = "HCP's movement regressors hold motion alone: take 6P or 24P"
    elif name == "std_dvars":  # `dvars` is no stand-in: it has another unit
        remedy = "it is fMRIPrep's standardised DVARS; censor by fd= alone, or leave the table out"
    else:
        remedy = hint(name, table.frame.columns)
    return RecordError(f"{table.path}: there is no column {name!r}; {remedy}")


def filled(table: Regressors, name: str, values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a column whose first rows, where they are NaN, take the next value, as in nilearn."""
    gap = int(np.argmin(np.isnan(values)))
    values = np.concatenate([np.full(gap, values[gap]), values[gap:]])
    bad = np.flatnonzero(~np.isfinite(values))
    if bad.size:
        raise _gap(table, name, bad[0])
    return values


def _numbers(table: Regressors, name: str) -> NDArray[np.float64]:
    series = table.frame[name]
    if not series.dtype.is_numeric():
        raise RecordError(
            f"{table.path}: the column {name!r} holds text, numbers are due; mend the table or "
            "leave the column out"
        )
    values = series.to_numpy(writable=True)  # null is NaN
    bad = ~np.isfinite(values)
    bad[0] &= np.isinf(values[0])
    if bad.any():
        raise _gap(table, name, np.flatnonzero(bad)[0])
    return values


def _gap(table: Regressors, name: str, row: int) -> RecordError:
    return RecordError(
        f"{table.path}: the column {name!r} has no finite number in row {row + 1}; only the first "
        "row may lack one: mend the table or leave the column out"
    )
