"""Which package index torch comes from: its build depends on the machine, so no lock says it.

On Linux the plain index has the CUDA build, several GB, which a CPU has no use for. Prints the
words that pip is to be given, for the Dockerfiles; scripts/bootstrap.py imports it. Standard
library only.

BULKHEAD_TORCH_INDEX, where set, names the index, and set to nothing it means pip's own.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys

# The one package that no lock holds. See PEP 440: this also takes 2.13.0+cpu, PyTorch's CPU build.
TORCH = "torch==2.13.0"
CPU_INDEX = "https://download.pytorch.org/whl/cpu"
SECONDS = 10
"""How long to wait for the CPU index before going on without."""


def choose(pip: list[str], told: str | None, cpu_index: str = CPU_INDEX) -> str:
    """The address of the index to take torch from; empty for pip's own settings.

    `pip` is the command that will install it, and `told` what BULKHEAD_TORCH_INDEX says. Nobody
    has to be asked where the machine keeps a wheel that pip's settings name.
    """
    if told is not None:
        return told
    if sys.platform != "linux" or _versions(pip, "--no-index"):
        return ""
    waiting = ["--index-url", cpu_index, "--retries", "0", "--timeout", str(SECONDS)]
    return cpu_index if f"{TORCH.rpartition('=')[2]}+cpu" in _versions(pip, *waiting) else ""


def _versions(pip: list[str], *options: str) -> list[str]:
    """What pip finds of the version that is wanted, in any build of it."""
    command = [*pip, "index", "versions", "torch", *options]
    found = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    listed = re.search(r"^Available versions: (.*)$", found.stdout, re.MULTILINE)
    version = TORCH.rpartition("=")[2]
    every = listed.group(1).split(", ") if listed else []
    return [one for one in every if one.partition("+")[0] == version]


if __name__ == "__main__":
    index = choose([sys.executable, "-m", "pip"], os.environ.get("BULKHEAD_TORCH_INDEX"))
    sys.stdout.write(f"{TORCH} --index-url {index}\n" if index else f"{TORCH}\n")
