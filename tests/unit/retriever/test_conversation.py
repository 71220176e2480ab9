from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, HumanMessage

from bulkhead.errors import ApiError, InvalidValue, Unsupported
from retriever.api.conversation import Conversation, Message, conversation

CALL = {"id": "1", "type": "function", "function": {"name": "weather", "arguments": '{"at":"Ny"}'}}


def said(*turns: dict[str, Any]) -> Conversation:
    return conversation([Message.model_validate(turn) for turn in turns])


def turn(role: str, content: object = None, **more: Any) -> dict[str, Any]:
    return {"role": role, "content": content, **more}


def test_system_and_developer_turns_anywhere_are_one_set_of_rules() -> None:
    told = said(
        turn("developer", "Be brief."),
        turn("user", "One?"),
        turn("assistant", "Yes."),
        turn("system", "In French."),
        turn("user", "Two?"),
    )
    assert told == Conversation(
        "Be brief.\n\nIn French.", [HumanMessage("One?"), AIMessage("Yes.")], "Two?", ""
    )


def test_user_turns_in_a_row_are_one_turn() -> None:
    told = said(turn("user", "A."), turn("user", "B."), turn("user", "C?"))
    assert (told.history, told.before, told.question) == ([], "A.\n\nB.", "C?")


def test_turns_without_words_are_left_out() -> None:
    told = said(
        turn("user", "One?"),
        turn("assistant", None),
        turn("assistant", ""),
        turn("user", [{"type": "text", "text": "Two?"}]),
    )
    assert (told.history, told.before, told.question) == ([], "One?", "Two?")


def test_calls_and_results_of_the_callers_tools_are_the_assistants_side() -> None:
    told = said(
        turn("user", "How warm?"),
        turn("assistant", None, tool_calls=[CALL]),
        turn("tool", "12 degrees", tool_call_id="1", name="weather"),
        turn("assistant", "12."),
        turn("user", "And the wind?"),
    )
    assert told.history == [
        HumanMessage("How warm?"),
        AIMessage('Called weather with {"at":"Ny"}\n\nResult of weather: 12 degrees\n\n12.'),
    ]


def test_a_question_is_asked_again_with_the_results_of_tools() -> None:
    told = said(
        turn("user", "How warm?"),
        turn("assistant", None, tool_calls=[CALL]),
        turn("tool", [{"type": "text", "text": "12"}], tool_call_id="1"),
    )
    assert told.question == "How warm?"
    assert told.history[-1].text.endswith("Result of a tool: 12")


def test_a_refusal_and_an_old_function_call_are_read() -> None:
    told = said(
        turn("user", "One?"),
        turn("assistant", None, refusal="I will not."),
        turn("user", "Two?"),
        turn("assistant", None, function_call={"name": "f", "arguments": "{}"}),
        turn("function", "x", name="f"),
        turn("user", "Three?"),
    )
    assert [one.text for one in told.history] == [
        "One?",
        "I will not.",
        "Two?",
        "Called f with {}\n\nResult of f: x",
    ]


@pytest.mark.parametrize(
    "turns",
    [
        [turn("system", "x")],
        [turn("assistant", "x")],
        [turn("user", "x"), turn("assistant", "y")],
        [turn("tool", "x")],
    ],
)
def test_without_a_question_to_answer_it_is_refused(turns: list[dict[str, Any]]) -> None:
    with pytest.raises(InvalidValue):
        said(*turns)


@pytest.mark.parametrize("kind", ["image_url", "input_audio", "file", "video_url"])
@pytest.mark.parametrize("last", [True, False])
def test_what_is_no_text_is_refused_by_name(kind: str, last: bool) -> None:
    strange = turn("user", [{"type": "text", "text": "x"}, {"type": kind, kind: {}}])
    turns = [strange] if last else [strange, turn("assistant", "y"), turn("user", "z")]
    with pytest.raises(Unsupported, match=kind) as refused:
        said(*turns)
    assert refused.value.param == "messages"


TURNS = st.builds(
    turn,
    st.sampled_from(["system", "developer", "user", "assistant", "tool", "function"]),
    st.none() | st.text(max_size=5) | st.lists(st.just({"type": "text", "text": "x"}), max_size=2),
)


@given(st.lists(TURNS, max_size=8))
def test_whatever_comes_the_history_goes_by_turns_and_ends_with_an_answer(
    turns: list[dict[str, Any]],
) -> None:
    try:
        told = said(*turns)
    except ApiError:
        return
    kinds = [type(one) for one in told.history]
    assert kinds == [HumanMessage, AIMessage] * (len(kinds) // 2)
    assert all(one.text.strip() for one in told.history)
