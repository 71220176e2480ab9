"""Whether a sentence says that the documents do not answer, in seven languages or set words."""

import regex

_ABSTAINS = regex.compile(
    r"""
    # English
    \b(?:(?:do|does|did|is|are|was|were|can|could)(?:\ not|n['\u2019]t)|cannot|not|no)\b[^.!?]{0,40}
      \b(?:know|found|find|mention\w*|provided|contain\w*|specif\w+|stated?|information|enough
        |answer|available|say)\b
    # German
    | \b(?:nicht|kein\w{0,2}|nichts)\b[^.!?]{0,40}\b(?:bekannt|gefunden|finden|erwähnt|genannt
        |angegeben|enthalten|informationen?|angaben?|antwort|beantworten|verfügbar|hervor)\b
    | \b(?:weiß|finde|konnte|steht|enthalten|erwähnen|nennen|sagen)\b[^.!?]{0,40}
      \b(?:nicht|nichts|keine?)\b
    # French
    | \b(?:ne\b|n['\u2019])[^.!?]{0,20}\b(?:sais|trouv\w+|mentionn\w+|précis\w+|indiqu\w+
        |conti\w+|di[st]\w*|fourni\w*|répond\w*)\b[^.!?]{0,10}\b(?:pas|rien|aucune?)\b
    | \b(?:pas|aucune?)\b[^.!?]{0,30}\b(?:trouvée?|informations?|réponse|mention\w*|disponibles?)\b
    # Spanish
    | \bno\b[^.!?]{0,30}\b(?:sé|encontr\w+|encuentr\w+|mencion\w+|información|respuesta|indic\w+
        |especific\w+|conti\w+|consta|disponibles?|dicen?|hay\ (?:datos|información))\b
    # Italian
    | \bnon\b[^.!?]{0,30}\b(?:so|trovat\w|trovo|menzion\w+|informazioni|risposta|indic\w+
        |specific\w+|conti?en\w+|contengono|disponibil\w|dicono|dice)\b
    # Russian
    | \b(?:не|нет)\b[^.!?]{0,30}\b(?:знаю|наш\w+|найд\w+|упомина\w+|упомянут\w*|информаци\w+
        |ответа?|указан\w*|содерж\w+|сказано|данных|сведений)\b
    # Chinese
    | (?:没有|没|未|不|无法)[^。！？]{0,20}(?:找到|提到|提及|提供|包含|说明|信息|知道|回答|答案)
    """,
    regex.VERBOSE | regex.IGNORECASE,
)


def plain(sentence: str) -> str:
    """A sentence by its letters and digits alone, in lower case, as set words are compared."""
    return " ".join("".join(c if c.isalnum() else " " for c in sentence.casefold()).split())


def abstains(sentence: str) -> bool:
    """Whether the sentence says so, by its words; whether a source bears it out is not asked."""
    return bool(_ABSTAINS.search(sentence))
