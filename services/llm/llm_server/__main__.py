"""`python -m llm_server`: serve until SIGTERM or SIGINT."""

import os
import signal
import socket
import sys

# How often a thread looks before it sleeps while it waits for the others, read when OpenMP is
# loaded. By default it looks for milliseconds, in which it keeps the one it waits for off the core.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")

import xllamacpp
from pydantic import ValidationError

from llm_server.settings import LLMSettings


def parameters(settings: LLMSettings) -> xllamacpp.CommonParams:
    """The settings as llama.cpp's own. A prompt that does not fit is refused, never cut."""
    params = xllamacpp.CommonParams()
    params.model.path = str(settings.model)
    params.model_alias = {settings.alias or settings.model.stem}
    params.hostnames = [settings.host]
    params.port = settings.port
    params.n_parallel = settings.parallel
    params.n_ctx = settings.context_tokens * settings.parallel
    params.ctx_shift = False
    params.cpuparams_batch.n_threads = settings.threads
    # Its threads meet hundreds of times a word, and beside other work each meeting waits for the
    # one that has lost its core. One thread fewer writes two thirds as fast on two quiet cores,
    # loses next to nothing beside a busy one, where as many as there are cores lose two thirds,
    # and leaves a core to the services beside it (scripts/bench/llm_threads.py).
    params.cpuparams.n_threads = max(1, settings.threads - 1)
    # A prompt is read in steps this long. Between steps other requests get their next token, and
    # work whose client left ends; shorter steps read a prompt more slowly.
    params.n_batch = params.n_ubatch = 256
    # llama.cpp lets every web page call it. No page has business here.
    params.cors_origins = ""
    params.cors_credentials = False
    # And a page needs no leave to post `text/plain`, which llama.cpp takes for JSON.
    params.api_keys = [key] if (key := settings.api_key) else []
    params.cache_ram_mib = settings.prompt_cache_mib
    params.endpoint_metrics = True
    params.ui = False
    return params


def check(settings: LLMSettings) -> None:
    """Raise `OSError`, in words, when the port is taken, or the model or the key is not there."""
    _ = settings.model, settings.api_key
    try:
        family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
        with socket.create_server((settings.host, settings.port), family=family):
            pass
    except OSError as error:
        raise OSError(f"port {settings.port} cannot be had: {error.strerror}") from error


def main() -> None:
    """Run the server with the settings of the environment."""
    # Blocked before llama.cpp starts its threads, so that the signal comes to `sigwait` alone.
    ends = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, ends)
    try:
        settings = LLMSettings()
        check(settings)
        server = xllamacpp.Server(parameters(settings))
    except ValidationError as error:
        problem = error.errors()[0]
        sys.exit(f"llm: LLM_{str(problem['loc'][0]).upper()}: {problem['msg']}")
    except (OSError, RuntimeError) as error:
        sys.exit(f"llm: {error}")
    print(f"serving {settings.model.name} on {server.listening_address}", flush=True)  # noqa: T201
    signal.sigwait(ends)
    del server


if __name__ == "__main__":
    main()
