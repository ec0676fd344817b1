"""What an operation is, and how one is registered."""

from __future__ import annotations

import hashlib
import inspect
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar, final, get_args, get_type_hints, overload

import polars as pl

from entense.errors import RecipeError
from entense.ops.spec import Spec, in_time, is_tr
from entense.registry import Registry, code_of
from entense.tensors.graph import canonical

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from entense.tensors.graph import Node

__all__ = ["RESERVED", "Kind", "Op", "Spec", "function_of", "in_time", "is_tr", "op", "ops"]
F = TypeVar("F", bound="Callable[..., Any]")


class Kind(Enum):
    """How an operation takes part in a plan."""

    SOURCE = "is opened before anything runs: headers, masks, atlases"
    TABLE = "is read when its record runs"
    SUMMARY = "is made of what is known before any voxel is: frames, tables"
    OPERATOR = "is linear in time: gives the (time, time) matrix that is to be applied"
    SPACE = "is linear in space: gives the columns that each new one is a weighted sum of"
    FRAMEWISE = "treats each frame of the first axis by itself"
    COLUMNWISE = "treats each column of the last axis by itself"
    POOL = "adds up columns of the voxel axis"
    WHOLE = "needs the whole array"
    GATHER = "takes the tensors of a list, and treats each column of the last axis by itself"


@final
@dataclass(frozen=True)
class Op:
    """A registered operation.

    Parameters
    ----------
    name
        What recipes call it.
    function
        Takes arrays by position and parameters by keyword.
    kind
        How it takes part in a plan.
    inputs
        The names of the arrays, and of the numbers that are different for each record.
    types
        Their annotations: ``float`` is a number, ``… | None`` may be missing.
    params
        The parameters, with their annotations and defaults.
    optional
        The inputs that a call may leave out.
    padded
        Whether it takes ``frames``: a time axis longer than the series, zero after that many.
    reads
        For an input that comes from a file: the source that reads it (``{"confounds": "table"}``).
    infer
        From the specs of the inputs and the parameters to the spec of the result; None where JAX
        can tell the shape and the dims follow from it.
    finish
        For a pool: what to do with the sums over all voxels.
    check
        Raises, given the parameters, where they cannot be right whatever the data.
    host
        For a framewise op: makes, on the CPU, what the function takes beside the frames.
    """

    name: str
    function: Callable[..., Any]
    kind: Kind
    inputs: tuple[str, ...]
    types: Mapping[str, Any]
    params: Mapping[str, inspect.Parameter]
    optional: frozenset[str] = frozenset()
    padded: bool = False
    reads: Mapping[str, str] = field(default_factory=dict)
    infer: Callable[..., Spec] | None = None
    finish: Callable[..., Any] | None = None
    check: Callable[..., object] | None = None
    host: Callable[..., Any] | None = None

    @cached_property
    def digest(self) -> str:
        """16 hexadecimal digits of the op's code: an archive made with other code is another."""
        parts = (self.function, self.infer, self.finish, self.host)
        text = self.kind.name + "".join(code_of(part) for part in parts if part is not None)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def signature(self) -> inspect.Signature:
        """How its method is called: without the tensor that it is a method of."""
        either = inspect.Parameter.POSITIONAL_OR_KEYWORD
        lacking = {True: None, False: inspect.Parameter.empty}
        inputs = [
            inspect.Parameter(name, either, default=lacking[name in self.optional])
            for name in self.inputs[1:]
        ]
        params = [param.replace(kind=either) for param in self.params.values()]
        ordered = sorted([*inputs, *params], key=lambda one: one.default is not one.empty)
        return inspect.Signature(ordered)

    def is_number(self, name: str) -> bool:
        """Whether an input is a number, which comes from the cells and is no array."""
        return float in self._admitted.get(name, ())

    def may_lack(self, name: str) -> bool:
        """Whether an input may be missing."""
        return type(None) in self._admitted.get(name, ())

    @cached_property
    def _admitted(self) -> Mapping[str, tuple[Any, ...]]:
        """What each input may be."""
        return {name: _admitted(annotation) for name, annotation in self.types.items()}

    def admits(self, param: str) -> tuple[Any, ...]:
        """Return the types that a parameter may have."""
        return _admitted(self.params[param].annotation)

    def bind(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Return every parameter of a call, checked and typed; an error names the remedy."""
        given = dict(zip(self.params, args, strict=False))
        if len(args) > len(self.params):
            raise RecipeError(f"{self.name} takes {self._call()}, too many values were given")
        for name, value in kwargs.items():
            if name not in self.params or name in given:
                problem = "is given twice" if name in given else "is unknown"
                raise RecipeError(f"the parameter {name!r} {problem}: {self._call()}")
            given[name] = value
        for name, param in self.params.items():
            if name not in given and param.default is param.empty:
                raise RecipeError(f"the parameter {name!r} is missing: {self._call()}")
        typed = {
            name: _typed(self.name, param, given.get(name, param.default))
            for name, param in self.params.items()
        }
        if self.check and not any(isinstance(value, pl.Expr) for value in typed.values()):
            self.check(**typed)
        return typed

    def _call(self) -> str:
        return f"{self.name}({', '.join([*self.inputs[1:], *map(str, self.params.values())])})"


ops: Registry[Op] = Registry("op")
# what recipes and the optimiser call their own nodes
RESERVED = (
    *("slot", "value", "absent", "apply", "operator", "codes", "centred", "parcels", "dense"),
    *("made", "mix", "mixed", "recipe"),
)
FRAMES = "frames"  # a keyword that is no parameter: how many frames of a padded time axis are real
# the kinds whose functions, or hosts, run on the CPU and may take what a file says
UNTRACED = (Kind.OPERATOR, Kind.SPACE, Kind.SUMMARY, Kind.POOL)
READING = (Kind.OPERATOR, Kind.POOL, Kind.SPACE, Kind.FRAMEWISE, Kind.SUMMARY)


@overload
def op(function: F, /) -> F: ...
@overload
def op(
    *,
    kind: Kind = ...,
    reads: Mapping[str, str] | None = ...,
    infer: Callable[..., Spec] | None = ...,
    finish: Callable[..., Any] | None = ...,
    check: Callable[..., object] | None = ...,
    host: Callable[..., Any] | None = ...,
) -> Callable[[F], F]: ...
def op(
    function: F | None = None,
    /,
    *,
    kind: Kind = Kind.WHOLE,
    reads: Mapping[str, str] | None = None,
    infer: Callable[..., Spec] | None = None,
    finish: Callable[..., Any] | None = None,
    check: Callable[..., object] | None = None,
    host: Callable[..., Any] | None = None,
) -> F | Callable[[F], F]:
    """Register a function as an operation, under its own name.

    Parameters
    ----------
    function
        A pure function, traceable by JAX. Positional arguments are arrays, or numbers that may
        differ from record to record where they are annotated ``float``; keyword-only ones are
        parameters that JSON can hold, annotated with their types. One that takes ``frames=None``
        by keyword may be given a time axis that is zero after that many frames (a float32 number;
        all where it is None), so that runs of many lengths share its programs; what it makes of
        the zeros is dropped.
    kind
        ``Kind.COLUMNWISE`` promises that each column of the last axis is treated by itself, and
        lets the function run in blocks of voxels. The default asks for the whole array.
    reads
        For an input that comes from a file: which source reads it.
    infer
        From the specs of the inputs to the spec of the result, where dims or shape change.
    finish
        For ``Kind.POOL``: applied to the sums over all voxels.
    check
        Raises, given the parameters, where they cannot be right whatever the data.
    host
        For ``Kind.FRAMEWISE``: from the specs of the inputs and the parameters to what the function
        takes as its second argument, a named tuple of arrays such as weights; made once a mask.

    Raises
    ------
    EntenseError
        Where the name is taken, unless by an earlier run of the same definition (a notebook's
        cell), which is replaced.

    Examples
    --------
    >>> import entense as et
    >>> @et.op
    ... def centre(x, *, scale: float = 1.0):
    ...     return scale * (x - x.mean(axis=0))
    >>> print(et.volume("bold", mask="mask").centre(scale=2.0))
    volume(bold, mask) → centre(scale=2.0)
    """

    def register(function: F) -> F:
        name = function.__name__
        types, params, optional = _signature(function)
        if host is not None:  # the function takes what the host makes of the inputs
            types, _, optional = _signature(host)
        pads = params.pop(FRAMES, None) is not None
        new = Op(
            name=name,
            function=function,
            kind=kind,
            inputs=tuple(types),
            types=types,
            params=params,
            optional=optional,
            padded=pads,
            reads=reads or {},
            infer=infer,
            finish=finish,
            check=check,
            host=host,
        )
        _add(new)
        return function

    return register if function is None else register(function)


def function_of(node: Node) -> Callable[..., Any]:
    """Return the function of a node: of its arrays alone, however many a list has; and `frames`."""
    operation, params = ops[node.op], node.params
    if operation.kind is Kind.GATHER:
        return lambda *arrays, **frames: operation.function(list(arrays), **params, **frames)
    return lambda *arrays, **frames: operation.function(*arrays, **params, **frames)


def _add(new: Op) -> None:
    if not isinstance(new.kind, Kind):
        kinds = ", ".join(f"et.Kind.{kind.name}" for kind in Kind)
        raise RecipeError(f"the op {new.name!r} has the kind {new.kind!r}; there are {kinds}")
    if new.name in RESERVED or new.name.startswith("_"):
        raise RecipeError(f"the name {new.name!r} is one of entense's own; give the op another")
    if "cells" in new.params:
        raise RecipeError(f"the op {new.name!r} has a parameter 'cells', a name of entense's own")
    if new.kind is Kind.GATHER and len(new.inputs) != 1:
        raise RecipeError(f"the op {new.name!r} gathers: it takes one list, and parameters")
    if new.reads and new.kind not in READING:
        raise RecipeError(f"the op {new.name!r} is {new.kind.name}, which reads no files")
    if new.infer is None and (new.kind in UNTRACED or new.host is not None):
        raise RecipeError(
            f"the op {new.name!r} is {new.kind.name}, of which JAX cannot tell the shape: give "
            "infer=, from the specs of its inputs to that of its result"
        )
    ops.define(new.name, new, lambda operation: operation.function)


def _signature(
    function: Callable[..., Any],
) -> tuple[dict[str, Any], dict[str, inspect.Parameter], frozenset[str]]:
    """Split a signature into inputs, parameters and what is optional, annotations resolved."""
    inputs: dict[str, Any] = {}
    optional: set[str] = set()
    params: dict[str, inspect.Parameter] = {}
    hints = _hints(function)
    for name, param in inspect.signature(function).parameters.items():
        if param.kind is param.KEYWORD_ONLY:
            params[name] = param.replace(annotation=hints.get(name, Any))
        elif param.kind in (param.POSITIONAL_ONLY, param.POSITIONAL_OR_KEYWORD):
            inputs[name] = hints.get(name, Any)
            optional |= {name} if param.default is None else set()
        else:
            raise RecipeError(f"the op {function.__name__!r} must not take *args or **kwargs")
    return inputs, params, frozenset(optional)


def _admitted(annotation: Any) -> tuple[Any, ...]:
    """Return what an annotation admits."""
    whole = getattr(annotation, "__origin__", None) is list
    return (annotation,) if whole else get_args(annotation) or (annotation,)


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    try:
        return get_type_hints(function)
    except NameError:  # annotations of arrays may name what only type checkers import
        scope = {**function.__globals__, "Any": Any}
        return {k: _evaluate(v, scope) for k, v in function.__annotations__.items()}


def _evaluate(annotation: Any, scope: dict[str, Any]) -> Any:
    if not isinstance(annotation, str):
        return annotation
    try:
        return eval(annotation, scope)  # noqa: S307  the text of the op's own source
    except NameError:
        return Any


def _typed(op_name: str, param: inspect.Parameter, value: Any) -> Any:
    """Return `value` as its annotation has it: an int for a float becomes a float."""
    if isinstance(value, pl.Expr):  # it is typed when the cells are known
        return value
    value = canonical(value, param.name)
    admitted = _admitted(param.annotation)
    if type(value) is int and float in admitted and int not in admitted:
        return float(value)
    plain = {bool, int, float, str, type(None), list}
    kinds = {getattr(kind, "__origin__", kind) for kind in admitted}
    if kinds <= plain and type(value) not in kinds:
        wanted = " or ".join(sorted(kind.__name__.replace("NoneType", "None") for kind in kinds))
        raise RecipeError(
            f"{op_name}: the parameter {param.name!r} must be {wanted}, not {value!r}"
        )
    return value
