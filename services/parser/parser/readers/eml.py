"""Mail: who wrote to whom and when, the message, and its attachments, each by its kind."""

import email
import email.policy
from collections.abc import Callable
from contextlib import suppress
from email.errors import HeaderParseError
from email.header import decode_header, make_header
from email.message import EmailMessage, Message

from parser.charset import decode
from parser.model import Extracted, ParseError, Reading
from parser.readers import html
from parser.words import plain

_HEADERS = ("From", "To", "Cc", "Date", "Subject")
_MOST_ATTACHMENTS = 50
_MOST_PARTS = 500
_DEEPEST = 3
_LEAST_SHARE = 0.4
"""Of the page's text, at least, that the plain text must hold to be the message and not a hint."""

ReadFile = Callable[[bytes, str | None, Reading], tuple[str, Extracted]]


def extractor(read: ReadFile) -> Callable[[bytes, Reading], Extracted]:
    """The reader of mail; `read` reads an attachment, whatever it is."""

    def extract(data: bytes, reading: Reading) -> Extracted:
        message = email.message_from_bytes(data, policy=email.policy.default)
        assert isinstance(message, EmailMessage)
        return _Mail(reading, read).read(message)

    return extract


class _Mail:
    def __init__(self, reading: Reading, read: ReadFile) -> None:
        self._reading = reading
        self._read = read
        self._attachments = 0

    def read(self, message: EmailMessage) -> Extracted:
        """A message with all that it holds. Raises ParseError `invalid` or `too_large`."""
        parts = [part for _, part in zip(range(_MOST_PARTS), message.walk(), strict=False)]
        texts, pages, files = list[str](), list[str](), list[Message]()
        inner = {id(part) for one in parts if one.get_content_type() == "message/rfc822"
                 for part in one.walk() if part is not one}  # fmt: skip
        for part in parts:
            if part.is_multipart() and part.get_content_type() != "message/rfc822":
                continue
            if id(part) in inner:
                continue
            kind = part.get_content_type()
            if kind == "message/rfc822" or _is_attached(part):
                files.append(part)
            elif kind == "text/html":
                pages.append(html.read(self._text(part), self._reading, whole=True).text)
            elif kind == "text/plain" or part.get_content_maintype() == "multipart":
                texts.append(plain(self._text(part)).strip())
            else:  # such as text/calendar
                files.append(part)
        body = self._body("\n\n".join(filter(None, texts)), "\n\n".join(filter(None, pages)))
        blocks = [self._head(message), body, *(self._attached(part) for part in files)]
        text = "\n\n".join(filter(None, blocks))
        self._reading.limits.check_characters(len(text))
        return Extracted(text, _header(message, "Subject"))

    def _head(self, message: Message) -> str:
        told = ((name, _header(message, name)) for name in _HEADERS)
        return "\n".join(f"{name}: {value}" for name, value in told if value)

    def _body(self, text: str, page: str) -> str:
        """The message as text, or its page where the text only points to that."""
        return page if len(text) < _LEAST_SHARE * len(page) or "<" in text[:1] else text or page

    def _text(self, part: Message) -> str:
        payload = part.get_payload(decode=True)
        data = payload if isinstance(payload, bytes) else str(part.get_payload()).encode()
        return decode(data, self._reading, part.get_content_charset()) if data else ""

    def _attached(self, part: Message) -> str:
        name = _plain_name(_decoded(part.get_filename() or ""))
        if part.get_content_type() == "message/rfc822":
            data = b"".join(
                one.as_bytes() for one in part.get_payload() if isinstance(one, Message)
            ) if part.is_multipart() else b""  # fmt: skip
            name, kind = name or "message.eml", "message/rfc822"
        else:
            payload = part.get_payload(decode=True)
            data = payload if isinstance(payload, bytes) else b""
            kind = str(part.get("Content-Type") or part.get_content_type())
        shown = f"\u201c{name or part.get_content_type()}\u201d"
        self._attachments += 1
        if self._attachments > _MOST_ATTACHMENTS:
            self._reading.warn("cut_short", f"Of the attachments {_MOST_ATTACHMENTS} are read.")
            return ""
        if self._reading.depth >= _DEEPEST:
            self._reading.warn("not_read", f"The attachment {shown} lies too deep and is not read.")
            return ""
        own = Reading(
            self._reading.limits, name, part.get_content_charset(), self._reading.ocr,
            self._reading.depth + 1, self._reading.warnings,
        )  # fmt: skip
        try:
            _, found = self._read(data, kind, own)
        except ParseError as error:
            self._reading.warn("not_read", f"The attachment {shown} is not read: {error.message}")
            return ""
        return f"## Attachment: {name or part.get_content_type()}\n\n{found.text}"


def _is_attached(part: Message) -> bool:
    if part.get_content_disposition() == "attachment" or part.get_filename():
        return True
    return part.get_content_maintype() not in ("text", "multipart")


def _header(message: Message, name: str) -> str:
    try:
        told = str(message.get(name) or "")
    except (
        ValueError,
        TypeError,
        IndexError,
        AttributeError,
    ):  # what the library makes of bad ones
        told = ""
    return " ".join(plain(told).split())[:1000]


def _decoded(name: str) -> str:
    """A name in encoded words, which many programs write where RFC 2231 is asked for."""
    with suppress(HeaderParseError, LookupError, ValueError):
        return str(make_header(decode_header(name)))
    return name


def _plain_name(name: str) -> str:
    return "".join(char for char in name if char.isprintable()).replace("#", "")[:200]
