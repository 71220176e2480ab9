"""Office's equations (OMML) to one line: `T=9550·P/n`."""

from parser.readers.mathml import grouped
from parser.readers.word.names import Element, M

_DEEPEST = 40
_RUN, _TEXT = M + "r", M + "t"
_PROPERTIES = ("Pr",)


def linear(element: Element, depth: int = 0) -> str:
    """The formula of an `oMath` element or of a part of one."""
    if depth > _DEEPEST:
        return ""
    tag = element.tag if isinstance(element.tag, str) else ""
    if tag == _RUN:
        return "".join(one.text or "" for one in element.iter(_TEXT))
    name = tag.removeprefix(M)
    if name.endswith("Pr"):
        return ""

    def part(wanted: str) -> str:
        found = element.find(M + wanted)
        return linear(found, depth + 1).strip() if found is not None else ""

    match name:
        case "f":
            return f"{grouped(part('num'))}/{grouped(part('den'))}"
        case "sSup":
            return f"{grouped(part('e'))}^{grouped(part('sup'))}"
        case "sSub":
            return f"{grouped(part('e'))}_{grouped(part('sub'))}"
        case "sSubSup":
            return f"{grouped(part('e'))}_{grouped(part('sub'))}^{grouped(part('sup'))}"
        case "rad":
            degree = part("deg")
            return f"root({part('e')}, {degree})" if degree else f"sqrt({part('e')})"
        case "nary":
            sign = _property(element, "naryPr", "chr") or "\u222b"
            low, high = part("sub"), part("sup")
            bounds = (f"_{grouped(low)}" if low else "") + (f"^{grouped(high)}" if high else "")
            return f"{sign}{bounds} {part('e')}"
        case "d":
            begin = _property(element, "dPr", "begChr", "(")
            end = _property(element, "dPr", "endChr", ")")
            between = _property(element, "dPr", "sepChr", "|") or "|"
            inner = between.join(linear(one, depth + 1) for one in element.findall(M + "e"))
            return f"{begin}{inner}{end}"
        case "func":
            return f"{part('fName')}({part('e').removeprefix('(').removesuffix(')')})"
        case "limLow":
            return f"{part('e')}_{grouped(part('lim'))}"
        case "limUpp":
            return f"{part('e')}^{grouped(part('lim'))}"
        case "m":
            rows = element.findall(M + "mr")
            lines = (", ".join(linear(cell, depth + 1) for cell in row) for row in rows)
            return f"[{'; '.join(lines)}]"
        case "eqArr":
            return "; ".join(linear(one, depth + 1) for one in element.findall(M + "e"))
    return "".join(linear(child, depth + 1) for child in element)


def _property(element: Element, holder: str, name: str, otherwise: str = "") -> str:
    found = element.find(f"{M}{holder}/{M}{name}")
    return otherwise if found is None else found.get(M + "val") or ""
