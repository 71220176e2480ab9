"""The load test against a server that does what it is told: slow, stalled, failing, hanging."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI, Request
from serving import free_port, serving
from starlette.responses import JSONResponse, Response, StreamingResponse
from typer.testing import CliRunner

import loadtest
from loading.errors import LoadError
from loading.outcome import Outcome
from loading.run import Options, Workload, measure, save
from loading.schedule import Arrivals

KEY = "bh_key-that-nobody-may-read"


class Scripted:
    """Waits `delays[n]` seconds before reply n (the last one for all that follow)."""

    def __init__(self) -> None:
        self.delays = [0.0]
        self.status = 200
        self.stall: tuple[float, float] | None = None
        """While the time since the first request is between these, nothing is answered."""
        self.stalled = 0
        self.pieces = ["An", " answer", "."]
        self.gap = 0.0
        self.broken: str | None = None
        self.bodies: list[dict[str, Any]] = []
        self.paths: list[str] = []
        self._first: float | None = None
        self.app = FastAPI()
        self.app.get("/v1/models")(self._models)
        self.app.get("/metrics")(self._metrics)
        for path in ("/v1/search", "/v1/embeddings", "/v1/documents"):
            self.app.post(path)(self._whole)
        self.app.post("/v1/chat/completions")(self._chat)

    async def _models(self) -> dict[str, Any]:
        return {"data": [{"id": "scripted"}]}

    async def _metrics(self) -> Response:
        answers = self.paths.count("/v1/chat/completions")
        lines = [
            "# TYPE vllm:generation_tokens_total counter",
            f'vllm:generation_tokens_total{{model="scripted"}} {3.0 * answers}',
            f'vllm:prompt_tokens_total{{model="scripted"}} {10.0 * answers}',
        ]
        return Response("\n".join(lines))

    async def _wait(self, request: Request) -> None:
        number = len(self.bodies)
        self.bodies.append(await request.json())
        self.paths.append(request.url.path)
        now = time.monotonic()
        self._first = now if self._first is None else self._first
        wait = self.delays[min(number, len(self.delays) - 1)]
        if self.stall and self.stall[0] <= now - self._first < self.stall[1]:
            wait += self.stall[1] - (now - self._first)
            self.stalled += 1
        await asyncio.sleep(wait)

    def _refusal(self) -> Response:
        error = {"type": "t", "message": "told to", "request_id": "r"}
        return JSONResponse({"error": error}, self.status)

    async def _whole(self, request: Request) -> Response:
        await self._wait(request)
        if self.status != 200:
            return self._refusal()
        if self.broken == "words":
            return Response("<html>not JSON")
        results = [{"source": "small/d1"}, {"source": "small/d9"}]
        return JSONResponse(
            {
                "results": results,
                "timings": {"embed": 1.0, "search": 3.0, "total": 4.0},
                "data": [{"embedding": [1.0]}],
                "usage": {"prompt_tokens": 5},
            }
        )

    async def _chat(self, request: Request) -> Response:
        await self._wait(request)
        if self.status != 200:
            return self._refusal()
        return StreamingResponse(self._stream(), media_type="text/event-stream")

    async def _stream(self) -> AsyncIterator[str]:
        for number, piece in enumerate(self.pieces):
            if number:
                await asyncio.sleep(self.gap)
            yield _event({"choices": [{"delta": {"content": piece}}]})
            if self.broken == "off":
                raise RuntimeError("told to break")
            if self.broken == "error":
                yield _event({"error": {"message": "told to fail"}})
        if self.broken == "end":
            return
        last = {
            "choices": [],
            "usage": {"prompt_tokens": 10, "completion_tokens": len(self.pieces)},
            "grounding": {"abstained": False, "unsupported": ["An answer."]},
            "retrieval": {"results": [{"source": "small/d1"}]},
            "timings": {"generate": 9.0, "total": 10.0},
        }
        yield _event(last)
        yield "data: [DONE]\n\n"


def _event(body: dict[str, Any]) -> str:
    return f"data: {json.dumps(body)}\n\n"


@pytest.fixture
def server() -> Scripted:
    return Scripted()


@pytest.fixture
def url(server: Scripted) -> Iterator[str]:
    with serving(server.app) as address:
        yield address


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "small"
    (folder / "qrels").mkdir(parents=True)
    documents = [{"_id": f"d{n}", "title": "", "text": f"Text {n}. " * 20} for n in range(9)]
    queries = [{"_id": f"q{n}", "text": f"Question {n}?"} for n in range(20)]
    for name, rows in (("corpus", documents), ("queries", queries)):
        (folder / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    judged = [f"q{n}\td{1 if n < 10 else 2}\t1" for n in range(20)]
    (folder / "qrels" / "test.tsv").write_text(
        "\n".join(["query-id\tcorpus-id\tscore", *judged]) + "\n"
    )
    return folder


@pytest.fixture
def options(url: str, data: Path) -> Options:
    return Options(url, data, rate=100, duration=1, arrivals=Arrivals.constant, timeout=60)


async def test_percentiles_are_those_of_the_server(server: Scripted, options: Options) -> None:
    server.delays = [0.2 if n % 10 == 0 else 0.02 for n in range(100)]
    result, outcomes = await measure(options)
    numbers = result["summary"]["calls"]["search"]["latency_ms"]
    assert len(outcomes) == 100
    taken = sorted(1000 * (outcome.end - outcome.scheduled) for outcome in outcomes)
    assert 20 <= numbers["p50"] == pytest.approx(taken[49], abs=taken[50] - taken[49] + 0.1)
    assert 200 <= numbers["p95"] == pytest.approx(taken[94], abs=taken[95] - taken[94] + 0.1)
    assert numbers["n"] == 100


async def test_a_stall_shows_in_an_open_loop_and_hides_in_a_closed_one(
    server: Scripted, options: Options
) -> None:
    server.stall = (0.5, 1.5)
    opened, _ = await measure(replace(options, duration=3))
    server._first, server.stalled = None, 0
    closed, _ = await measure(replace(options, duration=3, clients=1))
    assert server.stalled <= 1  # one request met it: the others were never sent
    # A third of the requests were due in the stall.
    assert opened["summary"]["calls"]["search"]["latency_ms"]["p90"] > 600
    assert (opened["summary"]["loop"], closed["summary"]["loop"]) == ("open", "closed")


async def test_latency_counts_from_the_time_a_request_was_due(options: Options) -> None:
    _, outcomes = await measure(options)
    for outcome in outcomes:
        assert outcome.scheduled == pytest.approx(outcome.number / 100)
        assert outcome.scheduled <= outcome.sent <= outcome.end
        assert outcome.latency == outcome.end - outcome.scheduled


@pytest.mark.parametrize(
    ("status", "name"), [(429, "429"), (500, "http 500"), (503, "http 503"), (401, "http 401")]
)
@pytest.mark.parametrize("workload", [Workload.search, Workload.chat])
async def test_refusals_are_counted_by_kind(
    server: Scripted, options: Options, status: int, name: str, workload: Workload
) -> None:
    server.status = status
    result, outcomes = await measure(replace(options, workload=workload, rate=10))
    assert result["summary"]["all"]["errors"] == {name: 10}
    assert result["summary"]["all"]["goodput"]["share"]["value"] == 0
    assert result["summary"]["all"]["latency_ms"] is None
    assert {outcome.message for outcome in outcomes} == {"told to"}


@pytest.mark.parametrize(
    ("workload", "broken", "name"),
    [
        (Workload.search, "words", "reply"),
        (Workload.chat, "off", "stream"),
        (Workload.chat, "error", "stream"),
        (Workload.chat, "end", "stream"),
    ],
)
async def test_a_reply_that_breaks_is_no_success(
    server: Scripted, options: Options, workload: Workload, broken: str, name: str
) -> None:
    server.broken = broken
    result, _ = await measure(replace(options, workload=workload, rate=10))
    assert result["summary"]["all"]["errors"] == {name: 10}
    assert result["summary"]["all"]["requests_per_second"] == 0


async def test_a_server_that_hangs_counts_as_long_as_was_waited(
    server: Scripted, options: Options
) -> None:
    server.delays = [60]
    result, outcomes = await measure(replace(options, rate=10, timeout=0.4))
    assert result["summary"]["all"]["errors"] == {"timeout": 10}
    assert all(outcome.end - outcome.sent >= 0.4 for outcome in outcomes)
    assert result["summary"]["all"]["latency_ms"]["p50"] >= 400


async def test_nobody_at_the_address_is_a_result(options: Options) -> None:
    gone = replace(options, url=f"http://127.0.0.1:{free_port()}", rate=10)
    result, _ = await measure(gone)
    assert result["summary"]["all"]["errors"] == {"connection": 10}
    with pytest.raises(LoadError, match="does not say its models"):
        await measure(replace(gone, workload=Workload.chat))


async def test_a_stream_is_timed_word_by_word_and_judged(
    server: Scripted, options: Options
) -> None:
    server.delays, server.gap = [0.1], 0.05
    chat = replace(options, workload=Workload.chat, rate=10, mix="unique", max_tokens=7)
    result, outcomes = await measure(replace(chat, metrics_url=options.url + "/metrics"))
    numbers = result["summary"]["calls"]["chat"]
    assert 100 <= numbers["first_token_ms"]["p50"] < numbers["latency_ms"]["p50"]
    assert numbers["between_tokens_ms"]["n"] == 20
    assert numbers["between_tokens_ms"]["p50"] > 0
    assert numbers["latency_ms"]["p50"] >= 200
    assert numbers["tokens"]["completion"] == 30
    assert numbers["tokens"]["pieces_to_completion"] == 1
    assert result["summary"]["server_tokens"] == {"completion": 30, "prompt": 100}
    assert result["summary"]["client_tokens"] == {"completion": 30, "prompt": 100}
    assert numbers["quality"]["unsupported"]["value"] == 1
    assert numbers["quality"]["abstained"]["value"] == 0
    expected = sum(int(outcome.question[1:]) < 10 for outcome in outcomes) / 10
    assert numbers["quality"]["hit"]["value"] == expected
    assert numbers["stages"]["generate"]["share"] == pytest.approx(0.9)
    body = server.bodies[0]
    assert (body["model"], body["stream"], body["max_tokens"]) == ("scripted", True, 7)
    assert "rag" not in body  # what any OpenAI-compatible endpoint takes


async def test_goodput_is_what_kept_the_slos(server: Scripted, options: Options) -> None:
    server.delays = [6 if n % 2 else 0.0 for n in range(10)]
    result, _ = await measure(replace(options, rate=10, slo="e2e=5000"))
    assert result["summary"]["all"]["goodput"]["share"]["value"] == 0.5
    assert result["summary"]["all"]["errors"] == {}


async def test_tools_are_asked_for_and_documents_come_beside_chat(
    server: Scripted, options: Options
) -> None:
    await measure(replace(options, workload=Workload.tools, rate=2, top_k=3))
    assert server.bodies[0]["rag"] == {"tools": True, "top_k": 3}
    server.paths.clear()
    result, _ = await measure(replace(options, workload=Workload.ingest, rate=5, ingest_rate=3))
    assert server.paths.count("/v1/documents") == 3
    assert {name: call["requests"] for name, call in result["summary"]["calls"].items()} == {
        "chat": 5,
        "ingest": 3,
    }
    sources = [b["documents"][0]["source"] for b in server.bodies if "documents" in b]
    assert len(set(sources)) == 3


async def test_the_same_seed_asks_the_same_at_the_same_times(
    server: Scripted, options: Options
) -> None:
    poisson = replace(options, arrivals=Arrivals.poisson, rate=50)
    runs = [await measure(replace(poisson, seed=seed)) for seed in (3, 3, 4)]
    sent = [[(o.scheduled, o.kind, o.question) for o in outcomes] for _, outcomes in runs]
    assert sent[0] == sent[1] != sent[2]


async def test_a_generator_that_is_late_makes_the_run_invalid(
    options: Options, monkeypatch: pytest.MonkeyPatch
) -> None:
    def busy(self: object, outcome: Outcome) -> None:
        time.sleep(0.02)  # 100 of them a second take two seconds

    monkeypatch.setattr("loading.live.Live.began", busy)
    result, outcomes = await measure(options)
    assert result["summary"]["valid"] is False
    assert outcomes[-1].lag > 0.5


async def test_warm_up_is_left_out(server: Scripted, options: Options) -> None:
    server.delays = [6] * 5 + [0.0]
    result, _ = await measure(replace(options, rate=10, warmup=0.5))
    assert result["summary"]["all"]["requests"] == 5
    assert result["summary"]["all"]["latency_ms"]["p50"] < 5000
    with pytest.raises(LoadError, match="warm-up"):
        await measure(replace(options, rate=10, warmup=9))


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"rate": 0}, "above 0"),
        ({"rate": float("nan")}, "above 0"),
        ({"duration": -1}, "above 0"),
        ({"mix": "zipf=x"}, "KIND=WEIGHT"),
        ({"mix": "sometimes"}, "KIND=WEIGHT"),
        ({"mix": "zipf=0"}, "above 0"),
        ({"mix": "foreign"}, "--foreign"),
        ({"slo": "fast=3"}, "none of ttft"),
        ({"slo": "e2e=soon"}, "milliseconds"),
        ({"data": Path("/nowhere")}, "not a folder"),
        ({"metrics_url": "http://127.0.0.1:9/metrics"}, "no metrics"),
    ],
)
async def test_what_cannot_be_run_is_said(
    options: Options, change: dict[str, Any], problem: str
) -> None:
    with pytest.raises(LoadError, match=problem):
        await measure(replace(options, **change))


@pytest.fixture
def command(url: str, data: Path, tmp_path: Path) -> list[str]:
    (tmp_path / "key").write_text(KEY + "\n")
    return ["--url", url, "--data", str(data), "--key-file", str(tmp_path / "key"), "--seed", "1"]


def test_a_run_writes_what_a_person_and_a_program_read(
    command: list[str], tmp_path: Path, server: Scripted
) -> None:
    out = tmp_path / "out"
    flags = [*command, "--rate", "20", "--duration", "1", "--out", str(out), "--workload", "chat"]
    done = CliRunner().invoke(loadtest.app, ["run", *flags])
    assert done.exit_code in (0, loadtest.INVALID), done.output
    result = json.loads((out / "result.json").read_text())
    rows = [json.loads(line) for line in (out / "requests.jsonl").read_text().splitlines()]
    assert (result["schema"], result["settings"]["workload"]) == (1, "chat")
    assert len(rows) == result["summary"]["all"]["requests"] > 5
    page = (out / "index.html").read_text()
    assert page.count("<svg") == 4
    assert "<script" not in page
    assert "src=" not in page
    assert "<link" not in page
    written = "".join(path.read_text() for path in out.iterdir())
    assert KEY not in written
    assert str(tmp_path) not in json.dumps(result["settings"])


def test_compare_exits_by_what_it_finds(
    command: list[str], tmp_path: Path, server: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("loading.summary.LAG_LEAST", 10)
    run = CliRunner()
    for name, delay, rate in (("a", 0.05, 40), ("b", 0.05, 40), ("slow", 0.15, 40), ("c", 0.05, 9)):
        server.delays = [delay]
        flags = ["--rate", str(rate), "--duration", "2", "--out", str(tmp_path / name)]
        done = run.invoke(loadtest.app, ["run", *command, *flags, "--arrivals", "constant"])
        assert done.exit_code == 0, done.output

    def exit_code(a: str, b: str) -> int:
        return run.invoke(loadtest.app, ["compare", str(tmp_path / a), str(tmp_path / b)]).exit_code

    assert exit_code("a", "a") == 0
    assert exit_code("a", "slow") == loadtest.WORSE
    assert exit_code("slow", "b") == 0  # better is not worse
    assert exit_code("a", "c") == loadtest.IMPOSSIBLE  # another rate
    assert exit_code("a", "nowhere") == loadtest.IMPOSSIBLE


def test_a_sweep_finds_where_the_server_gives_in(
    command: list[str], tmp_path: Path, server: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("loading.summary.LAG_LEAST", 10)
    server.delays = [0.0] * 12 + [0.5]  # the first two runs hold, what comes after them does not
    flags = ["--low", "5", "--high", "20", "--duration", "1", "--slo", "e2e=300"]
    flags += ["--warmup", "0", "--out", str(tmp_path / "s"), "--precision", "1"]
    done = CliRunner().invoke(loadtest.app, ["sweep", *command, *flags])
    assert done.exit_code == 0, done.output
    result = json.loads((tmp_path / "s" / "sweep.json").read_text())
    assert result["knee"]["holds"] == 5
    assert "keep the SLOs" in (tmp_path / "s" / "index.html").read_text()


def test_a_page_shows_words_of_the_server_as_words(options: Options, tmp_path: Path) -> None:
    result, outcomes = asyncio.run(measure(replace(options, rate=5)))
    evil = "<script>alert(1)</script>"
    result["settings"]["url"] = evil
    result["summary"]["all"]["errors"] = {evil: 1}
    result["summary"]["calls"]["search"]["errors"] = {evil: 1}
    save(tmp_path / "evil", result, outcomes)
    assert evil not in (tmp_path / "evil" / "index.html").read_text()
