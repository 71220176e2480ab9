"""Tools that write: before anything was read, and once a person has approved the call."""

import json
from typing import Any

from desk import Desk
from desk_questions import asked, call, outcomes
from rig import Api, running
from scripted_llm import ScriptedLLM, Turn

from retriever.settings import RetrieverSettings


def test_a_write_is_not_offered_and_not_done_once_documents_were_read(
    filled: Api, llm: ScriptedLLM, desk: Desk
) -> None:
    llm.play(Turn(calls=[call("send_note", to="a", text="b")]))
    reply = asked(filled)
    names = {tool["function"]["name"] for tool in llm.requests[0]["tools"]}
    assert "desk__send_note" not in names and "desk__read_note" in names
    assert outcomes(reply) == [("send_note", "refused")]
    assert desk.sent == []


def test_a_write_needs_an_approval_of_this_very_call_once(
    api: Api, llm: ScriptedLLM, desk: Desk
) -> None:
    def ask(to: str) -> dict[str, Any]:
        llm.play(Turn(calls=[call("send_note", to=to, text="hello")]), Turn("Done."))
        (step,) = asked(api, "Please send hello.")["steps"]
        return dict(step)

    step = ask("ann")
    assert step["outcome"] == "approval_required" and desk.sent == []
    approval = step["approval"]["id"]
    assert ask("ann")["approval"]["id"] == approval  # the same call waits for the same approval
    seen = api.get(f"/v1/approvals/{approval}").json()
    assert seen["arguments"] == {"to": "ann", "text": "hello"} and seen["state"] == "pending"
    assert api.post(f"/v1/approvals/{approval}", json={"decision": "maybe"}).status_code == 422
    assert api.post("/v1/approvals/x", json={"decision": "approve"}).status_code == 404
    done = api.post(f"/v1/approvals/{approval}", json={"decision": "approve"})
    assert done.json()["state"] == "approved"
    assert api.post(f"/v1/approvals/{approval}", json={"decision": "deny"}).status_code == 409
    assert ask("bob")["outcome"] == "approval_required" and desk.sent == []
    assert ask("ann")["outcome"] == "done"
    assert desk.sent == [("ann", "hello")]
    assert ask("ann")["outcome"] == "approval_required"  # used up
    assert desk.sent == [("ann", "hello")]


def test_who_decided_on_which_call_is_on_record(
    settings: RetrieverSettings, llm: ScriptedLLM
) -> None:
    with running(settings) as api:
        llm.play(Turn(calls=[call("send_note", to="ann", text="hello")]), Turn("Done."))
        (step,) = asked(api, "Please send hello.")["steps"]
        path = f"/v1/approvals/{step['approval']['id']}"
        api.get(path)
        for decision in ("approve", "deny"):
            api.post(path, json={"decision": decision})
    lines = [json.loads(line) for line in (settings.data_dir / "audit.jsonl").open()]
    told = [
        (line["action"], line["target"], line["tool"], line["decision"])
        for line in lines
        if line["action"].startswith("approval.")
    ]
    target = step["approval"]["id"]
    assert told == [
        ("approval.read", target, "desk/send_note", "allowed"),
        ("approval.decide", target, "desk/send_note", "allowed"),
        ("approval.decide", target, None, "denied"),
    ]


def test_an_answer_in_the_history_counts_as_others_words(
    api: Api, llm: ScriptedLLM, desk: Desk
) -> None:
    llm.play(Turn(calls=[call("send_note", to="a", text="b")]))
    messages = [
        {"role": "user", "content": "Hello?"},
        {"role": "assistant", "content": "Hello."},
        {"role": "user", "content": "Please send it."},
    ]
    reply = api.post(
        "/v1/chat/completions", json={"messages": messages, "rag": {"tools": True}}
    ).json()
    assert outcomes(reply) == [("send_note", "refused")]


def test_a_read_ends_the_time_for_writes(api: Api, llm: ScriptedLLM, desk: Desk) -> None:
    llm.play(Turn(calls=[call("list_notes"), call("send_note", to="a", text="b")]), Turn("Done."))
    reply = asked(api, "Please send it.")
    assert outcomes(reply) == [("list_notes", "done"), ("send_note", "refused")]
