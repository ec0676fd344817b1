"""Confound models: a strategy's name, a formula or a list of columns, and what it gives."""

from __future__ import annotations

from functools import lru_cache, reduce
from typing import TYPE_CHECKING

import numpy as np

from entense.errors import RecipeError, RecordError, hint
from entense.ops.confounds.censoring import Censoring, merged
from entense.ops.confounds.design import design
from entense.ops.confounds.formula import Column, Word, strategies_in, total
from entense.ops.confounds.grammar import parse
from entense.ops.confounds.leaves import is_known
from entense.ops.confounds.strategies import STRATEGIES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from entense.ops.confounds.formula import Formula
    from entense.ops.confounds.table import Regressors


def formula_of(model: str | list[str]) -> Formula:
    """Return a model as a formula: a strategy or formula parsed, a list as columns of these names.

    Raises
    ------
    RecipeError
        The text is no formula (the message says at which character), or the list is empty.

    Examples
    --------
    >>> str(formula_of("36p + cosine")), str(formula_of(["trans_x", "my column"]))
    ('36P + cosine', '"trans_x" + "my column"')
    """
    if isinstance(model, str):
        return _of_text(model)
    if not model:
        raise RecipeError("the list of confounds is empty; name a column, or leave denoise out")
    if not all(isinstance(name, str) for name in model):
        raise RecipeError(f"the confounds must be names of columns, not {model!r}")
    return total([Column(name) for name in dict.fromkeys(model)])


def regressors(
    table: Regressors, model: str | list[str], of_run: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Return a model's columns at some frames of the run, (time, regressor) float64.

    There is no intercept among them. A gap in the first row, where a derivative has none, takes
    the next value, as nilearn's `load_confounds` has it.

    Parameters
    ----------
    table
        The run's confounds.
    model
        A strategy's name, a formula, or a list of column names.
    of_run
        (frame of the run,) bool: the frames that are wanted.

    Raises
    ------
    RecordError
        The table has another length than the run, lacks a column, holds text or a gap after the
        first row, or has as many regressors as there are frames.
    """
    table.check(of_run.size)
    columns = design(table, formula_of(model))
    values = np.column_stack([np.empty((of_run.size, 0)), *columns.values()])[of_run]
    moving = int((values != values[:1]).any(axis=0).sum())  # a spike may be in a frame left out
    if moving >= len(values):
        raise RecordError(
            f"{table.path}: {moving} regressors leave nothing of {len(values)} frames; take a "
            "smaller model, or leave short runs out"
        )
    return values


def censoring_of(model: str | list[str]) -> Censoring:
    """Return the censoring that is part of a model's strategies, the later ones' first.

    Examples
    --------
    >>> censoring_of("scrubbing + gsr").fd, censoring_of("36P")
    (0.5, Censoring(fd=None, dvars=None, before=0, after=0, contiguous=0, dummies=False))
    """
    return _censoring(formula_of(model))


@lru_cache(maxsize=64)
def _censoring(formula: Formula) -> Censoring:
    named = strategies_in(formula)
    return reduce(merged, (STRATEGIES[one.name].censoring for one in named), Censoring())


@lru_cache(maxsize=64)  # every record asks
def _of_text(model: str) -> Formula:
    if not model.strip():
        raise RecipeError("the confounds are empty; name a strategy, or leave denoise out")
    formula = parse(model)
    if isinstance(formula, Word) and not is_known(formula.text):
        raise RecipeError(
            f"there is no confound strategy {model!r} ({hint(model, STRATEGIES)}); a column of "
            f"this name goes into a list: [{model!r}]"
        )
    return formula
