"""Takes links and images out of an answer while it streams.

A link is a way out: a page that shows the answer fetches its images, and a person follows its
links, with whatever the model was talked into putting in the address. What is not recognised as a
whole is at least taken apart: without `](` and `]:` there is no link and no image in Markdown.
"""

import html
import re
import string
from collections.abc import Collection

REMOVED = "[link removed]"

_TAGS = (
    "a|applet|area|audio|base|body|embed|form|frame|iframe|image|img|input|link|math|meta|object"
    "|picture|script|source|style|svg|table|td|track|use|video"
)
_SCHEMES = ("https", "http", "ftp", "wss", "ws", "javascript", "vbscript", "mailto", "xmpp")
"""Those that lead out without `//` too: browsers and Markdown read `https:host/path`."""
_BEGINNINGS = frozenset(one[:n] for one in (*_SCHEMES, "www") for n in range(1, len(one) + 1))
# Possessive where text may be long: a link that does not end must not cost the square of it.
_LINK = re.compile(
    rf"""!?\[(?P<text>[^\[\]]*+)\]\(\s*+(?P<target><[^<>]*+>|[^()\s]*+)[^()]*+\)   # Markdown
      | \]\((?P<rest>[^()\s]*+)[^()]*+\)                           # the end of an odd one
      | <(?:{_TAGS})\b[^<>]*>                                      # HTML that loads or links
      | (?P<url>(?:\b[a-z][a-z0-9+.-]*)?:?[/\\]{{2}}[^\s<>"')\]]+)  # an address, or the end of one
      | (?P<www>\bwww\.[^\s<>"')\]]+)
      | (?P<bare>\b(?:{"|".join(_SCHEMES)})\\?:[^\s<>"')\]]+)      # an address without slashes
      | <[a-z][a-z0-9-]*+[\s/](?=[^<>]*+>)[^<>]*=[^<>]*>           # any tag that says more
      | (?P<bracket>\])(?=[(:])                                   # what else could be a link
    """,
    re.VERBOSE | re.IGNORECASE,
)
# What may turn out to be a link once more has come.
_UNDECIDED = re.compile(
    rf"""(?: !?\[[^\[\]\n]{{0,400}} (?: \] (?:\([^()\n]{{0,4000}})? )?
           | \](?:\([^()\n]{{0,4000}})?
           | !
           | <[^<>\s]{{0,10}} | <(?:{_TAGS})\b[^<>]{{0,4000}}
           | \b[a-z][a-z0-9+.-]{{0,20}}\\?:[^\s]{{0,4000}}
           | \]?[:/\\][^\s]{{0,4000}}
           | <[a-z][a-z0-9-]{{0,20}}[\s/][^<>]{{0,4000}}
           | (?:\b(?:{"|".join(sorted(_BEGINNINGS))}))?\\?(?:&[#a-z0-9]{{0,32}})?
           | \bwww\.[^\s]{{0,4000}}
         )\Z""",
    re.VERBOSE | re.IGNORECASE,
)
_SPECIAL = re.compile(r"[\[\]<:/\\!&]|[hwfjvmx]", re.IGNORECASE)
# Without these, and without "www.", there is no link in ASCII text, and nothing that begins one but
# a scheme's first letters at its end: so it is with most of the words that a model says.
_OPENS = frozenset("[]<:/\\!&")
_IN_A_WORD = f"{string.ascii_letters}{string.digits}_"
_ENTITY = re.compile(r"&(?:#[0-9]{1,7}|#x[0-9a-f]{1,6}|[a-z][a-z0-9]{1,31});", re.IGNORECASE)


class LinkFilter:
    """Gives words on as they come, without links. `allowed` are whole addresses that may stay."""

    def __init__(self, allowed: Collection[str]) -> None:
        self._allowed = {address for address in allowed if "//" in address}
        self._held = ""

    def allow(self, addresses: Collection[str]) -> None:
        """Let these addresses stay, too."""
        self._allowed |= {address for address in addresses if "//" in address}

    def feed(self, words: str) -> str:
        """What can be shown now; what may become a link is held."""
        text = self._held + words
        if not _SPECIAL.search(text):
            self._held = ""
            return text
        if is_plain(text):
            cut = plain_cut(text)
            self._held = text[cut:]
            return text[:cut]
        text = _ENTITY.sub(_spelled_out, text)
        undecided = _UNDECIDED.search(text)
        cut = undecided.start() if undecided else len(text)
        for link in _LINK.finditer(text):  # one that is whole is not cut in two
            if link.start() < cut < link.end():
                cut = link.start()
        self._held = text[cut:]
        return self._without_links(text[:cut])

    def end(self) -> str:
        """What is left to show."""
        rest, self._held = self._held, ""
        return self._without_links(rest)

    def _without_links(self, text: str) -> str:
        return _LINK.sub(self._replacement, text)

    def _replacement(self, found: re.Match[str]) -> str:
        target = (found["target"] or found["url"] or "").strip("<>")
        if target in self._allowed:
            return found[0]
        address = target.rstrip(".,;:!?*_")
        if found["url"] and address in self._allowed:
            return found[0]
        if found["text"] is not None:
            return "" if found[0].startswith("!") else self._without_links(found["text"])
        if found["rest"] is not None:
            return "]"
        if found["bracket"] is not None:
            return "] "
        return "" if found[0].startswith("<") else REMOVED


def is_plain(text: str) -> bool:
    """Whether `plain_cut` decides what of it is held."""
    www = "." in text and "www" in text.lower()
    return text.isascii() and _OPENS.isdisjoint(text) and not www


def plain_cut(text: str) -> int:
    """Where the last word of plain text begins, if that may become an address; else the end."""
    start = len(text.rstrip(_IN_A_WORD))
    word = text[start:].lower()
    return start if word in _BEGINNINGS else len(text)


def _spelled_out(entity: re.Match[str]) -> str:
    """The character that an HTML entity stands for, where an address could be made of it.

    Nobody needs one for a letter, a digit, a colon or a slash; for `<` or `&` one does.
    """
    character = html.unescape(entity[0])
    if re.fullmatch(r"[\w:/\\.@-]", character):
        return character
    return "" if re.fullmatch(r"[\x00-\x20]", character) else entity[0]
