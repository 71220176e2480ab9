"""Calls that a model writes into its answer, as small ones do, instead of making them.

Each is a JSON object with a name and arguments: bare, in a code fence, or in the tags of a chat
template. It is taken as the call that it is, and one that cannot be read is refused as such;
neither is shown. What is read goes through the gate like every other call.
"""

import json
import re
from collections.abc import Iterator, Set
from json import JSONDecoder
from typing import Any

from retriever.agent.canonical import strict_object

# What a written call may begin with. From here on a turn is held back until its end shows what
# it is; so an answer with a code block or JSON in it comes later, not otherwise.
_OPENING = re.compile(r"```|<tool_call>|<tools>|<function|\{\s*+[\"']")
_LONGEST_OPENING = 24
_TAGGED = re.compile(r"<tool_call>|<tools>|<function")
_NAMED = re.compile(r"[\"'](?:name|tool)[\"']\s*+:\s*+[\"']([^\"']{1,128}+)")
_FENCED = re.compile(r"```(?:json)?\s*+(\{[^`]*\})\s*+```")
_GIVEN = re.compile(r"[\"'](?:arguments|parameters)[\"']\s*+:")
_NAMES, _ARGUMENTS = ("name", "tool"), ("arguments", "parameters")
_WITH = frozenset({*_NAMES, *_ARGUMENTS, "type", "id", "function"})
_MOST_CALLS = 32

UNREAD = "unreadable"
"""The name of a call that nobody can read: the gate says so to the model."""


class Written:
    """One turn of the model: words in, those that are an answer out, and the calls at its end."""

    def __init__(self, tools: Set[str]) -> None:
        """`tools` are the names of those that there are."""
        self._tools = tools
        self._said = ""
        self._held = ""
        self._holding = False

    def feed(self, words: str) -> str:
        """What can be shown now."""
        self._held += words
        self._said += words
        if self._holding:
            return ""
        opening = _OPENING.search(self._held)
        if opening is not None:
            self._holding = True
            return self._take(opening.start())
        return self._take(len(self._held) - _begun(self._held))

    def end(self) -> tuple[str, list[tuple[str, str]]]:
        """The rest that is an answer, and the calls as a name and raw arguments."""
        held = self._take(len(self._held))
        calls = list(_calls(held, self._tools))[:_MOST_CALLS]
        if not calls and len(told := [tool for tool in self._tools if tool in self._said]) == 1:
            calls = list(_arguments(held, told[0]))[:1]
        if calls:
            return "", calls
        named = {name[1] for name in _NAMED.finditer(held)}
        if _TAGGED.search(held) or named & self._tools or (named and _GIVEN.search(held)):
            return "", [(UNREAD, held)]
        return held, []

    @property
    def held(self) -> int:
        """Characters that are held back."""
        return len(self._held)

    def _take(self, until: int) -> str:
        taken, self._held = self._held[:until], self._held[until:]
        return taken


def _begun(text: str) -> int:
    """How many characters at the end of `text` may be the beginning of an opening."""
    for length in range(min(len(text), _LONGEST_OPENING), 0, -1):
        tail = text[-length:]
        if re.fullmatch(r"\{\s*+", tail) or any(
            opening.startswith(tail) for opening in ("```", "<tool_call>", "<tools>", "<function")
        ):
            return length
    return 0


def _arguments(text: str, tool: str) -> Iterator[tuple[str, str]]:
    """The object in a code fence, where the words name one tool: its arguments, by all signs."""
    for fenced in _FENCED.finditer(text):
        try:
            yield tool, json.dumps(strict_object(fenced[1]))
        except ValueError:
            continue


def _calls(text: str, tools: Set[str]) -> Iterator[tuple[str, str]]:
    """The calls in `text`, in their order."""
    decoder = JSONDecoder()
    place = text.find("{")
    while place != -1:
        try:
            _, end = decoder.raw_decode(text, place)
            found = _call(strict_object(text[place:end]), tools)
        except (ValueError, RecursionError):
            found, end = None, place + 1
        if found is not None:
            yield found
        place = text.find("{", end)


def _call(value: dict[str, Any], tools: Set[str]) -> tuple[str, str] | None:
    """The call that a JSON object is, if it is one and nothing else."""
    inner = value.get("function")
    if isinstance(inner, dict):
        value = inner
    elif isinstance(inner, str):
        value = {**value, "name": inner}
    if not set(value) <= _WITH:
        return None
    name = next((value[key] for key in _NAMES if isinstance(value.get(key), str)), None)
    arguments = next((value[key] for key in _ARGUMENTS if key in value), None)
    if arguments is None and name in tools:
        arguments = {}
    if name is None or not isinstance(arguments, dict | str):
        return None
    return name, arguments if isinstance(arguments, str) else json.dumps(arguments)
