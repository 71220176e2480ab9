"""Brings the model, where it is not there, before the stack starts: the fetcher of the containers.

LLM_MODEL names it, in one word or by its hub name with LLM_REVISION and LLM_GGUF; LLM_FILE is a
file that holds it. With LLM_MODEL_PATH, any GGUF on this machine, nothing is brought.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping

from embedded.errors import Interrupted, StackError
from embedded.parts import MODEL, models

# What the fetcher is told, by the variable that a person sets; compose.yaml has the same.
_TOLD = {
    "FETCHER_LLM_MODEL": "LLM_MODEL",
    "FETCHER_LLM_REVISION": "LLM_REVISION",
    "FETCHER_LLM_GGUF": "LLM_GGUF",
    "FETCHER_LLM_FILE": "LLM_FILE",
    "FETCHER_HUB": "MODEL_HUB",
    "FETCHER_TOKEN_FILE": "HF_TOKEN_FILE",
}


def bring(environment: Mapping[str, str] = os.environ) -> None:
    """Fetch the model of the settings, telling how far it is.

    Raises `StackError`, and `Interrupted` where a person ends it.
    """
    if environment.get("LLM_MODEL_PATH"):
        return
    told = {ours: environment[theirs] for ours, theirs in _TOLD.items() if environment.get(theirs)}
    wanted = {"FETCHER_LLM_MODEL": MODEL, "FETCHER_FOLDER": str(models(environment))} | told
    command = [sys.executable, "-m", "fetcher"]
    try:
        done = subprocess.run(command, env={**environment, **wanted})
    except KeyboardInterrupt:
        raise Interrupted(signal.SIGINT) from None
    if done.returncode:
        raise StackError("the model could not be brought; the line above says why")
