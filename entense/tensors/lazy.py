"""The lazy column: an Arrow extension type: its metadata are the recipe, its cells the inputs."""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any, final

import numpy as np
import polars as pl
import pyarrow as pa

from entense.errors import RecipeError
from entense.tensors.graph import Node, describe, from_json, to_json

if TYPE_CHECKING:
    from numpy.typing import NDArray

NAME = "entense.tensor"
FIXED = "arrow.fixed_shape_tensor"
RAGGED = "entense.ragged_tensor"
DIGEST = "recipe"  # the field of a cell that says which recipe it belongs to


@final
class Lazy(pl.BaseExtension):
    """The Polars type of a tensor that has not been computed yet.

    Parameters
    ----------
    storage
        A struct of the inputs, one field a slot, and the recipe's digest.
    recipe
        The canonical JSON of the recipe.
    """

    def __init__(self, storage: pl.DataType, recipe: str) -> None:
        super().__init__(NAME, storage, recipe)

    @classmethod
    def ext_from_params(cls, name: str, storage: Any, metadata: str | None) -> Lazy:
        """Make the type from a file; it must not raise, whatever the file says."""
        return cls(storage, metadata or "")

    @property
    def recipe(self) -> str:
        """The canonical JSON of the recipe."""
        return self.ext_metadata() or ""

    @property
    def root(self) -> Node:
        """The recipe's last node; an error where the metadata is no recipe."""
        return from_json(self.recipe)

    @property
    def slots(self) -> dict[str, pl.DataType]:
        """Name and type of every input in a cell."""
        storage = self.ext_storage()
        assert isinstance(storage, pl.Struct)  # noqa: S101  `column` makes no other
        return {
            field.name: field.dtype
            for field in storage.fields
            if field.name != DIGEST and isinstance(field.dtype, pl.DataType)
        }

    def _string_repr(self) -> str:
        try:
            return describe(self.root)
        except Exception:  # a raise here would become a Rust panic
            return "tensor, unreadable recipe"


@final
class ArrowLazy(pa.ExtensionType):  # type: ignore[misc]
    """The same type for PyArrow, which would else mix tables of two recipes without a word."""

    def __init__(self, storage: pa.DataType, recipe: str) -> None:
        self.recipe = recipe
        super().__init__(storage, NAME)

    def __arrow_ext_serialize__(self) -> bytes:
        return self.recipe.encode()

    @classmethod
    def __arrow_ext_deserialize__(cls, storage: pa.DataType, serialized: bytes) -> ArrowLazy:
        return cls(storage, serialized.decode(errors="replace"))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ArrowLazy):
            return False
        return bool(self.recipe == other.recipe and self.storage_type == other.storage_type)

    def __hash__(self) -> int:
        return hash((NAME, self.recipe))


def register() -> None:
    """Make the type known to Polars and PyArrow; a second call changes nothing."""
    # where the module was reloaded both know it already
    with suppress(pl.exceptions.ComputeError):
        pl.register_extension_type(NAME, Lazy)
    with suppress(pa.ArrowKeyError):
        pa.register_extension_type(ArrowLazy(pa.struct([(DIGEST, pa.string())]), ""))


def digest(recipe: str) -> str:
    """Return 16 hexadecimal digits of a recipe."""
    return hashlib.sha256(recipe.encode()).hexdigest()[:16]


def column(root: Node, fields: dict[str, pl.Expr], types: dict[str, pl.DataType]) -> pl.Expr:
    """Return the expression that makes the lazy column of a recipe from its slots."""
    recipe = to_json(root)
    fields = {**fields, DIGEST: pl.lit(digest(recipe), pl.String)}
    types = {**types, DIGEST: pl.String()}
    names = sorted(fields)
    struct = pl.struct(fields[name].cast(types[name]).alias(name) for name in names)
    storage = pl.Struct({name: types[name] for name in names})
    return struct.ext.to(Lazy(storage, recipe))


def tensor_columns(schema: pl.Schema) -> list[str]:
    """Return the names of the lazy columns of a schema."""
    return [name for name, dtype in schema.items() if isinstance(dtype, Lazy)]


def is_lazy(dtype: Any) -> bool:
    """Whether a column holds lazy tensors, or lists of them."""
    return isinstance(dtype.inner if isinstance(dtype, pl.List) else dtype, Lazy)


def check_no_lists(schema: pl.Schema) -> None:
    """Raise a RecipeError where a column holds lists of lazy tensors, which nothing computes."""
    for name, dtype in schema.items():
        if isinstance(dtype, pl.List) and is_lazy(dtype):
            raise RecipeError(
                f"the column {name!r} holds a list of tensors in each row: make one of them with "
                f'transform({name}=et.col("{name}").concat()), or .stack() or .mean(), or leave '
                f'them out with .drop("{name}")'
            )


def storage(name: str) -> pl.Expr:
    """Return the cells of a lazy column as a plain struct."""
    return pl.col(name).ext.storage()


def field(name: str, slot: str, *, listed: bool = False) -> pl.Expr:
    """Return one input of a lazy column, or of each item of a column of lists of them."""
    if listed:
        return pl.col(name).list.eval(pl.element().ext.storage().struct.field(slot))
    return storage(name).struct.field(slot)


def cells(series: pl.Series) -> pl.DataFrame:
    """Return the inputs of a lazy column, a slot a column; check that they belong to its recipe.

    Raises
    ------
    RecipeError
        Where rows of another recipe were mixed in, which PyArrow and struct surgery can do.
    """
    dtype = series.dtype
    assert isinstance(dtype, Lazy)  # noqa: S101  callers take names from tensor_columns
    storage, due = series.ext.storage(), digest(dtype.recipe)
    inputs = storage.struct.unnest()
    given = inputs[DIGEST] if DIGEST in inputs.columns else pl.Series([None])
    if not (given.eq_missing(due) | storage.is_null()).all():
        raise RecipeError(
            f"the column {series.name!r} holds rows of another recipe than its type says; "
            "two tables with different recipes were joined outside Polars: join the plain "
            "tables first, then call transform"
        )
    return inputs


def arrow_tensors(
    name: str, arrays: list[NDArray[Any]], dims: tuple[str, ...], *, ragged: bool = False
) -> pl.Series:
    """Return computed tensors as an Arrow tensor column with named dimensions.

    Where all have one shape the type is Arrow's own ``arrow.fixed_shape_tensor``; else it is
    ``entense.ragged_tensor``, a struct of the flat ``data`` and the ``shape``. Arrow has no
    bfloat16: it becomes float32, which holds the same numbers. `ragged` says that others of the
    column have another shape.
    """
    arrays = [_arrow(array) for array in arrays]
    shapes = {array.shape for array in arrays}
    if not ragged and len(shapes) == 1 and (shape := shapes.pop()) and 0 not in shape:
        inner = _flat_series(name, arrays).cast(pl.Array(_dtype(arrays[0]), int(np.prod(shape))))
        meta = json.dumps({"shape": list(shape), "dim_names": list(dims)})
        return inner.ext.to(pl.Extension(FIXED, inner.dtype, meta))
    extents = pl.Series([list(a.shape) for a in arrays], dtype=pl.Array(pl.Int32, len(dims)))
    both = pl.DataFrame({"data": _flat_series("data", arrays), "shape": extents})
    struct = both.to_struct(name)
    meta = json.dumps({"dim_names": list(dims)})
    return struct.ext.to(pl.Extension(RAGGED, struct.dtype, meta))


def to_numpy(series: pl.Series) -> NDArray[Any] | list[NDArray[Any] | None]:
    """Return the arrays of a tensor column that `collect` made.

    Parameters
    ----------
    series
        A column of type ``arrow.fixed_shape_tensor`` or ``entense.ragged_tensor``.

    Returns
    -------
    (row, …) where all have one shape and none is null; else a list of arrays, None for a null.

    Raises
    ------
    RecipeError
        Where the column holds no tensors, or lazy ones.

    Examples
    --------
    >>> series = arrow_tensors("x", [np.zeros((2, 3), np.float32)] * 4, ("time", "voxel"))
    >>> to_numpy(series).shape
    (4, 2, 3)
    """
    dtype = series.dtype
    if not isinstance(dtype, pl.BaseExtension) or dtype.ext_name() not in (FIXED, RAGGED):
        hint = "; compute it with .entense.collect()" if isinstance(dtype, Lazy) else ""
        raise RecipeError(f"the column {series.name!r} holds no computed tensors{hint}")
    inner = series.ext.storage()
    if dtype.ext_name() == FIXED:
        shape = json.loads(dtype.ext_metadata() or "{}")["shape"]
        if not inner.null_count():
            return inner.to_numpy().reshape(len(series), *shape)
        return [None if row is None else row.to_numpy().reshape(shape) for row in inner]
    data, shapes = inner.struct.field("data"), inner.struct.field("shape")
    return [
        None if row is None else row.to_numpy().reshape(shape.to_list())
        for row, shape in zip(data, shapes, strict=True)
    ]


def _arrow(array: NDArray[Any]) -> NDArray[Any]:
    return array.astype(np.float32) if array.dtype.name == "bfloat16" else array


def _dtype(array: NDArray[Any]) -> pl.DataType:
    return pl.Series(array.ravel()[:0]).dtype


def _flat_series(name: str, arrays: list[NDArray[Any]]) -> pl.Series:
    rows = [array.ravel() for array in arrays] or [np.empty(0, np.float32)]
    offsets = pa.array(np.cumsum([0, *(array.size for array in arrays)]), pa.int64())
    # what is one array is shared, not copied
    flat = pa.array(np.concatenate(rows) if len(rows) > 1 else rows[0])
    return pl.Series(name, pa.LargeListArray.from_arrays(offsets, flat))
