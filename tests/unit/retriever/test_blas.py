"""NumPy multiplies in one thread in the retriever: others would spin on after each search."""

import subprocess
import sys

SCRIPT = """
import retriever.index.quick, threadpoolctl
print({one["num_threads"] for one in threadpoolctl.threadpool_info() if one["user_api"] == "blas"})
"""


def test_numpy_has_one_thread_in_the_retriever() -> None:
    told = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True
    )
    assert told.stdout.strip() == "{1}"
