"""No text costs the square of its length: every rule on the way of a question, by its steps.

A text that a question, a document, a file, a row or the model can make holds up everyone for as
long as a rule takes over it. Steps are counted, not seconds: see `steps`.
"""

import re
import unicodedata
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.documents import Document
from steps import CountedPattern, Steps, counted

from bulkhead import leaks
from retriever import nested
from retriever.agent import entities, links, untrusted
from retriever.answer import abstention, cite, ground, numbers, opposites, prompt, sentences
from retriever.answer.ground import Evidence, Support
from retriever.index.model import Hit
from retriever.index.normal import nfkc

SCANNER = leaks.SecretScanner(["a-secret-of-this-process"])
LENGTH = 80
"""Characters; then twice as many. The matcher that counts takes a microsecond a step."""
MOST = 3.0
"""Times the steps of half the text: linear is 2, quadratic 4."""
LEAST = 10
"""Steps a character that count for nothing: a text may have an easy way, and a longer one not."""


def _streamed(stream: cite.CitingStream | links.LinkFilter, text: str, size: int) -> None:
    for first in range(0, len(text), size):
        stream.feed(text[first : first + size])
    stream.end()


def _citing() -> cite.CitingStream:
    return cite.CitingStream(Evidence("Which?", [], [], "english", 0.6))


def _check(text: str) -> None:
    """Take `text` apart as a source, and look for a sentence in it."""
    hit = Hit("c", "d", "t", "s", None, 0, len(text), text, 1.0)
    Evidence(text, [hit], [hit], "english", 0.0).supports("Port 8080 is open, says Marta.")


def _fence(text: str) -> None:
    prompt._fenced(Document(page_content=text, metadata={"title": text[:100]}))


def _numbers(text: str) -> None:
    for language in ("en", "fr", "ru", "zh"):
        numbers.said(text, language)
        numbers.claimed(text, language)


def _opposite(text: str) -> None:
    opposites.denies(text)
    opposites.may_deny(text)


RULES: dict[str, Callable[[str], object]] = {
    "clean": untrusted.clean,
    "fence": _fence,
    "redact": SCANNER.redact,
    "sentences": sentences.sentences,
    "check": _check,
    "numbers": _numbers,
    "opposites": _opposite,
    "abstains": abstention.abstains,
    "cite": lambda text: _streamed(_citing(), text, len(text)),
    "cite in pieces": lambda text: _streamed(_citing(), text, 8),
    # Begun with a bracket, as plain words have an easy way.
    "links": lambda text: _streamed(links.LinkFilter(set()), f"[{text}", len(text) + 1),
    "links in pieces": lambda text: _streamed(links.LinkFilter(set()), f"[{text}", 8),
}
UNITS = [
    ".", "?!", '."', "1.", "a.", "。", "\n", "\n ", "\n1.", " ", "\t", "# ", "e.g.", "x ", "-", "/",
    "\\", "//", "://", "www.", "https:", "w", "!", "![", "[", "]", "](", "[x](", "[1,", "[1] ", "(",
    "[[1]]", ")", "<", ">", "<s", "<s>", "<|", "|>", "<a ", "<b =", "</", "<!", "&", "&#", "&#1",
    "&amp", "&#&", "【", "】", "<|[INST]", "[INST", "eyJ-", "eyJaaaaaaaaaa.", "bh_", "sk-", "ghp_",
    "-----BEGIN PRIVATE KEY-----", "-----", "aws", "awssecret", "< ", "</ source", '"', "tel:",
    "nine ", "1 ", "1,", "1 000 ", "9h", "5 km ", "двадцать ", "二十", "万", "neuf ", "not ", "ne ",
    "n't ", "un", "no ", "не ",
]  # fmt: skip


def steps(rule: str, text: str) -> int:
    """How many steps it takes over `text`."""
    modules = (
        nested, entities, leaks, links, untrusted,
        abstention, cite, ground, numbers, opposites, prompt, sentences,
    )  # fmt: skip
    with counted(*modules) as count, pytest.MonkeyPatch.context() as patched:
        patched.setattr(SCANNER, "_pattern", CountedPattern(SCANNER._pattern, count))
        RULES[rule](text)
    return count.taken


def growth(rule: str, make: Callable[[int], str]) -> float:
    """How much more steps it takes over a text that is twice as long."""
    return steps(rule, make(2 * LENGTH)) / max(steps(rule, make(LENGTH)), LEAST * LENGTH)


@pytest.mark.parametrize("rule", RULES)
def test_no_text_of_one_thing_costs_the_square_of_its_length(rule: str) -> None:
    def repeated(unit: str) -> Callable[[int], str]:
        return lambda length: (unit * length)[:length] + "x"  # what was hoped for does not come

    grown = {unit: growth(rule, repeated(unit)) for unit in UNITS}
    assert {unit: times for unit, times in grown.items() if times > MOST} == {}


@pytest.mark.parametrize("rule", RULES)
@settings(max_examples=8, derandomize=True)
@given(st.lists(st.sampled_from(UNITS), min_size=1, max_size=4), st.sampled_from(UNITS))
def test_no_mix_costs_the_square_of_its_length(rule: str, before: list[str], after: str) -> None:
    """As `<s<s<s…>>>`: many of the one, then many of the other."""
    first = "".join(before)

    def mixed(length: int) -> str:
        half = length // 2
        return (first * half)[:half] + (after * half)[:half]

    assert growth(rule, mixed) <= MOST


def test_a_sentence_is_looked_at_twice_at_a_joint_whatever_it_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looks = 0
    support = Evidence.support

    def counted_support(evidence: Evidence, sentence: str) -> Support | None:
        nonlocal looks
        looks += 1
        return support(evidence, sentence)

    monkeypatch.setattr(Evidence, "support", counted_support)
    text = "alpha beta gamma delta. epsilon zeta eta theta."
    hit = Hit("c", "d", "t", "s", None, 0, len(text), text, 1.0)
    for joints in (2, 8, 200):
        for said in ("alpha beta gamma delta", "nobody said so at all"):
            looks = 0
            Evidence("", [hit], [hit], "english", 0.6).supports(", and ".join([said] * joints))
            assert looks <= 1 + 2 * min(joints, 16)


def test_the_count_sees_what_is_quadratic() -> None:
    def taken(pattern: str, length: int) -> int:
        count = Steps()
        CountedPattern(re.compile(pattern), count).search("a" * length)
        return count.taken

    assert taken("a+b", 400) / taken("a+b", 200) > 3.5
    assert taken("a++b", 400) / taken("a++b", 200) > 3.5  # from each place once more
    assert taken("(?<!a)a++b", 400) / taken("(?<!a)a++b", 200) < 2.1


@given(st.lists(st.sampled_from(UNITS), max_size=8))
def test_the_matcher_that_counts_matches_as_re_does(parts: list[str]) -> None:
    text, count = "".join(parts), Steps()
    for module in (nested, entities, links, untrusted, cite, prompt, sentences):
        for value in vars(module).values():
            if isinstance(value, re.Pattern):
                found = [one.span() for one in CountedPattern(value, count).finditer(text)]
                assert found == [one.span() for one in value.finditer(text)], value.pattern


@given(st.text(st.sampled_from("a\u00e9\u0301\u0316\uff9e\ufb01\u6f22"), max_size=20))
def test_words_are_normalised_as_unicode_says(text: str) -> None:
    assert nfkc(text) == unicodedata.normalize("NFKC", text)


def test_marks_without_end_are_never_put_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """Putting n combining marks in order takes n squared steps, inside Python."""
    seen: list[str] = []

    def normalize(_: str, text: str) -> str:
        seen.append(text)
        return text

    monkeypatch.setattr("unicodedata.normalize", normalize)
    for marks in ("\u0316\u0301", "\uff9e\u0301", "\u0301"):
        nfkc("a" + marks * 1000 + "b")
    assert all(len(text) <= 32 for text in seen)
