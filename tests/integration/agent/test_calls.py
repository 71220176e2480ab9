"""Calls of tools that cannot be made, or too often, or that bring too much: the answer goes on."""

import json

import pytest
from desk import Desk
from desk_questions import asked, call, outcomes
from rig import Api, running
from scripted_llm import ScriptedLLM, Turn

from bulkhead.audit import read_head
from bulkhead.chain import verify
from retriever.branding.branding import packaged
from retriever.settings import RetrieverSettings


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ('{"name": "plan"', "not JSON"),
        ('{"name": "plan"} {"name": "x"}', "cannot be read"),
        ("[]", "not an object"),
        ('"plan"', "not an object"),
        ("", "name"),
        ("null", "not an object"),
        ('{"name": "plan", "name": "x"}', "twice"),
        ('{"name": NaN}', "NaN"),
        ('{"name": 7}', "type"),
        ('{"name": null}', "type"),
        ('{"name": ["plan"]}', "type"),
        ('{"name": "plan", "tenant": "other"}', "unknown arguments"),
        ('{"name": "plan", "_meta": {}}', "unknown arguments"),
        ('{"name": "\\ud800"}', "surrogate"),
        ('{"name": "' + "x" * 2**20 + '"}', "4096 bytes"),
        ('{"name": ' + "[" * 2000 + "]" * 2000 + "}", ""),
    ],
)
def test_arguments_that_do_not_fit_reach_no_server(
    filled: Api, llm: ScriptedLLM, desk: Desk, arguments: str, says: str
) -> None:
    llm.play(Turn(calls=[("desk__read_note", arguments)]), Turn("I do not know."))
    (step,) = asked(filled)["steps"]
    assert step["outcome"] == "refused" and says in step["detail"]
    assert len(step["detail"]) < 500
    assert desk.calls == []


@pytest.mark.parametrize(
    "name",
    [
        "",
        "read_note",
        "desk__secret_admin",
        "desk__send_note ",
        "desk__read_note\n",
        "Desk__read_note",
        "desk/read_note",
        "desk__desk__read_note",
        "other__read_note",
        "tools/list",
        "functions.desk__read_note",
        "desk__read_note{}",
        "x" * 5000,
        "d\u0435sk__read_note",
    ],
)
def test_a_tool_outside_the_list_does_not_run(
    filled: Api, llm: ScriptedLLM, desk: Desk, name: str
) -> None:
    llm.play(Turn(calls=[(name, '{"name": "plan"}')]), Turn("I do not know."))
    (step,) = asked(filled)["steps"]
    assert (step["outcome"], step["server"]) == ("refused", "")
    assert desk.calls == []


def test_a_call_written_as_text_is_made_and_never_shown(
    filled: Api, llm: ScriptedLLM, desk: Desk
) -> None:
    written = json.dumps({"name": "desk__read_note", "arguments": {"name": "plan"}})
    llm.play(
        Turn(f"I look it up.\n```json\n{written}\n```"),
        Turn('<tool_call>{"name": "desk__read_note", "arguments": {"name": </tool_call>'),
        Turn("The ferry leaves from pier 9."),
    )
    reply = asked(filled, "Where does the ferry leave from?")
    assert outcomes(reply) == [("read_note", "done"), ("unreadable", "refused")]
    answer = reply["choices"][0]["message"]["content"]
    assert "desk__read_note" not in answer
    assert "tool_call" not in answer
    assert "The ferry leaves from pier 9. [1]" in answer
    assert [one["tool"]["tool"] for one in reply["citations"]] == ["read_note"]


def test_a_model_that_writes_calls_to_the_end_has_no_answer(filled: Api, llm: ScriptedLLM) -> None:
    written = json.dumps({"name": "desk__read_note", "arguments": {"name": "plan"}})
    llm.script = lambda _: Turn(f"<tool_call>{written}</tool_call>")
    reply = asked(filled)
    assert reply["choices"][0]["message"]["content"] == packaged().answers.said.no_answer
    assert reply["grounding"]["abstained"]


def test_the_same_call_is_made_once(filled: Api, llm: ScriptedLLM, desk: Desk) -> None:
    again = ("desk__read_note", '{ "name" : "plan" }')
    llm.play(Turn(calls=[call("read_note", name="plan"), again]), Turn(calls=[again]))
    reply = asked(filled)
    assert [outcome for _, outcome in outcomes(reply)] == ["done", "refused", "refused"]
    assert len(desk.calls) == 1
    names = [{tool["function"]["name"] for tool in one["tools"]} for one in llm.requests]
    assert ["desk__read_note" in one for one in names] == [True, False, False]
    assert all("answer" in one and "desk__list_notes" in one for one in names)


def test_a_model_that_never_stops_calling_is_stopped(
    filled: Api, llm: ScriptedLLM, desk: Desk
) -> None:
    count = iter(range(1000))
    llm.script = lambda _: Turn(calls=[call("read_note", name=str(next(count)))])
    reply = asked(filled)
    assert len(desk.calls) <= 4
    assert reply["choices"][0]["message"]["content"].startswith("I could not answer")
    assert reply["grounding"]["abstained"]
    assert "tools" not in llm.requests[-1]
    assert len(llm.requests) <= 5


def test_a_hundred_calls_in_one_turn_are_mostly_refused(
    filled: Api, llm: ScriptedLLM, desk: Desk
) -> None:
    llm.play(Turn(calls=[call("query", service=str(n)) for n in range(100)]), Turn("Done."))
    reply = asked(filled)
    assert len(desk.calls) == 4
    assert len(reply["steps"]) == 9  # the budget, and one that says so


def test_a_huge_result_is_refused_and_the_answer_goes_on(filled: Api, llm: ScriptedLLM) -> None:
    llm.play(
        Turn(calls=[call("big", bytes=200_000), call("big", bytes=10**8), call("big", bytes=40)]),
        Turn("The retriever listens on port 8080."),
    )
    reply = asked(filled)
    assert [step["outcome"] for step in reply["steps"]] == ["refused", "failed", "done"]
    assert reply["grounding"]["supported"]


def test_a_result_that_does_not_fit_the_context_is_left_out(
    filled: Api, llm: ScriptedLLM, desk: Desk
) -> None:
    desk.notes["long"] = "word " * 5000  # the scripted server counts words, and takes 4096
    llm.play(
        Turn(calls=[call("read_note", name="long"), call("read_note", name="plan")]),
        Turn("The ferry leaves from pier 9."),
    )
    reply = asked(filled)
    assert [step["outcome"] for step in reply["steps"]] == ["refused", "done"]
    assert "does not fit" in reply["steps"][0]["detail"]
    assert reply["citations"]


def test_every_tool_call_is_on_record_and_no_argument_or_result_is(
    settings: RetrieverSettings, llm: ScriptedLLM, desk: Desk
) -> None:
    with running(settings) as api:
        desk.notes["canary-name"] = "The canary-result sings."
        llm.play(
            Turn(calls=[call("read_note", name="canary-name"), ("canary__tool", "{}")]),
            Turn(calls=[call("read_note", name="canary-missing")]),
            Turn("The canary-answer."),
        )
        answered = asked(api)
        assert outcomes(answered) == [
            ("read_note", "done"),
            ("canary__tool", "refused"),
            ("read_note", "failed"),
        ]
    path = settings.data_dir / "audit.jsonl"
    head = read_head(path)
    assert head is not None
    with path.open("rb") as lines:
        verify(lines, head)
    assert "canary" not in path.read_text()
    told = [json.loads(line) for line in path.read_text().splitlines()]
    calls = [line for line in told if line["action"] == "tool.call"]
    assert [(line["tool"], line["decision"], line["error"]) for line in calls] == [
        ("desk/read_note", "allowed", None),
        ("unknown/unknown", "denied", "refused"),
        ("desk/read_note", "failed", "failed"),
    ]
    (chat,) = [line for line in told if line["action"] == "chat"]
    assert {(line["key_id"], line["tenant"]) for line in calls} == {("admin", "default")}
    assert {line["request_id"] for line in calls} == {chat["request_id"]}
    assert all(len(line["target"]) == 64 for line in calls if line["tool"] != "unknown/unknown")
