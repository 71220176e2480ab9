"""What others wrote, made ready for a prompt: marked as data, without what a reader cannot see.

The marks and the cleaning make injected instructions weaker. They are no wall: the gate is.
"""

import re
import secrets

from retriever.nested import without

# Zero-width, bidirectional and other invisible characters, Unicode tags, variation selectors from
# the supplement (they can hide bytes), and controls other than tab and line breaks.
_INVISIBLE = re.compile(
    "[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5"
    "\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufeff\uffa0\ufff9-\ufffb"
    "\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
_CHAT_TOKEN = re.compile(
    r"<\|[^|<>\n]{1,40}\|>|<\uff5c[^\uff5c<>\n]{1,40}\uff5c>"
    r"|\[/?(?:INST|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS)\]|<</?SYS>>|</?s>"
    r"|<(?:bos|eos|unk|pad)>|<(?:start|end)_of_turn>"
    r"|</?(?:tool_call|tool_response|tools|function_calls|think)>",
    re.IGNORECASE,
)
_LONGEST_TOKEN = 44
_SUSPECT = re.compile(r"[<\[]")


def clean(text: str) -> str:
    """`text` without invisible characters and without any chat template's tokens.

    The result may be shorter, so offsets into `text` do not hold in it.
    """
    text = _INVISIBLE.sub("", text)
    if not _SUSPECT.search(text):  # most texts; nothing to look for
        return text
    return without(text, _CHAT_TOKEN, _LONGEST_TOKEN)


def new_mark() -> str:
    """A word that whoever wrote the content cannot know: 64 random bits."""
    return secrets.token_hex(8)


def fenced(text: str, mark: str, kind: str) -> str:
    """Cleaned `text` between two lines that only this request knows."""
    inside = clean(text).replace(mark, "")
    return f"<{kind} {mark}>\n{inside}\n</{kind} {mark}>"
