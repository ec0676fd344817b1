"""What the tasks of these tests do; a worker imports it by name."""

import json
import os
import signal
import sys
import time
from pathlib import Path


def job(path):
    return json.loads(Path(path).read_text())


def write(path, digest):
    told = job(path)
    assert digest == f"of {told['text']}"
    Path(told["out"]).write_text(told["text"])


def fail(path, digest):
    raise ValueError(f"the voxels of {job(path)['text']} are wrong\nin two lines: \udcff")


def die(path, digest):
    os.kill(os.getpid(), signal.SIGKILL)


def leave(path, digest):
    sys.exit("enough")


def wait(path, digest):
    """Say who waits, then wait to be ended: a test that fails to do so fails after a minute."""
    Path(job(path)["out"]).write_text(str(os.getpid()))
    time.sleep(60)


def hold(path, digest):
    """Say who waits, then wait for a word: the file `job.go`."""
    Path(job(path)["out"]).write_text(str(os.getpid()))
    end = time.monotonic() + 60
    while not Path(path).with_suffix(".go").exists() and time.monotonic() < end:
        time.sleep(0.02)


def tell(path, digest):
    """Write what a worker sees of its machine."""
    import numpy as np

    np.ones((64, 64)) @ np.ones((64, 64))
    from threadpoolctl import threadpool_info

    seen = {
        "cores": sorted(os.sched_getaffinity(0)),
        "pools": [pool["num_threads"] for pool in threadpool_info()],
        "environment": {k: v for k, v in os.environ.items() if k.endswith(("THREADS", "DEVICES"))},
        "pid": os.getpid(),
        "modules": [m for m in ("pydra", "jax", "tensorflow", "torch") if m in sys.modules],
    }
    from entense.execute import serial

    seen |= {
        "decoders": serial._cores(),
        "preallocates": os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"],
    }
    Path(job(path)["out"]).write_text(json.dumps(seen))


def chatter(path, digest):
    """Print, and read stdin: neither may disturb the protocol."""
    print("done", flush=True)
    os.write(1, b'{"how": "raised"}\n')
    assert sys.stdin.read() == ""
    write(path, digest)


def wait_long(path, digest):
    """Outlast a limit of a minute."""
    time.sleep(180)
