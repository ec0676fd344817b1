"""What a distributed `write` would submit, written down and not submitted."""

from __future__ import annotations

from inspect import signature
from typing import TYPE_CHECKING, Any

from entense.archive.executors import Elsewhere
from entense.archive.home import home_of
from entense.archive.options import Options
from entense.archive.write import plan_archive, write
from entense.distribute.run import Distributed
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
        The archive's folder. The files of the tasks are written into it, below ``.entense/run``:
        a slice of the table each, and what is to be done with it. Of a URL they are in `scratch`.
    **options
        As `write` takes them.

    Returns
    -------
    A text: the workflow, how many tasks, what each asks for, and about how many core hours.

    Raises
    ------
    EntenseError
        As `write`, for all that can be known without a voxel.

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
    given = known | {name: options.pop(name) for name in [*options] if name in known}
    asked = Options(**{name: given[name] for name in Options.__dataclass_fields__})
    here = ("worker", "cores", "gpus", "tasks", "modules")
    where = Elsewhere(**{name: given[name] for name in here}, options=options)
    memory = None if given["memory"] is None else bytes_of(given["memory"], "memory")
    home = home_of(path, given["storage_options"], given["scratch"])
    work = plan_archive(frame, home, asked, overwrite=given["overwrite"])
    with home.locked():
        known = work.writer.checked(work.parts)
        missing = [part for part in work.parts if known[part.name] is None]
        return Distributed(asked, memory, where).drawn(work.writer, missing)
