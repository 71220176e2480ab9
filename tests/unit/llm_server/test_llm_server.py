"""The model server as a process: it boots, answers, ends, and says why where it cannot."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest
from quick_model import quick_model
from serving import free_port

from llm_server.__main__ import parameters
from llm_server.cores import cores
from llm_server.settings import LLMSettings

READY_WITHIN = 60.0
MODEL = {"LLM_MODEL_PATH": str(quick_model()), "LLM_ALIAS": ""}
NAME = quick_model().stem


KEY = "the-model-server's-key"


@contextmanager
def running(**told: str) -> Iterator[tuple[subprocess.Popen[str], httpx2.Client]]:
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "llm_server"],
        env=os.environ | MODEL | {"LLM_PORT": str(port), "LLM_CONTEXT_TOKENS": "512"} | told,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert f":{port}" in process.stdout.readline()  # written once it listens
        with httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as http:
            yield process, http
    finally:
        process.kill()
        process.wait(60)
        if process.stdout is not None:
            process.stdout.close()


@pytest.fixture(scope="module")
def server() -> Iterator[httpx2.Client]:
    with running() as (_, http):
        yield http


def chat(http: httpx2.Client, text: str, **fields: object) -> httpx2.Response:
    body = {
        "model": NAME,
        "messages": [{"role": "user", "content": text}],
        "temperature": 0,
        "max_tokens": 12,
        **fields,
    }
    return http.post("/v1/chat/completions", json=body)


def test_it_is_healthy_and_names_its_model(server: httpx2.Client) -> None:
    assert server.get("/health").json() == {"status": "ok"}
    (model,) = server.get("/v1/models").json()["data"]
    assert (model["id"], model["meta"]["n_ctx"]) == (NAME, 512)


def test_the_same_question_at_temperature_zero_has_the_same_answer(server: httpx2.Client) -> None:
    answers = [
        chat(server, "Name the capital of France.", cache_prompt=False).json() for _ in range(2)
    ]
    texts = [answer["choices"][0]["message"]["content"] for answer in answers]
    assert texts[0] == texts[1]
    assert "Paris" in texts[0]


def test_a_prompt_s_beginning_is_read_once(server: httpx2.Client) -> None:
    prefix = "The harbour has nine piers and a crane. " * 8
    chat(server, prefix + "How many piers?", max_tokens=1)
    usage = chat(server, prefix + "What else is there?", max_tokens=1).json()["usage"]
    assert usage["prompt_tokens_details"]["cached_tokens"] > 70


def test_a_prompt_that_does_not_fit_is_refused_and_not_cut(server: httpx2.Client) -> None:
    reply = chat(server, "word " * 2000)
    assert reply.status_code == 400
    assert reply.json()["error"]["type"] == "exceed_context_size_error"


def test_tokens_are_counted(server: httpx2.Client) -> None:
    reply = server.post("/tokenize", json={"content": "The harbour has nine piers."})
    assert 5 <= len(reply.json()["tokens"]) <= 8


def test_no_web_page_may_call_it(server: httpx2.Client) -> None:
    reply = server.get("/v1/models", headers={"origin": "http://page.example"})
    assert reply.headers.get("access-control-allow-origin", "") == ""
    assert "access-control-allow-credentials" not in reply.headers


def test_without_its_key_it_answers_nobody_and_no_web_page_can_send_it(tmp_path: Path) -> None:
    (tmp_path / "key").write_text(KEY + "\n")
    body = b'{"messages": [{"role": "user", "content": "Hi."}], "max_tokens": 1}'
    with running(LLM_API_KEY_FILE=str(tmp_path / "key")) as (_, http):
        for path in ("/v1/chat/completions", "/completion", "/v1/completions", "/tokenize"):
            for kind in ("text/plain", "application/x-www-form-urlencoded", "application/json"):
                for sent in ({}, {"authorization": "Bearer other"}):
                    headers = {"content-type": kind, "origin": "http://page.example", **sent}
                    reply = http.post(path, content=body, headers=headers)
                    assert reply.status_code == 401, (path, headers)
        for path in ("/metrics", "/slots", "/props"):
            assert http.get(path).status_code == 401, path
        assert metric(http, "tokens_predicted_total", KEY) == 0
        http.headers["authorization"] = f"Bearer {KEY}"
        assert chat(http, "Hi.", max_tokens=1).status_code == 200
        assert metric(http, "tokens_predicted_total", KEY) > 0


def test_a_client_that_leaves_ends_its_generation(server: httpx2.Client) -> None:
    body = {
        "messages": [{"role": "user", "content": "Tell a story."}],
        "stream": True,
        "ignore_eos": True,
        "max_tokens": 400,
    }
    before = generated(server)
    with server.stream("POST", "/v1/chat/completions", json=body) as stream:
        next(stream.iter_lines())
    deadline = time.monotonic() + 60
    while processing(server):
        assert time.monotonic() < deadline, "the generation went on"
    assert generated(server) - before < 400  # it did not go on to its end


def metric(http: httpx2.Client, name: str, key: str = "") -> float:
    headers = {"authorization": f"Bearer {key}"} if key else {}
    lines = http.get("/metrics", headers=headers).text.splitlines()
    return float(next(line for line in lines if line.startswith(f"llamacpp:{name} ")).split()[1])


def processing(http: httpx2.Client) -> bool:
    return metric(http, "requests_processing") > 0


def generated(http: httpx2.Client) -> float:
    return metric(http, "tokens_predicted_total")


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_cleanly_also_while_it_generates(end: signal.Signals) -> None:
    with running() as (process, http):
        body = {
            "messages": [{"role": "user", "content": "Tell a story."}],
            "stream": True,
            "ignore_eos": True,
        }
        with http.stream("POST", "/v1/chat/completions", json=body) as stream:
            next(stream.iter_lines())
            process.send_signal(end)
            assert process.wait(60) == 0


def test_a_port_that_is_taken_is_one_clear_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = refusal({"LLM_PORT": str(port)})
    assert said.startswith(f"llm: port {port} cannot be had: Address already in use")


def test_a_model_that_is_not_there_is_one_clear_line() -> None:
    assert refusal({"LLM_MODEL_PATH": "/nowhere/model.gguf"}) == (
        "llm: there is no model model.gguf in GGUF form\n"
    )


def test_a_key_that_is_not_there_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    said = refusal({"LLM_API_KEY_FILE": str(tmp_path / "empty")})
    assert said == "llm: the key file empty holds no key\n"
    assert "No such file" in refusal({"LLM_API_KEY_FILE": str(tmp_path / "none")})


def test_a_setting_that_cannot_be_is_named() -> None:
    assert refusal({"LLM_PARALLEL": "0"}).startswith("llm: LLM_PARALLEL: ")


def refusal(environment: dict[str, str]) -> str:
    """What a server that cannot start says on standard error; it exits with 1."""
    ended = subprocess.run(
        [sys.executable, "-m", "llm_server"],
        env=os.environ | MODEL | {"LLM_PORT": str(free_port())} | environment,
        capture_output=True,
        text=True,
        timeout=READY_WITHIN,
    )
    assert ended.returncode == 1
    assert ended.stderr.count("\n") == 1
    return ended.stderr


def test_a_folder_stands_for_the_model_in_it(tmp_path: Path) -> None:
    (tmp_path / "b-00002-of-00002.gguf").touch()
    (tmp_path / "b-00001-of-00002.gguf").touch()

    assert settings(tmp_path).model.name == "b-00001-of-00002.gguf"
    with pytest.raises(FileNotFoundError, match="there is no model nothing in GGUF form"):
        assert settings(tmp_path / "nothing").model


def test_one_thread_fewer_writes_than_reads() -> None:
    for threads, writing in ((1, 1), (2, 1), (8, 7)):
        params = parameters(settings(quick_model(), threads=threads))
        assert params.cpuparams_batch.n_threads == threads
        assert params.cpuparams.n_threads == writing


@pytest.mark.parametrize(
    ("quota", "expected"),
    [("150000 100000", 1), ("50000 100000", 1), ("max 100000", None), ("100000 100000\n", 1)],
)
def test_a_container_s_share_bounds_the_threads(
    tmp_path: Path, quota: str, expected: int | None
) -> None:
    limit = tmp_path / "cpu.max"
    limit.write_text(quota)

    assert cores(limit) == (expected or cores(tmp_path / "absent"))


def test_threads_that_wait_sleep_soon_unless_a_person_says_how_they_wait() -> None:
    script = "import os, llm_server.__main__; print(os.environ.get('GOMP_SPINCOUNT'))"
    told = {
        "": "10000",
        "GOMP_SPINCOUNT": "5",
        "OMP_WAIT_POLICY": "None",
    }
    for variable, expected in told.items():
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("GOMP_", "OMP_"))}
        environment |= {variable: "5"} if variable else {}
        said = subprocess.check_output([sys.executable, "-c", script], env=environment, text=True)
        assert said.strip() == expected


def settings(path: Path, **other: object) -> LLMSettings:
    return LLMSettings.model_validate({"model_path": path, **other})
