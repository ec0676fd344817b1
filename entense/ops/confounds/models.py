"""Confound models: which columns of the table, and their values."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from entense.errors import RecipeError, RecordError, hint

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from entense.ops.confounds.table import Regressors

MOTION = tuple(f"{kind}_{axis}" for kind in ("trans", "rot") for axis in "xyz")
SIGNALS = ("csf", "white_matter", "global_signal")
EXPANSION = ("", "_derivative1", "_power2", "_derivative1_power2")

MODELS: dict[str, tuple[str, ...]] = {
    "6P": MOTION,
    "9P": MOTION + SIGNALS,
    "24P": tuple(name + order for order in EXPANSION for name in MOTION),
    "36P": tuple(name + order for order in EXPANSION for name in MOTION + SIGNALS),
}


def check(model: str | list[str]) -> None:
    """Raise a RecipeError where no table whatever could have such a model."""
    columns(model)


def columns(model: str | list[str]) -> list[str]:
    """Return the columns that a model takes; an unknown model is an error that lists them."""
    if not isinstance(model, str):
        if not model:
            raise RecipeError("the list of confounds is empty; name a column, or leave denoise out")
        if not all(isinstance(name, str) for name in model):
            raise RecipeError(f"the confounds must be names of columns, not {model!r}")
        return list(dict.fromkeys(model))
    if model not in MODELS:
        raise RecipeError(
            f"there is no confound model {model!r}; there are {', '.join(MODELS)}, or give a list "
            "of column names"
        )
    return list(MODELS[model])


def regressors(
    table: Regressors, model: str | list[str], of_run: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Return a model's columns at some frames of the run, (time, regressor) float64.

    A gap in the first row, where a derivative has none, takes the next value, as nilearn's
    `load_confounds` has it.

    Raises
    ------
    RecordError
        As `denoise` says.
    """
    names = columns(model)
    table.check(of_run.size)
    frame = table.frame
    missing = [name for name in names if _base(frame, name) is None]
    if missing:
        near = hint(missing[0], frame.columns)
        raise RecordError(f"{table.path}: there is no column {missing[0]!r}; {near}")
    if len(names) >= of_run.sum():
        raise RecordError(
            f"{table.path}: {len(names)} regressors leave nothing of {of_run.sum()} frames; "
            "take a smaller model, or leave short runs out"
        )
    return np.column_stack([_values(table, name) for name in names])[of_run]


def _base(frame: pl.DataFrame, name: str) -> str | None:
    """Return the column itself, or the one that it is a derivative or a square of."""
    known = (name.removesuffix(order) for order in EXPANSION if name.endswith(order))
    return next((one for one in known if one in frame.columns), None)


def _series(frame: pl.DataFrame, name: str) -> pl.Series:
    """Return a column, made of its base where fMRIPrep up to 1.1, or HCP, did not write it."""
    base = _base(frame, name) or name
    series, order = frame[base], name.removeprefix(base)
    if order and series.dtype.is_numeric():
        series = series.diff() if "derivative1" in order else series
        series = series**2 if "power2" in order else series
    return series


def _values(table: Regressors, name: str) -> NDArray[np.float64]:
    series = _series(table.frame, name)
    if not series.dtype.is_numeric():
        raise RecordError(
            f"{table.path}: the column {name!r} holds text, numbers are due; mend the table or "
            "leave the column out"
        )
    values = series.cast(pl.Float64).fill_null(np.nan).to_numpy().copy()
    if np.isnan(values[0]) and len(values) > 1:
        values[0] = values[1]
    gaps = np.flatnonzero(~np.isfinite(values))
    if gaps.size:
        raise RecordError(
            f"{table.path}: the column {name!r} has no finite number in row {gaps[0] + 1}; only "
            "the first row may lack one: mend the table or leave the column out"
        )
    return values
