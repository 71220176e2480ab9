"""What of a page is content: its main part, without menus, banners and what is hidden."""

import re
from collections.abc import Iterator

from selectolax.lexbor import LexborHTMLParser, LexborNode

_MAIN = "main, [role=main]"
_AROUND = frozenset(("nav", "aside", "footer"))
_AROUND_ROLES = frozenset(
    (
        *("navigation", "banner", "contentinfo", "search", "menu", "menubar", "complementary"),
        *("dialog", "alertdialog", "toolbar", "tablist"),
    )
)
_AROUND_NAMES = re.compile(
    r"(?:^|[\s_-])(?:cookies?|consent|gdpr|breadcrumbs?|navbar|navigation|sidebar|skip-?(?:link|nav)"
    r"|site-?(?:header|footer|nav)|social|share|newsletter|pagination|main-?menu|nav-?menu)"
    r"(?:$|[\s_-])",
    re.IGNORECASE,
)
_MENU_NAMES = re.compile(r"(?:^|[\s_-])(?:menu|nav|links|toc|footer)(?:$|[\s_-])", re.IGNORECASE)
_HIDDEN_STYLE = re.compile(
    r"(?:^|;)\s*(?:display\s*:\s*none|visibility\s*:\s*(?:hidden|collapse)|opacity\s*:\s*0?\.?0+\s*(?:;|$|!)"
    r"|font-size\s*:\s*0|text-indent\s*:\s*-\d{3,}|(?:left|top)\s*:\s*-\d{4,}"
    r"|clip\s*:\s*rect\(\s*0)",
    re.IGNORECASE,
)
_UNSEEN_NAMES = re.compile(
    r"(?:^|\s)(?:sr-only|visually-?hidden|screen-reader-text)(?:$|\s)", re.IGNORECASE
)
_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
_RULE = re.compile(r"([^{}]+)\{([^{}]*)\}")
_CONDITION = re.compile(r"@media([^{]*)\{((?:[^{}]|\{[^{}]*\})*)\}")
_MOST_RULES = 200
_MOST_LINK_SHARE = 0.7


def is_hidden(node: LexborNode, attributes: dict[str, str | None]) -> bool:
    """Whether its own attributes keep an element from every reader."""
    if node.tag == "dialog" and "open" not in attributes:
        return True
    if not attributes:
        return False
    if "hidden" in attributes or (attributes.get("aria-hidden") or "").lower() == "true":
        return True
    if (style := attributes.get("style")) and _HIDDEN_STYLE.search(style):
        return True
    return bool((names := attributes.get("class")) and _UNSEEN_NAMES.search(names))


def hidden_by_rules(document: LexborHTMLParser) -> set[int]:
    """Ids of the elements that the page's own style sheets do not display."""
    found: set[int] = set()
    rules = 0
    for style in document.css("style"):
        for selector, declarations in _rules(style.text()):
            if rules >= _MOST_RULES:
                return found
            if _HIDDEN_STYLE.search(declarations):
                rules += 1
                found |= {node.mem_id for node in _selected(document, selector)}
            elif re.search(r"display\s*:\s*(?!none)\w", declarations) and found:
                rules += 1
                found -= {node.mem_id for node in _selected(document, selector)}
    return found


def _rules(sheet: str) -> Iterator[tuple[str, str]]:
    """Selector and declarations of each rule that holds on a screen."""
    sheet = _COMMENT.sub("", sheet)
    screen = [
        body for media, body in _CONDITION.findall(sheet) if media.strip() in ("screen", "all")
    ]
    for part in (_CONDITION.sub("", sheet), *screen):
        yield from _RULE.findall(part)


def _selected(document: LexborHTMLParser, selector: str) -> list[LexborNode]:
    selector = selector.strip()
    if not selector or selector.startswith("@") or ":" in selector:
        return []
    try:
        return document.css(selector)
    except ValueError:  # a selector that lexbor does not know
        return []


def content(body: LexborNode, hidden: set[int]) -> list[LexborNode]:
    """The elements that hold what the page is about: its main part, or all of the body."""
    mains = [
        one
        for one in body.css(_MAIN)
        if one.mem_id not in hidden and not is_hidden(one, one.attributes)
    ]
    outer = [one for one in mains if not any(_within(one, other) for other in mains)]
    return outer if any(one.text().strip() for one in outer) else [body]


def _within(node: LexborNode, other: LexborNode) -> bool:
    parent = node.parent
    while parent is not None:
        if parent.mem_id == other.mem_id:
            return True
        parent = parent.parent
    return False


def is_around(node: LexborNode, attributes: dict[str, str | None], inside: bool) -> bool:
    """Whether an element stands around the content: a menu, a banner, a line about cookies.

    `inside`: it lies in an article or the main part, whose own notes and footers are content.
    """
    tag = node.tag or ""
    if tag == "nav" or (tag in _AROUND and not inside):
        return True
    if not attributes:
        return tag == "header" and not inside and node.css_first("h1") is None
    if (attributes.get("role") or "").lower() in _AROUND_ROLES:
        return node.css_first("h1") is None
    if tag == "header" and not inside and node.css_first("h1") is None:
        return True
    names = f"{attributes.get('class') or ''} {attributes.get('id') or ''}"
    if tag in ("body", "main", "article") or names == " ":
        return False
    if _AROUND_NAMES.search(names):
        return node.css_first("h1, main, article") is None
    return bool(_MENU_NAMES.search(names)) and not inside and _is_links(node)


def _is_links(node: LexborNode) -> bool:
    whole = len("".join(node.text().split()))
    links = sum(len("".join(one.text().split())) for one in node.css("a"))
    return links >= whole * _MOST_LINK_SHARE
