"""What is made on the CPU, in float64, before a record's arrays are: filters and parcel codes."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from functools import lru_cache
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np

from entense.errors import RecipeError, naming
from entense.ops.core import Kind, ops
from entense.ops.linear import Operator
from entense.ops.parcels import codes_of
from entense.ops.timing import left_of
from entense.plan.optimize import kind
from entense.plan.shapes import spec_of
from entense.tensors.graph import Node, walk

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from entense.plan.fuse import Program

FEW = 2  # degrees of freedom
_LOG = logging.getLogger("entense")
_limiting = Lock()  # the limit is the process's, whichever thread asks


def read_tables(program: Program, known: dict[Node, Any]) -> None:
    """Read the tables that a program's filters need."""
    found = (node for made in program.hosted for node in walk(made) if kind(node) is Kind.TABLE)
    for node in dict.fromkeys(found):  # in order: of two that are damaged archives name the first
        if known[node] is not None:
            known[node].frame  # noqa: B018  it is read when it is looked at, and kept


def make(node: Node, known: dict[Node, Any]) -> Any:
    """Make what a hosted node stands for.

    Parameters
    ----------
    node
        An ``operator``, ``codes`` or ``made``.
    known
        What is known of the recipe's nodes, with tables read.

    Returns
    -------
    An `Operator`; `Codes` or `Weights`; `Neighbours`, what a framewise op takes, or a summary.
    """
    if node.op == "codes":
        x, atlas, *weights = (known[one] for one in node.inputs)
        return codes_of(atlas, spec_of(x).mask, *weights)
    with one_thread():
        return _operator(node, known) if node.op == "operator" else _made(node.inputs[0], known)


def _made(recipe: Node, known: dict[Node, Any]) -> Any:
    operation = ops[recipe.op]
    made = operation.host if operation.kind is Kind.FRAMEWISE else operation.function
    assert made is not None  # noqa: S101  lowering looked
    with naming(recipe.op):
        return made(*(spec_of(known[item]) for item in recipe.inputs), **recipe.params)


def freedom(node: Node, operator: Operator, known: dict[Node, Any]) -> int:
    """Return about how many degrees of freedom a filter leaves: the trace of its matrix.

    For a projection that is its rank; a band-pass filter keeps about 2 * frames * TR * width
    (Hastie & Tibshirani 1990, Generalized Additive Models, 3.5). Where frames were left out, it is
    the sum over the others of what each weighs in itself. The frames of another TR are none of the
    old ones: there the squares count, and no more than there were frames, or are.
    """
    before, after = node.inputs[0].inputs[0], node.inputs[-1]
    frames, matrix = left_of(spec_of(known[before]), spec_of(known[after])), operator.matrix
    if frames is None:
        kept = min(float(np.square(matrix).sum()), *matrix.shape)
    else:
        kept = matrix[np.arange(len(frames)), frames].sum(dtype=np.float64)
    return max(0, round(float(kept)))


def warn_of_noise(name: str, few: Sequence[str], records: int) -> None:
    """Warn of records of which filters left next to nothing: rounding noise looks like data."""
    if few:
        _LOG.warning(
            "%s: filters leave at most %d degrees of freedom of %d of %d records (%s): what is "
            "left is rounding noise; filter less, or leave short runs out",
            *(name, FEW, len(few), records, ", ".join(few[:3])),
        )


def _operator(node: Node, known: dict[Node, Any]) -> Operator:
    matrix: NDArray[np.float64] | None = None
    for step in node.inputs:
        inputs = [spec_of(known[item]) for item in step.inputs]
        with naming(step.op):
            new = ops[step.op].function(*inputs, **step.params)
        due = (known[step].shape[0], inputs[0].shape[0])
        if new.shape != due:
            raise RecipeError(
                f"the op {step.op!r} made a matrix {new.shape}, {due} was promised; its `infer` is "
                "wrong, mend it or leave it out"
            )
        matrix = new if matrix is None else new @ matrix
    assert matrix is not None  # noqa: S101  an operator has at least one step
    return Operator.of(matrix)


@contextmanager
def one_thread() -> Iterator[None]:
    """Hold BLAS to one thread: a matrix product's last bits depend on how many there are."""
    with _limiting, _blas().limit(limits=1, user_api="blas"):
        yield


@lru_cache(maxsize=1)
def _blas() -> Any:
    import scipy.linalg  # noqa: F401  it brings a BLAS of its own, which must be there to be held
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()
