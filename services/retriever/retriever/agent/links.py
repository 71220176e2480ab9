"""Takes links and images out of an answer while it streams.

A link is a way out: a page that shows the answer fetches its images, and a person follows its
links, with whatever the model was talked into putting in the address. So an answer keeps no image,
and no link but to an address that may stay, whose brackets are built anew around it. What cannot
be read as a whole is taken apart: without `](` and `]:` there is no link and no image in Markdown,
and no tag in HTML where a space follows the `<`. What is taken out leaves a space or words, so that
what stood around it does not become something new.

Each character is looked at a bounded number of times, however the words are cut.
"""

import re
from collections.abc import Collection

from retriever.agent.entities import EntityReader

REMOVED = "[link removed]"

_TAGS = frozenset(
    """
a applet area audio base body embed form frame iframe image img input link math meta object picture
script source style svg table td track use video
""".split()  # noqa: SIM905 - readable as a paragraph
)
_SCHEMES = (
    "https", "http", "ftps", "ftp", "sftp", "wss", "ws", "javascript", "vbscript", "mailto", "xmpp",
    "tel", "sms", "callto", "facetime", "sips", "sip", "skype",
)  # fmt: skip
"""Those that lead out without `//` too: browsers and Markdown read `https:host/path`."""
_BEGINNINGS = frozenset(
    [one[:n] for one in (*_SCHEMES, "www") for n in range(1, len(one) + 1)]
    + [f"{one}{end}" for one in _SCHEMES for end in (":", "\\", "\\:")]
    + ["www."]
)
"""The last word of a text with which an address may begin."""
_MAY_STAY = re.compile(r"https?://[^\s<>\"'`()\[\]{}\\|^]{1,1000}")
"""An address in which nothing could be taken for its end."""

_GOES_ON = r"""[^\s<>"'`)\]},;*]"""  # an address, and no mention of how one begins
_TOKEN = re.compile(
    rf"""(?P<address>(?<![a-z0-9])(?:{"|".join(_SCHEMES)})\\?:(?={_GOES_ON})
                   | (?<![a-z0-9])www\.(?={_GOES_ON})
                   | (?<=:)[/\\]{{2}}(?=[^\s<>]) | [/\\]{{2}}(?={_GOES_ON}))
      | (?P<image>!\[)
      | (?P<target>\]\()
      | (?P<bracket>\[|\](?!\Z))
      | (?P<tag><(?=[a-z/!?]))
    """,
    re.VERBOSE | re.IGNORECASE,
)
_LAST_WORD = re.compile(r"(?<![a-z0-9])[a-z]{1,10}(?:\\?:|\\|\.)?\Z", re.IGNORECASE)
_LAST_SIGN = re.compile(r"[/\\]{1,2}\Z|[!\]<]\Z")
_LONGEST_LAST = 12
_SPECIAL = re.compile(r"[\[\]<&:/\\!]|www\.", re.IGNORECASE)

# Space, brackets and quotes, and the marks that follow an address in Chinese and Japanese.
_ADDRESS_END = re.compile(
    r"""[\s<>"'`|)\]\u3001\u3002\u300b\u300d\u300f\u3011\uff01\uff09\uff0c\uff1b\uff1f]"""
)
_TARGET_END = re.compile(r"[)\n]")
_TAG_END = re.compile(r"[<>\n]")
_LONGEST = 2000
"""Characters of an address, a target or a tag; a longer one is none that stays, or none at all."""

_TARGET = re.compile(r"\s*+(?:<(?P<bracketed>[^<>]*)>|(?P<plain>\S*))")
_TAG = re.compile(r"/?(?P<name>[a-z][a-z0-9-]*)(?P<alone>\s*+/?\Z)?", re.IGNORECASE)
_AUTOLINK = re.compile(r"[^\s:@]*+[:@]\S*")
_APART = frozenset(("](", "]:", "!["))
_PUNCTUATION = ".,;:!?*_~"
_TAIL = re.compile(r"[.,;:!?*_~\"'`)\]]*")
_LONGEST_TAIL = 4


class LinkFilter:
    """Gives words on as they come, without links. `allowed` are whole addresses that may stay."""

    def __init__(self, allowed: Collection[str]) -> None:
        self._allowed: frozenset[str] = frozenset()
        self.allow(allowed)
        self._entities = EntityReader()
        self._output = _Output()
        self._text = ""
        """What may turn out to be a link once more has come."""
        self._at = 0
        """How much of it is decided."""
        self._inside: re.Pattern[str] | None = None
        """What ends the address, target or tag that begins at `_at`."""
        self._looked = 0
        """Up to where that was looked for."""
        self._broken = 0
        """Up to where brackets and tags are only taken apart: they were looked at before."""
        self._skipping = False
        """Inside an address that was taken out already, up to its end."""

    def allow(self, addresses: Collection[str]) -> None:
        """Let these addresses stay, too."""
        self._allowed |= {one for one in addresses if _MAY_STAY.fullmatch(one)}

    def feed(self, words: str) -> str:
        """What can be shown now; what may become a link is held."""
        ready = not (self._text or self._skipping or self._entities.held)
        if ready and not _SPECIAL.search(words) and _undecided(words, 0) == len(words):
            self._output.write(words)  # most of what a model says
        else:
            self._read(self._entities.feed(words), final=False)
        return self._output.taken()

    def end(self) -> str:
        """What is left to show."""
        self._read(self._entities.end(), final=True)
        return self._output.taken()

    def without(self, text: str) -> str:
        """A whole text without links, beside what streams."""
        other = LinkFilter(self._allowed)
        return other.feed(text) + other.end()

    def _read(self, words: str, final: bool) -> None:
        """Decide on what is held and `words`, as far as can be; on all of it, if it is `final`."""
        before = self._output.last
        self._text = before + self._text + words
        self._at, self._looked, self._broken = len(before), self._looked + len(before), 0
        while self._at < len(self._text) and self._advance(final):
            pass
        self._text, self._looked = self._text[self._at :], self._looked - self._at

    def _advance(self, final: bool) -> bool:
        """Decide on the next piece; false where more must come first."""
        if self._skipping:
            close = _ADDRESS_END.search(self._text, self._at)
            self._skipping = close is None
            self._at = close.start() if close else len(self._text)
            return True
        if self._inside is None:
            return self._advance_to_token(final)
        most = self._at + _LONGEST
        close = self._inside.search(self._text, self._looked, most)
        if close is None and len(self._text) < most and not final:
            self._looked = len(self._text)
            return False
        end = close.start() if close else min(len(self._text), most)
        inside, self._inside = self._inside, None
        if inside is _ADDRESS_END:
            self._end_address(end, whole=close is not None or end < most)
        elif inside is _TARGET_END:
            self._end_target(end, whole=close is not None and close[0] == ")")
        else:
            self._end_tag(end, whole=close is not None and close[0] == ">")
        return True

    def _advance_to_token(self, final: bool) -> bool:
        """Show what comes before the next token, and begin with it."""
        text, token = self._text, _TOKEN.search(self._text, self._at)
        if token is None:
            end = len(text) if final else _undecided(text, self._at)
            self._output.write(text[self._at : end])
            self._at = end
            return False
        self._output.write(text[self._at : token.start()])
        self._at = token.start()
        kind, broken = token.lastgroup or "", token.start() < self._broken
        if kind == "address":
            self._inside, self._looked = _ADDRESS_END, token.end()
        elif kind in ("image", "bracket") or broken:
            self._output.write({"image": "[", "target": "]", "tag": "< "}.get(kind, token[0]))
            self._at += 1 + (kind == "image")
        else:
            self._inside = _TARGET_END if kind == "target" else _TAG_END
            self._looked = token.end()
        return True

    def _end_address(self, end: int, whole: bool) -> None:
        address = self._text[self._at : end]
        known = address.rstrip(_PUNCTUATION)
        if whole and known in self._allowed:
            self._output.write_address(known)
            self._at += len(known)
            return
        self._output.write(REMOVED)
        self._skipping = not whole
        self._at = end - (whole and known != address)  # the mark that ends a sentence stays

    def _end_target(self, end: int, whole: bool) -> None:
        if not whole:
            self._take_apart("]", end)
            return
        target = _TARGET.match(self._text, self._at + 2, end)
        assert target is not None
        address = target["bracketed"] or target["plain"]
        if address in self._allowed:
            self._output.write_target(address)
        else:
            self._output.write("]")
        self._at = end + 1

    def _end_tag(self, end: int, whole: bool) -> None:
        content = self._text[self._at + 1 : end]
        tag = _TAG.match(content)
        if not whole:
            self._take_apart("< ", end)
            return
        if content[0] in "!?" or (tag and tag["name"].lower() in _TAGS):
            self._output.write(" ")
        elif (tag and tag["alone"] is not None) or content in self._allowed:
            self._output.write(f"<{content}>")
        elif _AUTOLINK.fullmatch(content):
            self._output.write(REMOVED)
        else:
            self._take_apart("< " if "=" in content else "<", end)
            return
        self._at = end + 1

    def _take_apart(self, opening: str, end: int) -> None:
        """It is none, or none that can be read: show it as text, with its opening changed."""
        self._output.write(opening)
        self._at += 1
        self._broken = end


def _undecided(text: str, start: int) -> int:
    """Where, from `start` on, begins what may turn out to be a link; the end where nothing does."""
    least = max(start, len(text) - _LONGEST_LAST)
    word = _LAST_WORD.search(text, least)
    if word and word[0].lower() in _BEGINNINGS:
        return word.start()
    sign = _LAST_SIGN.search(text, least)
    return sign.start() if sign else len(text)


class _Output:
    """What is shown, with a space where two pieces would make a link together."""

    def __init__(self) -> None:
        self.last = ""
        """The last character."""
        self._pieces: list[str] = []
        self._tail = 0
        """Marks that may still follow an address without a space."""

    def write(self, text: str) -> None:
        """Show `text`, which is no link in itself."""
        if not text:
            return
        if self.last + text[0] in _APART:
            text = " " + text
        if self._tail:
            text = self._apart(text)
        self._pieces.append(text)
        self.last = text[-1]

    def write_address(self, address: str) -> None:
        """Show an address that may stay. What follows must not be read as more of it."""
        self.write(address)
        self._tail = _LONGEST_TAIL

    def write_target(self, address: str) -> None:
        """Show the end of a link to an address that may stay."""
        self._tail = 0
        self.write_address(f"]({address})")

    def taken(self) -> str:
        """What was written since the last time."""
        taken = "".join(self._pieces)
        self._pieces.clear()
        return taken

    def _apart(self, text: str) -> str:
        marks = _TAIL.match(text)
        assert marks is not None
        end = min(marks.end(), self._tail)
        self._tail -= end
        if end == len(text) and self._tail:
            return text
        self._tail = 0
        return text if text[end : end + 1].isspace() else f"{text[:end]} {text[end:]}"
