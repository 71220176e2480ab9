"""How much work is done, counted in steps that are the same on every machine.

A text rule's step is a line of the rule's own Python, or a move of the matcher that stands in for
`re` here: it backtracks over the same parsed pattern as CPython's does, and can be counted.
"""

import gc
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from itertools import islice
from types import FrameType, ModuleType
from typing import Any

# What `re` is made of, without types.
sre: Any = import_module("re._constants")
parser: Any = import_module("re._parser")

Groups = dict[int, tuple[int, int]]
End = tuple[int, Groups]
Nodes = Sequence[tuple[Any, Any]]


def calls(work: Callable[[], object]) -> int:
    """How many functions, Python's and C's, `work` calls: the same on every machine."""
    count = 0

    def seen(frame: FrameType, event: str, argument: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    before, collects = sys.getprofile(), gc.isenabled()
    gc.disable()  # else what others left is finalized, and counted, when the collector pleases
    sys.setprofile(seen)
    try:
        work()
    finally:
        sys.setprofile(before)
        if collects:
            gc.enable()
    return count


class Steps:
    """The count."""

    def __init__(self) -> None:
        self.taken = 0


class Found:
    """What of `re.Match` the rules use."""

    def __init__(self, pattern: "CountedPattern", text: str, start: int, end: int, groups: Groups):
        self._names = pattern.names
        self._text = text
        self._groups = {0: (start, end), **groups}
        last = max(groups, default=0, key=lambda number: groups[number][1])
        self.lastgroup = next((name for name, n in self._names.items() if n == last), None)

    def span(self, group: int | str = 0) -> tuple[int, int]:
        number = self._names[group] if isinstance(group, str) else group
        return self._groups.get(number, (-1, -1))

    def start(self, group: int | str = 0) -> int:
        return self.span(group)[0]

    def end(self, group: int | str = 0) -> int:
        return self.span(group)[1]

    def __getitem__(self, group: int | str) -> str | None:
        start, end = self.span(group)
        return None if start < 0 else self._text[start:end]


class CountedPattern:
    """A compiled pattern of `re` whose moves are counted."""

    def __init__(self, pattern: re.Pattern[str], steps: Steps) -> None:
        self._steps = steps
        self._nodes = _parsed(pattern.pattern, pattern.flags)
        self._flags = pattern.flags
        self.names = pattern.groupindex

    def search(self, text: str, pos: int = 0, endpos: int = sys.maxsize) -> Found | None:
        text = text[:endpos]
        tries = (self._at(text, at) for at in range(pos, len(text) + 1))
        return next((found for found in tries if found), None)

    def match(self, text: str, pos: int = 0, endpos: int = sys.maxsize) -> Found | None:
        return self._at(text[:endpos], pos)

    def fullmatch(self, text: str, pos: int = 0) -> Found | None:
        ends = self._run(self._nodes, text, pos, {}, self._flags)
        return next((Found(self, text, pos, end, g) for end, g in ends if end == len(text)), None)

    def finditer(self, text: str, pos: int = 0, endpos: int = sys.maxsize) -> Iterator[Found]:
        while (found := self.search(text, pos, endpos)) is not None:
            yield found
            pos = found.end() + (found.start() == found.end())

    def sub(self, repl: str | Callable[[Any], str], text: str) -> str:
        parts, done = [], 0
        for found in self.finditer(text):
            parts += [text[done : found.start()], repl if isinstance(repl, str) else repl(found)]
            done = found.end()
        return "".join([*parts, text[done:]])

    def _at(self, text: str, at: int) -> Found | None:
        self._steps.taken += 1
        if not _may_begin(self._nodes, text[at : at + 1], self._flags):
            return None
        for end, groups in self._run(self._nodes, text, at, {}, self._flags):
            return Found(self, text, at, end, groups)
        return None

    def _run(self, nodes: Nodes, text: str, at: int, groups: Groups, flags: int) -> Iterator[End]:
        """Where `nodes` can end, in the order in which a backtracking matcher tries them."""
        self._steps.taken += 1
        if not nodes:
            yield at, groups
            return
        (kind, value), rest = nodes[0], nodes[1:]
        for end, known in self._one(kind, value, text, at, groups, flags):
            yield from self._run(rest, text, end, known, flags)

    def _one(
        self, kind: Any, value: Any, text: str, at: int, groups: Groups, flags: int
    ) -> Iterator[End]:
        if kind in _SINGLE:
            if at < len(text) and _fits(kind, value, text[at], flags):
                yield at + 1, groups
        elif kind in (sre.MAX_REPEAT, sre.MIN_REPEAT, sre.POSSESSIVE_REPEAT):
            yield from self._repeated(kind, value, text, at, groups, flags)
        elif kind is sre.SUBPATTERN:
            number, add, remove, nodes = value
            for end, known in self._run(list(nodes), text, at, groups, flags & ~remove | add):
                yield end, known if number is None else {**known, number: (at, end)}
        elif kind is sre.BRANCH:
            for branch in map(list, value[1]):
                if _may_begin(branch, text[at : at + 1], flags):
                    yield from self._run(branch, text, at, groups, flags)
        elif kind is sre.ATOMIC_GROUP:
            yield from islice(self._run(list(value), text, at, groups, flags), 1)
        elif kind in (sre.ASSERT, sre.ASSERT_NOT):
            direction, nodes = value
            begin = at if direction > 0 else at - nodes.getwidth()[0]
            holds = begin >= 0 and any(
                direction > 0 or end == at
                for end, _ in self._run(list(nodes), text, begin, groups, flags)
            )
            if holds is (kind is sre.ASSERT):
                yield at, groups
        elif kind is sre.AT:
            if _stands(value, text, at, flags):
                yield at, groups
        else:
            raise NotImplementedError(kind)

    def _repeated(
        self, kind: Any, value: Any, text: str, at: int, groups: Groups, flags: int
    ) -> Iterator[End]:
        least, most, nodes = value
        most = len(text) + 1 if most is sre.MAXREPEAT else most
        if len(nodes) == 1 and nodes[0][0] in _SINGLE and kind is not sre.MIN_REPEAT:
            (one, wanted), end = nodes[0], at
            while end < len(text) and end - at < most and _fits(one, wanted, text[end], flags):
                self._steps.taken += 1
                end += 1
            ends = range(end, at + least - 1, -1)
            for back in ends[:1] if kind is sre.POSSESSIVE_REPEAT else ends:
                self._steps.taken += 1
                yield back, groups
            return
        more = self._more(kind is sre.MIN_REPEAT, least, most, list(nodes), text, at, groups, flags)
        yield from islice(more, 1) if kind is sre.POSSESSIVE_REPEAT else more

    def _more(
        self,
        lazy: bool,
        least: int,
        most: int,
        nodes: Nodes,
        text: str,
        at: int,
        groups: Groups,
        flags: int,
    ) -> Iterator[End]:
        self._steps.taken += 1
        if lazy and least <= 0:
            yield at, groups
        if most > 0:
            for end, known in self._run(nodes, text, at, groups, flags):
                if end > at or least > 0:
                    yield from self._more(lazy, least - 1, most - 1, nodes, text, end, known, flags)
        if not lazy and least <= 0:
            yield at, groups


@cache
def _parsed(pattern: str, flags: int) -> Nodes:
    return list(parser.parse(pattern, flags))


_SINGLE = (sre.LITERAL, sre.NOT_LITERAL, sre.ANY, sre.IN)
_CATEGORIES: dict[Any, Callable[[str], bool]] = {
    sre.CATEGORY_DIGIT: str.isdecimal,
    sre.CATEGORY_SPACE: str.isspace,
    sre.CATEGORY_WORD: lambda char: char.isalnum() or char == "_",
    sre.CATEGORY_NOT_DIGIT: lambda char: not char.isdecimal(),
    sre.CATEGORY_NOT_SPACE: lambda char: not char.isspace(),
    sre.CATEGORY_NOT_WORD: lambda char: not (char.isalnum() or char == "_"),
}


def _may_begin(nodes: Nodes, char: str, flags: int) -> bool:
    """Whether a match can begin with this character; `re` looks at that first, too."""
    if not nodes:
        return True
    kind, value = nodes[0]
    if kind in _SINGLE:
        return bool(char) and _fits(kind, value, char, flags)
    if kind is sre.SUBPATTERN:
        return _may_begin(list(value[3]), char, flags & ~value[2] | value[1])
    if kind is sre.BRANCH:
        return any(_may_begin(list(branch), char, flags) for branch in value[1])
    if kind in (sre.ASSERT, sre.ASSERT_NOT, sre.AT):
        return _may_begin(nodes[1:], char, flags)
    repeats = kind in (sre.MAX_REPEAT, sre.MIN_REPEAT, sre.POSSESSIVE_REPEAT)
    return not repeats or value[0] == 0 or _may_begin(list(value[2]), char, flags)


_known: dict[tuple[Any, int, str, int], bool] = {}
"""What `_fits` has found, by the node's identity: parsed patterns are kept."""


def _fits(kind: Any, value: Any, char: str, flags: int) -> bool:
    """Whether one node that takes one character takes this one."""
    key = kind, id(value), char, flags
    known = _known.get(key)
    if known is None:
        known = _known[key] = _takes(kind, value, char, flags)
    return known


def _takes(kind: Any, value: Any, char: str, flags: int) -> bool:
    if kind is sre.ANY:
        return bool(flags & re.DOTALL) or char != "\n"
    forms = {char, char.lower(), char.upper()} if flags & re.IGNORECASE else {char}
    forms = {form for form in forms if len(form) == 1}
    if kind is sre.LITERAL:
        return value in map(ord, forms)
    if kind is sre.NOT_LITERAL:
        return value not in map(ord, forms)
    negated = value[0][0] is sre.NEGATE
    return negated != any(_among(part, form) for part in value for form in forms)


def _among(part: tuple[Any, Any], char: str) -> bool:
    kind, value = part
    if kind is sre.RANGE:
        return bool(value[0] <= ord(char) <= value[1])
    if kind is sre.CATEGORY:
        return _CATEGORIES[value](char)
    return kind is sre.LITERAL and value == ord(char)


def _stands(where: Any, text: str, at: int, flags: int) -> bool:
    """Whether an anchor holds."""
    before, after = text[at - 1 : at] if at else "", text[at : at + 1]
    if where is sre.AT_BEGINNING_STRING or (where is sre.AT_BEGINNING and not flags & re.M):
        return at == 0
    if where is sre.AT_BEGINNING:
        return not before or before == "\n"
    if where is sre.AT_END_STRING:
        return not after
    if where is sre.AT_END:
        return not after or (after == "\n" and bool(flags & re.M or at == len(text) - 1))
    word = _CATEGORIES[sre.CATEGORY_WORD]
    differ = (bool(before) and word(before)) != (bool(after) and word(after))
    return differ is (where is sre.AT_BOUNDARY)


@contextmanager
def counted(*modules: ModuleType) -> Iterator[Steps]:
    """Count, while inside, the steps of these modules' code and of their module-wide patterns."""
    steps, patterns = Steps(), []
    for module in modules:
        for name, value in list(vars(module).items()):
            if isinstance(value, re.Pattern):
                patterns.append((module, name, value))
                setattr(module, name, CountedPattern(value, steps))
    files = {module.__file__ for module in modules}

    def trace(frame: FrameType, event: str, _: object) -> Any:
        if frame.f_code.co_filename not in files:
            return None
        steps.taken += event == "line"
        return trace

    before, limit = sys.gettrace(), sys.getrecursionlimit()
    sys.setrecursionlimit(max(limit, 100_000))
    sys.settrace(trace)
    try:
        yield steps
    finally:
        sys.settrace(before)
        sys.setrecursionlimit(limit)
        for module, name, value in patterns:
            setattr(module, name, value)
