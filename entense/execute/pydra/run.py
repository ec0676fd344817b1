"""The driver of a run: Pydra in a thread of its own, and whoever asked, kept informed."""

from __future__ import annotations

import asyncio
import logging
import shutil
import threading
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from entense.errors import ExecutionError
from entense.execute.pydra.sigterm import ended_by_sigterm
from entense.execute.pydra.tasks import Ended, Handle, Outcome, Task, check_entry
from entense.execute.pydra.workers.choose import choose

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

_TICK = 1.0  # seconds
_NOISY = ("pydra", "distributed")


def run_tasks(
    tasks: Sequence[Task],
    *,
    worker: Any = "process",
    cache: Path,
    modules: Sequence[str] = (),
    poll: Callable[[], None] = lambda: None,
    **options: Any,
) -> list[Ended]:
    """Run tasks as one Pydra workflow and say how each ended; none stops the others.

    Ctrl-C, or an exception in `poll`, ends the workers, cancels what they submitted, and is raised;
    so does SIGTERM, of which this process then dies.

    Parameters
    ----------
    tasks
        What to run.
    worker
        ``"process"``, ``"dask"``, ``"slurm"``, or the name, the class or an instance of a worker
        of Pydra's (``"sge"``, …).
    cache
        A folder for what Pydra keeps, outcomes and logs; all of it can be thrown away afterwards.
        For workers on other machines it must be on storage that they share.
    modules
        Modules that a worker imports before it runs a task.
    poll
        Called about once a second, here, while the tasks run.
    **options
        The worker's. process: `n_procs`. dask: `address`, or `n_procs`. slurm: `partition`, `time`,
        `account`, `sbatch_args`, `poll_seconds`. Others: what Pydra takes.

    Returns
    -------
    list of Ended
        One for each task, in their order.

    Raises
    ------
    ExecutionError
        The worker cannot be had, refuses every task, or `cache` went away in the middle.

    Examples
    --------
    >>> from pathlib import Path
    >>> from entense.execute.pydra import Task
    >>> task = Task("first", "entense.cli:absent", "job.json", "1", memory=10**6)
    >>> ended = run_tasks([task], cache=Path("cache"))
    >>> print(ended[0].how, ended[0].error.split(" (")[0])
    raised first: AttributeError: module 'entense.cli' has no attribute 'absent'
    """
    for task in tasks:
        check_entry(task, tuple(modules))
    if not tasks:
        return []
    folder = Path(cache).absolute() / f"run-{uuid4().hex[:12]}"  # where no killed run left a lock
    flow = _Flow(
        handles := [
            Handle(task, tuple(modules), str(folder / "outcomes" / f"{number:06}.json"))
            for number, task in enumerate(tasks)
        ],
        choose(worker, tasks, folder, options),
        folder,
    )
    with ended_by_sigterm():
        try:
            flow.follow(poll)
            ended = [_ended(handle, flow.problem) for handle in handles]
        finally:
            shutil.rmtree(folder / "pydra", ignore_errors=True)
    if all(one.how == "done" for one in ended):
        shutil.rmtree(folder, ignore_errors=True)  # else its logs are of use
    return ended


class _Flow:
    """A workflow in a thread: Pydra starts an event loop, and here one may be running."""

    def __init__(self, handles: list[Handle], worker: Any, folder: Path) -> None:
        self._handles, self._worker, self._folder = handles, worker, folder
        self._thread = threading.Thread(target=self._run, name="entense-pydra")
        self._over = threading.Event()  # a `join` that Ctrl-C interrupts takes the thread for ended
        self._loop: asyncio.AbstractEventLoop | None = None
        self._is_stopped = False
        self.problem: BaseException | None = None

    def follow(self, poll: Callable[[], None]) -> None:
        """Run to the end; stop all of it for whatever is raised meanwhile."""
        if prepare := getattr(self._worker, "prepare", None):
            prepare()
        for part in ("outcomes", "logs"):
            (self._folder / part).mkdir(parents=True)
        self._thread.start()
        try:
            while not self._over.wait(_TICK):
                self._check()
                poll()
        except BaseException:
            self._stop()
            raise
        finally:
            self._thread.join()
        self._check()

    def _check(self) -> None:
        """Raise what ended the run, or a sentence about a folder that is gone."""
        if not (self._folder / "outcomes").is_dir():
            raise ExecutionError(
                f"{self._folder}: the folder of the run went away in the middle; give cache= a "
                "folder that nobody cleans, and run again"
            )
        if problem := getattr(self._worker, "problem", None):
            raise problem

    def _run(self) -> None:
        """Hand the workflow to Pydra."""
        from pydra.engine.submitter import Submitter

        from entense.execute.pydra.flow import Still, Tasks

        try:
            with (
                _quiet(),
                Submitter(worker=self._worker, cache_root=self._folder / "pydra") as pydra,
            ):
                self._loop, pydra.audit = pydra.loop, Still(pydra.audit.audit_flags, None, None)
                self._submit(lambda: pydra(Tasks(handles=self._handles), raise_errors=True))
        except (Exception, asyncio.CancelledError) as error:  # `follow` tells it, in its thread
            self.problem = error
        finally:
            self._over.set()

    def _submit(self, run: Callable[[], object]) -> None:
        """Run, and wait for what was cancelled before the loop is closed."""
        assert self._loop  # noqa: S101  # `_run` has set it
        try:
            if not self._is_stopped:
                run()
        finally:
            self._loop.run_until_complete(_settle())

    def _stop(self) -> None:
        """Cancel all that waits; closing the worker then ends what runs."""
        self._is_stopped = True
        if self._loop:
            with suppress(RuntimeError):  # the loop is closed: it has just ended
                self._loop.call_soon_threadsafe(_cancel_all, self._loop)
        self._over.wait()


def _cancel_all(loop: asyncio.AbstractEventLoop) -> None:
    """Cancel what waits in a loop."""
    for task in asyncio.all_tasks(loop):
        task.cancel()


async def _settle() -> None:
    """Cancel the other tasks of this loop, and let them end."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep what Pydra and Dask log to themselves: outcomes tell what happened."""
    known = [logging.getLogger(name) for name in (*_NOISY, *logging.root.manager.loggerDict)]
    loggers = [logger for logger in known if logger.name.split(".")[0] in _NOISY]
    before = [(logger.handlers, logger.propagate) for logger in loggers]
    for logger in loggers:
        logger.handlers, logger.propagate = [logging.NullHandler()], False
    try:
        yield
    finally:
        for logger, (handlers, propagate) in zip(loggers, before, strict=True):
            logger.handlers, logger.propagate = handlers, propagate


def _ended(handle: Handle, problem: BaseException | None) -> Ended:
    """Read how a task ended."""
    try:
        outcome = Outcome.from_json(Path(handle.outcome).read_text())
    except (OSError, ValueError):
        why = f": {str(problem).strip().splitlines()[-1]}" if str(problem or "").strip() else ""
        outcome = Outcome("lost", f"{handle.task.name}: its worker left no word{why}; run it again")
    return Ended(handle.task, outcome.how, outcome.error)
