"""Takes tokens out of a text in which one may hide inside another, in one pass."""

import re
from io import StringIO

_OPENS = {">": "<", "]": "[", "】": "【"}
_CLOSES = re.compile(r"[>\]】]")


def without(text: str, token: re.Pattern[str], longest: int) -> str:
    """`text` without any `token`, also none that taking out another one would make.

    A token is bracketed: it ends with `>`, `]` or `】`, and begins at the last such bracket that
    opened, or one character before. It is taken back as soon as its last character is written, so
    that what comes after it meets what was before it. `longest` bounds its characters.
    """
    kept, written = StringIO(), 0
    for close in _CLOSES.finditer(text):
        kept.write(text[written : close.end()])
        written = close.end()
        kept.seek(max(0, kept.tell() - longest))
        tail = kept.read()
        opened = tail.rfind(_OPENS[close[0]])
        for start in (opened - 1, opened):
            if start >= 0 and token.fullmatch(tail, start):
                kept.seek(kept.tell() - len(tail) + start)
                kept.truncate()
                break
    kept.write(text[written:])
    return kept.getvalue()
