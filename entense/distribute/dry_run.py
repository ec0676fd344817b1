"""What a distributed `write` would submit, written down and not submitted."""

from __future__ import annotations

from inspect import signature
from typing import TYPE_CHECKING, Any

from entense.archive.executors import Elsewhere, executors
from entense.archive.folder import fitting
from entense.archive.home import home_of
from entense.archive.options import Options
from entense.archive.write import plan_archive, write
from entense.errors import ExecutionError
from entense.sizes import bytes_of

if TYPE_CHECKING:
    from pathlib import Path

    import polars as pl


def dry_run(frame: pl.DataFrame | pl.LazyFrame, path: str | Path, **options: Any) -> str:
    """Plan a `write` on other processes, and cut it into tasks, without submitting any.

    Parameters
    ----------
    frame
        A record table with lazy tensor columns.
    path
        The archive's folder, or URL; nothing is written there.
    **options
        As `write` takes them, of ``executor="pydra"`` unless another is given.

    Returns
    -------
    A text: the workflow, how many tasks, what each asks for, about how many core hours, and the
    temporary folder that has the files of the tasks: a slice of the table each, and what is to be
    done with it.

    Raises
    ------
    EntenseError
        As `write`, for all that can be known without a voxel; and where the executor is this
        process.

    Examples
    --------
    >>> import polars as pl
    >>> dry_run(pl.DataFrame({"record": ["a"]}), "out", worker="slurm")
    Traceback (most recent call last):
    entense.errors.TableError: the table has no lazy tensor to compute; add one with transform
    """
    known = {
        name: parameter.default
        for name, parameter in signature(write).parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY
    }
    given = (
        known
        | {"executor": "pydra"}
        | {name: options.pop(name) for name in [*options] if name in known}
    )
    asked = Options(**{name: given[name] for name in Options.__dataclass_fields__})
    here = ("worker", "cores", "gpus", "tasks", "modules")
    where = Elsewhere(**{name: given[name] for name in here}, options=options)
    memory = None if given["memory"] is None else bytes_of(given["memory"], "memory")
    execute: Any = executors[given["executor"]](asked, memory, where)
    if not hasattr(execute, "drawn"):
        raise ExecutionError(
            f'executor={given["executor"]!r} submits nothing; give executor="pydra"'
        )
    home, anew = home_of(path, given["storage_options"], given["scratch"]), given["overwrite"]
    work = plan_archive(frame, home, asked, overwrite=anew)
    if not anew:
        fitting(home, work.begun())
    known = {} if anew else work.writer.checked(work.parts)
    missing = [part for part in work.parts if known.get(part.name) is None]
    drawn: str = execute.drawn(work.writer, missing)
    return drawn
