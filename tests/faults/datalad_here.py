"""DataLad, as a person who is nobody runs it."""

import os
import subprocess
import sysconfig

NOBODY = {
    f"GIT_{kind}_{what}": value
    for kind in ("AUTHOR", "COMMITTER")
    for what, value in (("NAME", "Test"), ("EMAIL", "test@example.org"))
}


def run(*words, cwd):
    """Run a program beside this Python, or elsewhere on the path; what fails is an error."""
    path = os.pathsep.join([sysconfig.get_path("scripts"), os.environ["PATH"]])
    environment = {**os.environ, **NOBODY, "PATH": path}
    subprocess.run(words, cwd=cwd, check=True, capture_output=True, env=environment)
