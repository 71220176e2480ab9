"""Calls that a model writes as text: taken for what they are, and never shown as an answer."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retriever.agent.written import UNREAD, Written

TOOLS = frozenset({"files__read_text", "database__query", "database__list_tables"})
READ = '{"name": "files__read_text", "arguments": {"path": "a.txt"}}'
COUNT = '{"name": "database__query", "arguments": {"sql": "SELECT 1"}}'
READ_CALL = ("files__read_text", '{"path": "a.txt"}')
COUNT_CALL = ("database__query", '{"sql": "SELECT 1"}')


def through(text: str, size: int = 3) -> tuple[str, list[tuple[str, str]]]:
    """What is shown of `text`, in pieces of `size`, and the calls in it."""
    written = Written(TOOLS)
    shown = "".join(written.feed(text[n : n + size]) for n in range(0, len(text), size))
    rest, calls = written.end()
    return shown + rest, calls


CALLS = {
    "bare": (READ, "", [READ_CALL]),
    "in a fence": (f"```json\n{READ}\n```", "", [READ_CALL]),
    "in a template's tags": (f"<tool_call>\n{READ}\n</tool_call>", "", [READ_CALL]),
    "in tags that are not closed": (f"<tool_call>\n{READ}", "", [READ_CALL]),
    "in other tags": (f"<tools>\n{READ}\n</tools>", "", [READ_CALL]),
    "after words": (f"I read it first.\n\n{READ}", "I read it first.\n\n", [READ_CALL]),
    "with a made-up result after it": (f"{READ}\nIt says 7.", "", [READ_CALL]),
    "two": (f"<tool_call>{READ}</tool_call>\n<tool_call>{COUNT}</tool_call>", "",
            [READ_CALL, COUNT_CALL]),
    "two in a list": (f"```\n[{READ}, {COUNT}]\n```", "", [READ_CALL, COUNT_CALL]),
    "as OpenAI writes them": (
        json.dumps({"type": "function", "function": {"name": "a", "arguments": '{"b": 1}'}}),
        "", [("a", '{"b": 1}')],
    ),
    "as Llama writes them": ('{"name": "a", "parameters": {"b": 1}}', "", [("a", '{"b": 1}')]),
    "a key twice": (
        '{"name": "a", "arguments": {"b": 1, "b": 2}}', "",
        [(UNREAD, '{"name": "a", "arguments": {"b": 1, "b": 2}}')],
    ),
    "by its arguments, after a tool was named": (
        'I use `database__query`:\n```json\n{"sql": "SELECT 1"}\n```\nIt counts.',
        "I use `database__query`:\n", [COUNT_CALL],
    ),
    "cut off": (READ[:-4], "", [(UNREAD, READ[:-4])]),
    "without arguments": (
        '{"name": "database__list_tables"}', "", [("database__list_tables", "{}")]
    ),
    "of a tool that is not there": (
        '{"name": "a", "arguments": {}}', "", [("a", "{}")]
    ),
    "with more than a call has": (
        '{"name": "files__read_text", "path": "a"}', "",
        [(UNREAD, '{"name": "files__read_text", "path": "a"}')],
    ),
}  # fmt: skip


def test_a_written_call_is_a_call_in_whatever_form_and_pieces_it_comes() -> None:
    for name, (text, shown, calls) in CALLS.items():
        for size in (1, 3, 1000):
            assert through(text, size) == (shown, calls), (name, size)


@pytest.mark.parametrize(
    "text",
    [
        "The port is 8080.",
        'The setting is {"port": 8080} and no more.',
        "Run this:\n```\nmake demo\n```\nThen look.",
        'The file holds:\n```json\n{"port": 8080}\n```',
        'Either database__query or files__read_text:\n```json\n{"port": 8080}\n```',
        "a < b, {c} and `d`, <tool and {",
        'Of {"names": ["Otis"]} and {"key": {"name": 1}} neither is one.',
        'It is {"name": "Otis", "age": 3} in the file.',
        "",
    ],
)
def test_an_answer_that_is_none_is_shown_whole(text: str) -> None:
    for size in (1, 3, 1000):
        assert through(text, size) == (text, [])


def test_words_are_shown_as_they_come_until_something_may_be_a_call() -> None:
    written = Written(TOOLS)
    assert written.feed("The port ") == "The port "
    assert written.feed("is {") == "is "  # it may go on as a call
    assert written.feed("8080}.") == "{8080}."
    assert written.feed(' So: {"') == " So: "
    assert written.feed('port": 1}') == ""
    assert written.end() == ('{"port": 1}', [])


@given(st.text(st.sampled_from("{}\"'`<>:, \n\\[]name\u2028tool_callrguents"), max_size=60))
def test_whatever_is_written_is_shown_or_called_and_the_same_in_any_pieces(text: str) -> None:
    whole = through(text, 1000)
    assert whole == through(text, 1)
    assert whole[1] or whole[0] == text
