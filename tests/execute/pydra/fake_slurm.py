"""A SLURM of plain processes, which says of them whatever a test wants."""

import os
import signal
import subprocess
from itertools import count

import pytest
from tasking import is_running

from entense.execute.pydra.workers import slurm, slurm_queue

COMMANDS = ("sbatch", "squeue", "scancel")


class FakeSlurm:
    """Runs jobs at once; `said` has what squeue says of a job in the place of its state."""

    def __init__(self):
        self.jobs, self.said, self.asked, self._names = {}, {}, [], {}
        self.answers = self.cancels = True
        self._numbers = count(100)

    def install(self, monkeypatch, folder):
        """Have the worker talk to it, and find its commands."""
        folder.mkdir()
        for command in COMMANDS:
            (folder / command).touch(mode=0o755)
        monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)
        for module in (slurm, slurm_queue):
            monkeypatch.setattr(module, "call", self)

    def __call__(self, command, *rest):
        self.asked.append((command, *rest))
        code, out = getattr(self, f"_{command}")(*rest)
        return subprocess.CompletedProcess((command, *rest), code, out, "it is down" * code)

    def count(self, command):
        """Return how often a command was run."""
        return sum(asked[0] == command for asked in self.asked)

    def end(self, job, state):
        """End a job as SLURM may: kill what it runs, and say why."""
        self.said[job] = state
        self._kill(job)

    def forget(self, job):
        """Say no more of a job, which runs on."""
        self.said[job] = None

    def stop(self):
        """Kill all jobs."""
        for job in [*self.jobs]:
            self._kill(job)

    def _sbatch(self, *rest):
        job = str(next(self._numbers))  # threads submit
        options = dict(word.lstrip("-").split("=", 1) for word in rest if "=" in word)
        logs = [open(options[name].replace("%j", job), "w") for name in ("output", "error")]  # noqa: PTH123, SIM115
        env = os.environ | {"SLURM_JOB_ID": job, "SLURM_CPUS_PER_TASK": options["cpus-per-task"]}
        self.jobs[job] = subprocess.Popen(
            ["sh", *rest[-2:]], stdout=logs[0], stderr=logs[1], env=env, start_new_session=True
        )
        self._names[job] = f"--name={options['job-name']}"
        for log in logs:
            log.close()
        return 0, f"{job}\n"

    def _squeue(self, *rest):
        if not self.answers:
            return 1, ""
        jobs = [job for job, name in [*self._names.items()] if name in rest]
        states = {job: self.said.get(job, self._state(job)) for job in jobs}
        told = {job: state if state.count(" ") > 1 else f"{state} None"
                for job, state in states.items() if state}  # fmt: skip
        return 0, "".join(f"{job} {state}\n" for job, state in told.items())

    def _scancel(self, *rest):
        if self.cancels:
            for job, name in self._names.items():
                if name in rest and is_running(self.jobs[job].pid):
                    self.end(job, "CANCELLED 0")
        return 0, ""

    def _state(self, job):
        code = self.jobs[job].poll()
        if code is None:
            return "RUNNING 0"
        status = -code if code < 0 else code << 8
        return f"FAILED {status}" if code else "COMPLETED 0"

    def _kill(self, job):
        if self.jobs[job].poll() is None:
            os.killpg(self.jobs[job].pid, signal.SIGKILL)
            self.jobs[job].wait()


@pytest.fixture
def cluster(monkeypatch, tmp_path):
    """Put one in the place of SLURM."""
    fake = FakeSlurm()
    fake.install(monkeypatch, tmp_path / "bin")
    yield fake
    fake.stop()
