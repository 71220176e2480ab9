"""`python -m llm_server`: serve until SIGTERM or SIGINT."""

import signal
import socket
import sys

import xllamacpp
from pydantic import ValidationError

from llm_server.settings import LLMSettings


def parameters(settings: LLMSettings) -> xllamacpp.CommonParams:
    """The settings as llama.cpp's own. A prompt that does not fit is refused, never cut."""
    params = xllamacpp.CommonParams()
    params.model.path = str(settings.model_path)
    params.model_alias = {settings.alias}
    params.hostnames = [settings.host]
    params.port = settings.port
    params.n_parallel = settings.parallel
    params.n_ctx = settings.context_tokens * settings.parallel
    params.ctx_shift = False
    params.cpuparams.n_threads = settings.threads
    params.cpuparams_batch.n_threads = settings.threads
    # Threads that wait sleep. The other parts need the cores, and the model is no slower for it.
    params.cpuparams.poll = params.cpuparams_batch.poll = 0
    # A prompt is read in steps this long. Between steps other requests get their next token, and
    # work whose client left ends; shorter steps read a prompt more slowly.
    params.n_batch = params.n_ubatch = 256
    # llama.cpp lets every web page call it. No page has business here.
    params.cors_origins = ""
    params.cors_credentials = False
    params.cache_ram_mib = settings.prompt_cache_mib
    params.endpoint_metrics = True
    params.ui = False
    return params


def check(settings: LLMSettings) -> None:
    """Raise `OSError`, in words, when the port is taken or the model is not there."""
    if not settings.model_path.is_file():
        raise OSError(f"there is no model file {settings.model_path.name}")
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
    print(f"serving {settings.alias} on {server.listening_address}", flush=True)  # noqa: T201
    signal.sigwait(ends)
    del server


if __name__ == "__main__":
    main()
