"""How texts are measured where the server gives no tokenizer: by one that is named, or an estimate.

The estimate is a tokenizer too, so whatever cuts text takes it for one: three ASCII letters, or one
other character that is no space, are a token. It finds more tokens than the models' own do, half
again to twice as many in English and no fewer in other languages; only emoji and rare signs can be
two to four tokens to a model that falls back to bytes. So chunks get shorter than asked for, and
hardly ever too long.
"""

import asyncio
import re
from pathlib import Path

from tokenizers import Regex, Tokenizer, models, pre_tokenizers

from bulkhead.errors import Unavailable
from retriever.clients.embedders import PART

HUB_NAME = re.compile(r"(?!.*\.json$)[\w.-]+/[\w.-]+(?:@[\w.-]+)?")
_ANY = "?"


async def load(named: str) -> str:
    """The text of a `tokenizer.json`: a file's, that of `owner/name@revision` on the hub, or, for
    an empty name, the estimate's.

    Raises `ValueError` for a file that cannot be read, `Unavailable` while the hub gives none.
    """
    if not named:
        return estimate()
    if HUB_NAME.fullmatch(named):
        return await asyncio.to_thread(_from_hub, named)
    return await asyncio.to_thread(check, Path(named))


def check(path: Path) -> str:
    """The file's text. Raises `ValueError`, in words, for one that holds no tokenizer."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not text"
        raise ValueError(f"the tokenizer {path.name} cannot be read: {reason}") from error
    read(text)
    return text


def read(text: str) -> Tokenizer:
    """The tokenizer, which neither cuts nor pads. Raises `ValueError`."""
    try:
        tokenizer = Tokenizer.from_str(text)
    except Exception as error:  # the library raises no narrower type
        raise ValueError(f"not a tokenizer.json: {error}") from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def estimate() -> str:
    """The estimate, as a `tokenizer.json`."""
    tokenizer = Tokenizer(models.WordLevel({_ANY: 0}, unk_token=_ANY))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.WhitespaceSplit(),
            pre_tokenizers.Split(Regex("[A-Za-z]{1,3}|[^A-Za-z]"), behavior="isolated"),
        ]
    )
    return str(tokenizer.to_str())


def _from_hub(named: str) -> str:
    name, _, revision = named.partition("@")
    try:
        return str(Tokenizer.from_pretrained(name, revision=revision or "main").to_str())
    except Exception as error:  # of the hub's client, whatever it is
        raise Unavailable(
            PART, f"the tokenizer {name} is not to be had from the hub ({type(error).__name__})"
        ) from error


class Cutter:
    """Cuts texts to what a model reads, for servers that refuse longer ones."""

    def __init__(self, tokenizer_json: str, most: int) -> None:
        """`most` tokens, special ones not counted."""
        self._tokenizer = read(tokenizer_json)
        self._most = most

    def cut(self, text: str) -> str:
        """The text, or as much of its beginning as fits."""
        if len(text.encode()) <= self._most:  # no tokenizer makes more tokens of it
            return text
        offsets = self._tokenizer.encode(text, add_special_tokens=False).offsets
        return text if len(offsets) <= self._most else text[: offsets[self._most - 1][1]]
