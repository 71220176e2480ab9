"""Tool servers that say no, are slow, silent or away: the answer goes on without them."""

from pathlib import Path
from typing import Any

from desk import Desk, Office, desk_serving
from desk_questions import QUESTION, asked, call, outcomes
from leaving import asking
from rig import Api, Neighbour, running
from scripted_llm import ScriptedLLM, Turn

from retriever.settings import RetrieverSettings


def test_a_tool_that_says_no_is_told_to_the_model(filled: Api, llm: ScriptedLLM) -> None:
    llm.play(Turn(calls=[call("fail")]), Turn("I do not know."))
    (step,) = asked(filled)["steps"]
    assert (step["outcome"], step["detail"]) == ("failed", "the desk is closed")
    assert "the desk is closed" in llm.requests[-1]["messages"][-1]["content"]


def test_a_slow_tool_is_given_up_and_the_answer_says_so(
    filled: Api, llm: ScriptedLLM, desk: Desk
) -> None:
    llm.play(
        Turn(calls=[call("slow"), call("list_notes")]),
        Turn("The retriever listens on port 8080."),
    )
    reply = asked(filled)
    assert outcomes(reply) == [("slow", "error"), ("list_notes", "error")]
    assert "no answer within" in reply["steps"][0]["detail"]
    assert reply["retrieval"]["degraded"] == ["mcp-desk"]
    assert reply["grounding"]["supported"]
    assert desk.cancelled.wait(60)


def test_a_client_that_leaves_ends_the_call(filled: Api, llm: ScriptedLLM, desk: Desk) -> None:
    llm.play(Turn(calls=[call("stuck")]))
    body = {"messages": [{"role": "user", "content": QUESTION}], "rag": {"tools": True}}
    with asking(filled, "/v1/chat/completions", body):
        assert desk.entered.wait(60)
    assert desk.cancelled.wait(60)  # its own ten minutes were not waited for


def test_a_server_that_is_down_at_start_is_done_without_and_used_when_it_comes(
    settings: RetrieverSettings, llm: ScriptedLLM, desk: Desk, tmp_path: Path
) -> None:
    folder = tmp_path / "late"
    folder.mkdir()
    with desk_serving(desk, folder) as gone:
        servers = gone.listed()
        port = int(gone.url.rsplit(":", 1)[1])
    told = settings.model_dump() | {"tool_servers_file": servers}
    settings = RetrieverSettings.model_validate(told)
    with running(settings) as api:
        llm.play(Turn(calls=[call("list_notes")]), Turn("I do not know."))
        reply = asked(api)
        assert outcomes(reply) == [("list_notes", "error")]
        assert reply["retrieval"]["degraded"] == ["mcp-desk"]
        ready = api.until_ready(lambda one: one["status"] == "degraded")
        assert (ready.status_code, ready.json()["status"]) == (200, "degraded")
        assert ready.json()["parts"]["mcp-desk"]["state"] == "down"
        with desk_serving(desk, folder, port):
            api.until_ready(lambda one: one["parts"]["mcp-desk"]["state"] == "up")
            llm.play(Turn(calls=[call("list_notes")]), Turn("I do not know."))
            assert outcomes(asked(api)) == [("list_notes", "done")]


class Silent:
    """A server that takes connections and speaks no MCP."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b'{"jsonrpc": "2.0", "id": 1}'})


def test_a_server_that_speaks_no_mcp_is_done_without(
    settings: RetrieverSettings, llm: ScriptedLLM, office: Office
) -> None:
    wrong = Neighbour(Silent)
    wrong.start()
    listed = office.listed()
    listed.write_text(listed.read_text().replace(office.url, wrong.url))
    told = settings.model_dump() | {"tool_servers_file": listed}
    with running(RetrieverSettings.model_validate(told)) as api:
        llm.play(Turn(calls=[call("list_notes")]), Turn("I do not know."))
        (step,) = asked(api)["steps"]
    wrong.stop()
    assert step["outcome"] == "error"
    assert "127.0.0.1" not in step["detail"]
