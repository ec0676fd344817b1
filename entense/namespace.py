"""The `.entense` namespace of Polars frames: each method is the public function of its name."""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING, Any

import polars as pl

from entense import api

if TYPE_CHECKING:
    from collections.abc import Callable

METHODS = (
    api.collect,
    api.drop_incomplete,
    api.explain,
    api.group_mask,
    api.join_table,
    api.loader,
    api.relocate,
    api.split,
    api.stage,
    api.transform,
    api.write,
)


class Entense:
    """What entense adds to a Polars frame; ``frame.entense.stage(…)`` is ``et.stage(frame, …)``."""

    def __init__(self, frame: pl.DataFrame | pl.LazyFrame) -> None:
        self._frame = frame


def _delegate(function: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(function)
    def method(self: Entense, *args: Any, **kwargs: Any) -> Any:
        return function(self._frame, *args, **kwargs)

    return method


for _function in METHODS:
    setattr(Entense, _function.__name__, _delegate(_function))

pl.api.register_dataframe_namespace("entense")(Entense)
pl.api.register_lazyframe_namespace("entense")(Entense)
