from hypothesis import given
from hypothesis import strategies as st

from retriever.answer.sentences import boundary, sentences


def split(text: str) -> list[str]:
    return [text[start:end] for start, end in sentences(text)]


def test_sentences_end_at_marks_before_space() -> None:
    assert split("It runs. Does it? Yes!  Good.") == ["It runs.", "Does it?", "Yes!", "Good."]


def test_points_inside_words_numbers_and_abbreviations_end_nothing() -> None:
    text = "Version 1.2 of vllm.yaml, e.g. by Dr. A. Smith, costs 3.50. It is new."
    assert split(text) == [text[:-11].strip(), "It is new."]


def test_headings_list_items_and_rows_end_at_their_line() -> None:
    assert split("# Ports\n\n- one\n- two") == ["# Ports", "- one", "- two"]
    assert split("# Ports\nThe port.") == ["# Ports", "The port."]
    assert split("First:\n1. one\n2. two") == ["First:", "1. one", "2. two"]
    assert split("| a | b |\n| c | d |") == ["| a | b |", "| c | d |"]


def test_a_wrapped_paragraph_is_not_cut_at_its_lines() -> None:
    assert split("The port is\n8080. It is\r\nopen.\n\nNext") == [
        "The port is\n8080.",
        "It is\r\nopen.",
        "Next",
    ]


def test_closing_quotes_belong_to_the_sentence() -> None:
    assert split('He said "stop." Then it stopped.') == ['He said "stop."', "Then it stopped."]


def test_full_width_marks_need_no_space() -> None:
    assert split("你好。再见！") == ["你好。", "再见！"]


def test_no_boundary_while_the_stream_may_go_on() -> None:
    assert boundary("Port 8080.") is None
    assert boundary("Port 8080. N") == len("Port 8080.")


@given(st.text(alphabet=st.sampled_from("ab .!?\n\r\t。é😀\u202e\x00\"')"), max_size=200))
def test_spans_are_in_order_without_overlap_and_lose_only_white_space(text: str) -> None:
    position = 0
    for start, end in sentences(text):
        assert position <= start < end
        assert not text[position:start].strip()
        assert text[start:end] == text[start:end].strip()
        position = end
    assert not text[position:].strip()
