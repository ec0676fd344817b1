"""The `.entense` namespace of Polars frames: each method is the public function of its name."""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING, Any

import polars as pl

from entense.tensors import lazy

if TYPE_CHECKING:
    from collections.abc import Callable


class Entense:
    """What entense adds to a Polars frame; ``frame.entense.stage(…)`` is ``et.stage(frame, …)``."""

    def __init__(self, frame: pl.DataFrame | pl.LazyFrame) -> None:
        self._frame = frame


def register(*functions: Callable[..., Any]) -> None:
    """Make functions that take a frame first methods of ``frame.entense``."""
    for function in functions:
        setattr(Entense, function.__name__, _delegate(function))
    pl.api.register_dataframe_namespace("entense")(Entense)
    pl.api.register_lazyframe_namespace("entense")(Entense)
    lazy.register()


def _delegate(function: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(function)
    def method(self: Entense, *args: Any, **kwargs: Any) -> Any:
        return function(self._frame, *args, **kwargs)

    return method
