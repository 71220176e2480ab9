"""MathML to one line: `x=1/2`."""

from selectolax.lexbor import LexborNode

_DEEPEST = 40


def linear(node: LexborNode, depth: int = 0) -> str:
    """The formula of a `math` element or a part of one; its TeX where it brings that along."""
    tag = node.tag or ""
    if tag == "math" and (tex := (node.attributes.get("alttext") or "").strip()):
        return tex
    if tag == "-text":
        return " ".join((node.text_content or "").split())
    if tag in ("annotation", "annotation-xml") or depth > _DEEPEST:
        return ""
    if tag == "semantics":
        for one in node.css("annotation"):
            if "tex" in (one.attributes.get("encoding") or ""):
                return one.text().strip()
    parts = [linear(child, depth + 1) for child in node.iter(include_text=True)]
    parts = [part for part in parts if part]
    whole = "".join(parts)
    if tag in ("mfrac", "msup", "msub", "munder", "mover") and len(parts) == 2:
        mark = {"mfrac": "/", "msup": "^", "mover": "^"}.get(tag, "_")
        return grouped(parts[0]) + mark + grouped(parts[1])
    if tag in ("msubsup", "munderover") and len(parts) == 3:
        return f"{grouped(parts[0])}_{grouped(parts[1])}^{grouped(parts[2])}"
    if tag == "mroot" and len(parts) == 2:
        return f"root({parts[1]}, {parts[0]})"
    if tag == "mtr":
        return ", ".join(parts) + "; "
    return f"sqrt({whole})" if tag == "msqrt" else whole


def grouped(part: str) -> str:
    """A part of a formula in parentheses, where it is more than one name or number."""
    return part if part.replace(".", "").replace(",", "").isalnum() else f"({part})"
