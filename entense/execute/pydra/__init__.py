"""A list of tasks, run by Pydra: on this machine, on Dask, on SLURM.

Nothing here knows of records or archives: a task is the name of a function and the path of a JSON
file that says what to do. Where it ran comes back as a word, what went wrong as a sentence.
"""

from entense.execute.pydra.draw import at_once, draw
from entense.execute.pydra.run import run_tasks
from entense.execute.pydra.tasks import Ended, Task
from entense.execute.pydra.workers.slurm_queue import stop_left

__all__ = ["Ended", "Task", "at_once", "draw", "run_tasks", "stop_left"]
