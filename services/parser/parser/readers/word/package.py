"""The parts of an Office file and how they are related."""

import posixpath
from dataclasses import dataclass, field

from lxml import etree

from parser.archive import Archive
from parser.model import ParseError
from parser.readers.word.names import DC, PACKAGE, Element, usual


def parsed(content: bytes) -> Element:
    """A part's XML as a tree. Raises ParseError `invalid`."""
    try:
        return etree.fromstring(
            usual(content), etree.XMLParser(resolve_entities=False, no_network=True)
        )
    except (etree.XMLSyntaxError, ValueError) as error:
        raise ParseError(
            "invalid", "The Office file is damaged: a part of it is not valid XML."
        ) from error


@dataclass(frozen=True)
class Related:
    """Where a relationship leads: another part, or an address outside."""

    kind: str
    """The last word of its type: "hyperlink", "footnotes"."""
    target: str
    outside: bool


@dataclass
class Part:
    """A part, and what it is related to by id."""

    archive: Archive
    name: str
    root: Element
    related: dict[str, Related] = field(default_factory=dict)

    @classmethod
    def open(cls, archive: Archive, name: str) -> "Part":
        """The part `name`, which must be there. Raises ParseError."""
        return cls(archive, name, parsed(archive.xml(name)), relationships(archive, name))

    def other(self, kind: str) -> "Part | None":
        """The first part that this one has a relationship of `kind` to."""
        for one in self.related.values():
            if one.kind == kind and not one.outside and self.archive.has(one.target):
                return Part.open(self.archive, one.target)
        return None

    def by_id(self, relationship: str | None) -> "Part | None":
        """The part that a relationship leads to, if it is there."""
        one = self.related.get(relationship or "")
        if one is None or one.outside or not self.archive.has(one.target):
            return None
        return Part.open(self.archive, one.target)


def relationships(archive: Archive, name: str) -> dict[str, Related]:
    """What a part is related to; the package itself is the part ""."""
    folder, _, own = name.rpartition("/")
    rels = f"{folder}/_rels/{own}.rels" if folder else f"_rels/{own}.rels"
    if not archive.has(rels):
        return {}
    found = {}
    for one in parsed(archive.xml(rels)).iter(PACKAGE + "Relationship"):
        outside = one.get("TargetMode") == "External"
        target = one.get("Target") or ""
        if not outside:
            target = posixpath.normpath(posixpath.join("/", folder, target)).lstrip("/")
        kind = (one.get("Type") or "").rpartition("/")[2]
        found[one.get("Id") or ""] = Related(kind, target, outside)
    return found


def main_part(archive: Archive) -> str:
    """The name of the part that holds the document; writers call it as they like."""
    for one in relationships(archive, "").values():
        if one.kind == "officeDocument" and archive.has(one.target):
            return one.target
    raise ParseError("invalid", "The Office file is damaged: its main part is missing.")


def properties(archive: Archive) -> dict[str, str]:
    """Title and author of the file, where it has them."""
    for one in relationships(archive, "").values():
        if one.kind == "core-properties" and archive.has(one.target):
            root = parsed(archive.xml(one.target))
            fields = {"title": DC + "title", "author": DC + "creator"}
            told = {
                name: " ".join((root.findtext(tag) or "").split()) for name, tag in fields.items()
            }
            return {name: value[:300] for name, value in told.items() if value}
    return {}
