"""Titles that somebody chose, and those that a program wrote because nobody did."""

import re

# What a program puts before the name of a file that it printed.
_PRINTED = re.compile(
    r"^(?:Microsoft (?:Word|PowerPoint|Excel|Publisher)|OpenOffice\.org) - ", re.I
)
_EXTENSION = re.compile(
    r"\.(?:docx?|docm|odt|rtf|txt|xlsx?|pptx?|pdf|indd|qxd|tex|dvi|ps|html?|pub|wpd|md|tmp|cdr|ai)$",
    re.I,
)
_NONE = re.compile(
    r"(?:untitled|unbenannt|sans titre|sin t[ií]tulo|senza titolo|naamloos|unknown|none|title|titel"
    r"|\(?anonymous\)?|document|dokument|documento|doc|presentation|pr[äa]sentation|powerpoint"
    r" presentation|powerpoint[- ]pr[äa]sentation|slide|folie|book|workbook|mappe|sheet|tabelle"
    r"|layout|print|scan|scanned document|image|img|file|page|new|neu|template|vorlage|blank"
    r"|microsoft word|word document|normal)"
    r"(?:[ _-]?(?:document|file))?(?:[ _()-]*\d+)*(?: \(compatibility mode\))?",
    re.I,
)


def chosen(title: str | None) -> str | None:
    """The title without what a program put around it; none where nobody chose one."""
    told = " ".join((title or "").split())
    bare = _EXTENSION.sub("", _PRINTED.sub("", told)).strip(" -_.")
    if not bare or _NONE.fullmatch(bare) or not any(char.isalpha() for char in bare):
        return None
    if "\\" in bare or ("/" in bare and " " not in bare):  # a path
        return None
    return bare if told != bare and _PRINTED.match(told) else _EXTENSION.sub("", told)
