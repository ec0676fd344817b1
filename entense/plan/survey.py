"""The survey: bind every row's recipe to its inputs, and know every shape before anything runs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import repeat
from typing import TYPE_CHECKING, Any

import polars as pl

from entense.errors import EntenseError, RecipeError, RecordError
from entense.files import MISSING, version_of
from entense.index.fetch import forget
from entense.ops.core import Kind, Op, Spec, ops
from entense.ops.gather import check_alike
from entense.ops.load import GIVEN
from entense.ops.spec import check_values
from entense.plan.bind import Binder, Bound
from entense.plan.demand import demand_of
from entense.plan.fuse import DEFAULT, How, compile_program
from entense.plan.passing import check_machine
from entense.plan.rows import Row, Rows
from entense.plan.shapes import infer, spec_of
from entense.progress import progress
from entense.tensors import lazy
from entense.tensors.graph import Node, to_json, walk
from entense.tensors.inputs import INPUTS, PARAMETERS, is_list
from entense.threads import here_or_in_threads

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from entense.index.fetch import Version
    from entense.plan.optimize import Roots

_READERS = 8  # threads that read headers: they wait for the disk, not for a core


@dataclass(frozen=True)
class Survey:
    """What is known of a table's tensors before any voxel is read.

    Parameters
    ----------
    tensors
        Their names.
    recipes
        Name to canonical JSON.
    rows
        What is known of each row.
    versions
        Path to what told the content of a file from another (see `version_of`) before any of it
        was read; nulls where it is missing.
    how
        The rules and the fusion that it was made for.
    """

    tensors: tuple[str, ...]
    recipes: Mapping[str, str]
    rows: Rows
    versions: Mapping[str, Version]
    how: How = DEFAULT

    @property
    def specs(self) -> list[Mapping[str, Spec]]:
        """The specs of the rows that could be surveyed, once where rows are alike."""
        found = {id(kind.specs): kind.specs for kind in self.rows.kinds}
        return [specs for specs in found.values() if specs is not None]

    @property
    def errors(self) -> list[str | None]:
        """What is wrong with each row, or None."""
        return [row.error for row in self.rows]

    def bytes(self, row: int) -> int:
        """Return how large the files of a row are."""
        return sum(self.versions[path][0] or 0 for path in self.rows[row].bound.paths)


def survey(
    table: pl.DataFrame,
    tensors: Sequence[str] | None = None,
    *,
    dtype: Mapping[str, str] = {},
    how: How = DEFAULT,
) -> Survey:
    """Read headers, masks and atlases of every row; no voxels.

    Parameters
    ----------
    table
        A record table with lazy tensors.
    tensors
        Which of them; all unless given.
    dtype
        Tensor to the number format it is to be converted to at the end.
    how
        The rules and the fusion to use.

    Raises
    ------
    RecipeError
        Where a tensor is not there, or its recipe names an op that is not registered.
    """
    forget()  # what stores said of files in an earlier survey
    names = _names(table, tensors, dtype)
    roots = {name: _root(table.schema[name], dtype.get(name)) for name in names}
    looker = _Looker(roots, table, how)
    rows = here_or_in_threads(looker.rows, range(len(table)), _READERS)
    known = Rows(progress(rows, what="survey", unit="records", total=len(table)))
    recipes = {name: to_json(root) for name, root in roots.items()}
    return Survey(tuple(names), recipes, known, looker.versions, how)


def _names(
    table: pl.DataFrame, tensors: Sequence[str] | None, dtype: Mapping[str, str]
) -> list[str]:
    have = lazy.tensor_columns(table.schema)
    names = have if tensors is None else list(tensors)
    for name in [*names, *dtype]:
        if name not in have:
            raise RecipeError(
                f"there is no lazy tensor {name!r} in the table; there are {have or 'none'}: "
                "append one with .entense.transform(name=et.volume(…)…)"
            )
    return names


def _root(column: pl.DataType, dtype: str | None) -> Node:
    assert isinstance(column, lazy.Lazy)  # noqa: S101  _names took them from tensor_columns
    root = column.root
    for node in walk(root):
        if node.op == "slot":
            _check_slot(node, column)
        else:
            _check(node)
    if root.op == "slot" or is_list(root):
        raise RecipeError(
            "the recipe gives no tensor, but a file or a list; make it again with transform"
        )
    if dtype is not None:
        root = Node("astype", root, **ops["astype"].bind((dtype,), {}))
    return root


def _check(node: Node) -> None:
    """Hold a node, which may come from a file, to what its op takes."""
    if node.op not in ops:
        raise RecipeError(
            f"the recipe has the op {node.op!r}, which is not registered in this process; "
            "import the module that registers it (on the command line: --import MODULE)"
        )
    if not _is_right(node, ops[node.op]):
        raise RecipeError(
            f"the recipe's step {node.op!r} is not as the op takes it here: "
            f"{len(node.inputs)} inputs and {node.params}; make the tensor again with transform"
        )


def _is_right(node: Node, operation: Op) -> bool:
    params = node.params
    cells = params.pop("cells", [])
    if not isinstance(cells, list) or len(set(map(str, cells))) < len(cells):
        return False
    if not set(map(str, cells)) <= {*operation.params} - {*params}:
        return False
    # what comes from the cells is not known yet, as an expression's value is not
    known = operation.bind((), params | dict.fromkeys(cells, pl.lit(None)))
    if params != {name: value for name, value in known.items() if name not in cells}:
        return False
    from_cells = [item.op == "slot" and bool(item.params.get("param")) for item in node.inputs]
    if from_cells != [False] * len(operation.inputs) + [True] * len(cells):
        return False
    return operation.kind is not Kind.GATHER or is_list(node.inputs[0])


def _check_slot(node: Node, column: lazy.Lazy) -> None:
    """Hold an input to what the cells have of it."""
    params = node.params
    dtype: Any = column.slots.get(params["name"])
    if params.get("each"):
        dtype = dtype.inner if isinstance(dtype, pl.List) else None
    kinds = PARAMETERS if params.get("param") else INPUTS
    if node.inputs or dtype not in kinds:
        raise RecipeError(
            f"the recipe's input {params['name']!r} is not in the cells as it is due; make the "
            "tensor again with transform"
        )


class _Looker:
    """Looks at the rows of one table; those that are alike share what is known of them."""

    def __init__(self, roots: Mapping[str, Node], table: pl.DataFrame, how: How) -> None:
        self._names, self._binder, self._how = tuple(roots), Binder(roots), how
        cells = {name: lazy.cells(table[name]) for name in roots}
        self._cells = [cells[name][slot] for name, slot in self._binder.keys]
        self._same: dict[Any, Any] = {}
        self.versions: dict[str, Version] = {}  # of each file, however many rows read it

    def rows(self, some: Sequence[int]) -> list[Row]:
        """Return what is known of some rows that follow each other."""
        cells = [column[some[0] : some[-1] + 1].to_list() for column in self._cells]
        rows = zip(*cells, strict=True) if cells else repeat((), len(some))
        return [self._row(self._binder.bind(row)) for row in rows]

    def _row(self, bound: Bound) -> Row:
        for path in bound.paths:
            if path not in self.versions:  # the first that was seen stays: it is the oldest
                self.versions.setdefault(path, version_of(path) or MISSING)
        if bound.error is not None:
            return Row(bound, error=bound.error)
        try:
            known = look(bound)
            program, specs = compile_program(bound.roots, known, self._how)
            demand = demand_of(program, specs, known)
        except (RecipeError, ImportError):  # no record's fault
            raise
        except Exception as error:  # whatever it is, the other records go on
            check_machine(error, bound)
            return Row(bound, error=sentence(error, bound))
        made = tuple(spec_of(known[root]) for root in bound.roots)
        return Row(bound, self._named(made), self._same.setdefault(demand, demand))

    def _named(self, specs: tuple[Spec, ...]) -> Mapping[str, Spec]:
        frames = tuple(None if spec.kept is None else spec.kept.tobytes() for spec in specs)
        named = dict(zip(self._names, specs, strict=True))
        known: Mapping[str, Spec] = self._same.setdefault((specs, frames), named)
        return known


def sentence(error: Exception, bound: Bound) -> str:
    """Say what is wrong with a row, naming a file even where the op did not know it."""
    text = str(error) if isinstance(error, EntenseError) else f"{type(error).__name__}: {error}"
    if "Traceback (most recent call last):" in text:  # JAX's, of a callback; it differs by process
        text = text.strip().splitlines()[-1]
    paths = bound.paths
    if not paths or any(path in text for path in paths):
        return text
    return f"{paths[0]}: {text}"


def look(bound: Bound) -> dict[Node, Any]:
    """Return what is known of every node: a `Spec`, an opened source, or an input."""
    known: dict[Node, Any] = {}
    for node in _order(bound.roots):
        known[node] = _known(node, [spec_of(known[item]) for item in node.inputs], bound)
    return known


@lru_cache(maxsize=256)  # many records have one graph
def _order(roots: Roots) -> list[Node]:
    return walk(*roots)


def _known(node: Node, inputs: list[Any], bound: Bound) -> Any:
    if node.op in ("value", "absent"):
        return bound.values[node.params["place"]] if node.op == "value" else None
    operation = ops[node.op]
    if operation.inputs[:1] == ("path",) and inputs[0] is None and node.op not in GIVEN:
        return None  # the op that takes it knows its name
    _check_present(operation, node, inputs)
    check_values(node.op, inputs)
    if operation.kind in (Kind.SOURCE, Kind.TABLE):
        return operation.function(*inputs, **node.params)
    if operation.kind is Kind.GATHER:
        check_alike(node.op, inputs)
    return infer(node, inputs)


def _check_present(operation: Op, node: Node, inputs: Sequence[Any]) -> None:
    """Raise where the record lacks a file or a number that it must have.

    A file that may be left out is left out by all records, or is due in each.
    """
    strict = operation.kind is not Kind.GATHER
    for name, item, value in zip(operation.inputs, node.inputs, inputs, strict=strict):
        optional = operation.may_lack(name) and (
            operation.is_number(name) or value is not None or _may_be_missing(item)
        )
        if value is None and not optional:
            raise RecordError(
                f"the record has no {'number' if operation.is_number(name) else 'file'} for its "
                f"{operation.name if name == 'path' else name}; leave such records out with "
                ".entense.drop_incomplete()"
            )


def _may_be_missing(item: Node) -> bool:
    """Whether no record is said to have what one lacks, or what reads it."""
    absent = item.inputs[0] if item.inputs else item
    return not absent.params.get("wanted")
