"""The small disks under the stack's stores: kept mounted, and filled while a test runs."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from compose_stack import Stack

from diagnosis.project import project, variables

DISKS = ("qdrant-data", "state-data", "postgres-data", "retriever-data")
_HOLDER = "bulkhead-disks-of-tests"
_FILL = """
import errno, sys
with open(sys.argv[1], "wb", buffering=0) as ballast:
    for size in (2**20, 4096):
        try:
            while True:
                ballast.write(bytes(size))
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
"""


@contextmanager
def kept(stack: Stack) -> Iterator[None]:
    """What is on the disks outlives a `down`: a container that is not of the stack holds them."""
    _run("rm", "--force", _HOLDER)
    mounts = [f"--volume={project(variables())}_{disk}:/{disk}" for disk in DISKS]
    image = stack.inspect("ingress")["Image"]
    # The image says of itself that it is the ingress of the stack.
    apart = "--label=com.docker.compose.project=disks-of-tests"
    told = [apart, "--user=0:0", "--network=none", *mounts, "--entrypoint=sleep", image, "infinity"]
    _run("run", "--detach", "--init", f"--name={_HOLDER}", *told)
    try:
        yield
    finally:
        _run("rm", "--force", _HOLDER)


@contextmanager
def full(disk: str) -> Iterator[None]:
    """No block of a disk is free until the block ends."""
    assert disk in DISKS
    ballast = f"/{disk}/ballast"
    try:
        _run("exec", _HOLDER, "python3", "-c", _FILL, ballast)
        yield
    finally:
        _run("exec", _HOLDER, "rm", ballast)


def emptied(*disks: str) -> None:
    """What was on these disks is lost."""
    for disk in disks:
        assert disk in DISKS
        _run("exec", _HOLDER, "find", f"/{disk}", "-mindepth", "1", "-delete")


def _run(*command: str) -> None:
    done = subprocess.run(["docker", *command], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
