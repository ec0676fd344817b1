"""Programs that run tasks: scripts without a guard, from stdin, interrupted, killed."""

import signal

import pytest
from tasking import has_started, is_running, processes_of, said, wait_for

from entense.execute.pydra import stop_left


def test_a_script_without_a_main_guard(make, program):
    out, told = program([make("one"), make("two", "fail")]).communicate(timeout=60)
    assert out == "['done', 'raised']\n"
    assert told == ""


def test_a_program_read_from_stdin_within_a_loop(make, program):
    around = "import asyncio\nasync def main():\n    {run}\nasyncio.run(main())"
    out, told = program([make("one")], around=around, stdin=True).communicate(timeout=60)
    assert (out, told) == ("['done']\n", "")


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_a_driver_asked_to_end_ends_all_and_a_rerun_is_well(how, make, program, run, tmp_path):
    waits = [make("wait", "wait"), make("another", "wait")]
    driver = program(waits)
    wait_for(lambda: any(map(has_started, waits)))
    pids = [int(said(task)) for task in waits if has_started(task)]
    driver.send_signal(how)
    _, told = driver.communicate(timeout=60)
    assert driver.returncode == -how
    assert told.rstrip().split("\n")[-1] == {signal.SIGINT: "KeyboardInterrupt"}.get(how, "")
    wait_for(lambda: not any(is_running(pid) for pid in pids), seconds=5)
    wait_for(lambda: processes_of(tmp_path / "cache") == [], seconds=5)
    assert run([make("well")])[0].how == "done"


def test_a_killed_driver_leaves_no_process_and_its_locks_stop_nobody(make, program, run, tmp_path):
    waits = [make("wait", "wait"), make("another", "wait")]
    driver = program(waits)
    wait_for(lambda: any(map(has_started, waits)))
    driver.kill()
    driver.wait()
    stop_left(tmp_path / "cache")
    pids = [int(said(task)) for task in waits if has_started(task)]
    wait_for(lambda: not any(is_running(pid) for pid in pids))
    assert list((tmp_path / "cache").glob("run-*/pydra/*.lock"))
    assert [one.how for one in run([make("well"), make("well")])] == ["done", "done"]
