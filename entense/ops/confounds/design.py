"""The columns of a confound formula, made of a run's table."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from entense.errors import RecipeError, RecordError, hint
from entense.ops.confounds import strategies
from entense.ops.confounds.columns import column, difference, filled, power
from entense.ops.confounds.components import chosen
from entense.ops.confounds.formula import (
    Column,
    Components,
    Difference,
    Indicator,
    Logic,
    Power,
    Strategy,
    Sum,
    Word,
)
from entense.ops.confounds.grammar import parse
from entense.ops.confounds.names import FAMILIES, SHORTHAND

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from entense.ops.confounds.formula import Formula
    from entense.ops.confounds.table import Regressors

Columns: TypeAlias = "dict[str, NDArray[np.float64]]"

MOST = 10_000  # columns; far more than any run has frames

_COMPARED: dict[str, Callable[..., NDArray[np.bool_]]] = {
    ">": np.greater,
    ">=": np.greater_equal,
    "<": np.less,
    "<=": np.less_equal,
    "==": np.equal,
    "!=": np.not_equal,
}


def design(table: Regressors, formula: Formula) -> Columns:
    """Return the columns of a formula by name, (time,) float64 each, without gaps.

    Equal names are one column. A gap in the first row takes the next value, as nilearn's
    `load_confounds` has it; so do the first two of a second difference.

    Raises
    ------
    RecordError
        A column is missing, holds text or a gap after its first row, or the sidecar does not say
        what its components are.
    """
    columns = _columns(table, formula)
    return {name: filled(table, name, values) for name, values in columns.items()}


def _columns(table: Regressors, formula: Formula) -> Columns:  # noqa: PLR0911  a case a node
    match formula:
        case Column(name):
            return {name: column(table, name)}
        case Word(text):
            return _word(table, text)
        case Strategy():
            return _columns(table, parse(strategies.formula_of(formula)))
        case Components():
            return {name: column(table, name) for name in chosen(table, formula)}
        case Sum(terms):
            return _few([pair for term in terms for pair in _columns(table, term).items()])
        case Difference(orders, of):
            return _derived(table, _columns(table, of), "_derivative", orders)
        case Power(orders, of):
            return _derived(table, _columns(table, of), "_power", orders)
        case Indicator(sign, threshold, of):
            flags = _columns(table, of)
            return {
                f"1_[{sign}{threshold!r}]({name})": _flag(sign, threshold, values)
                for name, values in flags.items()
            }
        case Logic(word, of):
            return _logic(table, word, _columns(table, of))


def _word(table: Regressors, text: str) -> Columns:
    """Return what a word stands for; a column of this very name comes first."""
    have = table.frame.columns
    if text in have:
        return {text: column(table, text)}
    if "*" in text:
        found = [name for name in have if fnmatchcase(name, text.replace("[", "[[]"))]
        if not found:
            raise RecordError(f"{table.path}: no column is like {text!r}; {hint(text, have)}")
        return {name: column(table, name) for name in found}
    if text.lower() in FAMILIES:
        return _columns(table, Components(text.lower()))
    return {name: column(table, name) for name in SHORTHAND.get(text.lower(), (text,))}


def _derived(table: Regressors, columns: Columns, suffix: str, orders: tuple[int, ...]) -> Columns:
    """Return differences or powers, the table's own where it has them."""
    made, itself = (difference, 0) if suffix == "_derivative" else (power, 1)
    found = []
    for order in orders:
        for name, values in columns.items():
            new = name if order == itself else f"{name}{suffix}{order}"
            own = new in table.frame.columns
            found.append((new, column(table, new) if own else made(values, order)))
    return _few(found)


def _flag(sign: str, threshold: float, values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return 1 where the comparison holds; NaN, which the first row may be, holds in none."""
    flags = _COMPARED[sign](values, threshold) & ~np.isnan(values)
    return flags.astype(np.float64)


def _logic(table: Regressors, word: str, columns: Columns) -> Columns:
    for name, values in columns.items():
        if not np.isin(values, (0, 1)).all():
            raise RecordError(
                f"{table.path}: [{word}] takes columns of 0 and 1, {name!r} has other values; set "
                f"a threshold, as in 1_[>0.5]({name})"
            )
    if word == "NOT":
        return {f"[NOT]({name})": 1 - values for name, values in columns.items()}
    if word == "SCATTER":
        return {
            f"{name}_spike{frame}": np.eye(1, len(values), frame)[0]
            for name, values in columns.items()
            for frame in np.flatnonzero(values).tolist()
        }
    if not columns:
        return {}
    joined = (np.max if word == "OR" else np.min)(list(columns.values()), axis=0)
    return {f"[{word}]({' + '.join(columns)})": joined}


def _few(pairs: list[tuple[str, NDArray[np.float64]]]) -> Columns:
    """Return columns by name, the first of each; too many are an error."""
    if len(pairs) > MOST:
        raise RecipeError(f"the confounds are more than {MOST:,} columns; write fewer powers")
    found: Columns = {}
    for name, values in pairs:
        found.setdefault(name, values)
    return found
