"""Numbers are one however they are written, and another number, unit, time or opposite is not."""

# ruff: noqa: RUF001 - other alphabets

from typing import Any

import pytest

from retriever.answer import numbers
from retriever.answer.abstention import abstains
from retriever.answer.ground import Evidence
from retriever.answer.numbers import claimed, in_digits, said
from retriever.index.model import Hit
from retriever.index.stop_words import language_of, stop_words

SNOWBALL = {
    "en": "english", "de": "german", "fr": "french", "es": "spanish", "it": "italian",
    "ru": "russian", "zh": "english",
}  # fmt: skip

SAME = [
    ("en", "nine knots", "9 knots"),
    ("en", "twenty-one", "21"),
    ("en", "a four-man crew", "a crew of 4"),
    ("en", "two thousand four hundred", "2,400"),
    ("en", "1,234,567", "1234567"),
    ("en", "5 million", "5,000,000"),
    ("en", "2.4 billion", "2,400,000,000"),
    ("en", "12 percent", "12%"),
    ("en", "$5", "five dollars"),
    ("en", "3:30 pm", "15:30"),
    ("en", "3 p.m.", "15:00"),
    ("en", "02:15", "2:15"),
    ("en", "5 km", "five kilometres"),
    ("en", "10 minutes", "10 min"),
    ("de", "neun Knoten", "9 Knoten"),
    ("de", "einundzwanzig", "21"),
    ("de", "zweitausendvierhundert", "2.400"),
    ("de", "12,5", "12.5"),
    ("de", "5 Mio.", "5.000.000"),
    ("de", "8 Uhr 30", "8:30 Uhr"),
    ("de", "12 Prozent", "12 %"),
    ("fr", "quatre-vingt-dix-sept", "97"),
    ("fr", "neuf nœuds", "9 nœuds"),
    ("fr", "1 200", "1200"),
    ("fr", "15h30", "15:30"),
    ("es", "nueve nudos", "9 nudos"),
    ("es", "dos mil cuatrocientos", "2.400"),
    ("it", "nove nodi", "9 nodi"),
    ("it", "milleduecento", "1200"),
    ("ru", "девять узлов", "9 узлов"),
    ("ru", "двадцать один", "21"),
    ("ru", "две тысячи четыреста", "2400"),
    ("ru", "пяти минут", "5 минут"),
    ("zh", "九节", "9节"),
    ("zh", "二十一", "21"),
    ("zh", "一万二千", "12000"),
    ("zh", "三点十五分", "3:15"),
]  # fmt: skip

OTHER = [
    ("en", "nine knots", "four knots"),
    ("en", "nine knots", "nine miles"),
    ("en", "12 minutes", "12 hours"),
    ("en", "3:30 pm", "3:30 am"),
    ("en", "3.7.2", "3.2.7"),
    ("en", "3.10", "3.1"),
    ("en", "5 million", "5 billion"),
    ("en", "1,200", "12,000"),
    ("de", "neun Knoten", "vier Knoten"),
    ("de", "zwei Stunden", "zwei Minuten"),
    ("fr", "neuf nœuds", "quatre nœuds"),
    ("es", "nueve nudos", "cuatro nudos"),
    ("it", "nove nodi", "quattro nodi"),
    ("ru", "девять узлов", "четыре узла"),
    ("ru", "сто двадцать", "сто тридцать"),
    ("zh", "九节", "四节"),
    ("zh", "三小时", "三分钟"),
]  # fmt: skip


def holds(statement: str, source: str, language: str) -> bool:
    """Whether the numbers of a statement are said by a source."""
    there = said(source, language)
    wanted = claimed(statement, language)
    assert wanted, statement
    return all(not there.isdisjoint(readings) for readings in wanted)


def test_a_number_is_the_same_in_words_in_digits_with_separators_and_with_its_unit() -> None:
    for language, one, other in SAME:
        assert holds(one, other, language), (one, other)
        assert holds(other, one, language), (other, one)


def test_another_number_another_unit_and_another_half_of_the_day_are_not_the_same() -> None:
    for language, one, other in OTHER:
        assert not holds(one, other, language), (one, other)


def test_a_number_without_a_unit_in_the_source_as_in_a_table_may_have_any() -> None:
    assert holds("nine knots", "| speed in knots | 9 |", "en")
    assert holds("2026", "on 2026.05.04", "en")


CHECKED = [
    ("en", "The ferry crosses the sound at nine knots and carries forty cars.",
     "The ferry crosses the sound at 9 knots.",
     "The ferry crosses the sound at four knots."),
    ("en", "The reserve pump is started when the level falls below 4,500 litres.",
     "The reserve pump is started below four thousand five hundred litres.",
     "The reserve pump is started below five thousand five hundred litres."),
    ("en", "The harbour lies north of the bridge and the old valve is open at night.",
     "The harbour lies north of the bridge.",
     "The harbour lies south of the bridge."),
    ("en", "The access door of the archive is locked after the evening shift.",
     "The access door of the archive is locked.",
     "The access door of the archive is unlocked."),
    ("en", "The backup of the archive runs every night before the index is built.",
     "The backup of the archive runs every night.",
     "The backup of the archive does not run every night."),
    ("de", "Die Fähre fährt mit neun Knoten über den Sund und nimmt vierzig Autos mit.",
     "Die Fähre fährt mit 9 Knoten über den Sund.",
     "Die Fähre fährt mit vier Knoten über den Sund."),
    ("de", "Die Sicherung des Archivs läuft in jeder Nacht vor dem Aufbau des Index.",
     "Die Sicherung des Archivs läuft in jeder Nacht.",
     "Die Sicherung des Archivs läuft nicht in jeder Nacht."),
    ("fr", "Le bac traverse le détroit à neuf nœuds et il prend quarante voitures.",
     "Le bac traverse le détroit à 9 nœuds.",
     "Le bac traverse le détroit à quatre nœuds."),
    ("es", "El transbordador cruza el estrecho a nueve nudos y lleva cuarenta coches.",
     "El transbordador cruza el estrecho a 9 nudos.",
     "El transbordador cruza el estrecho a cuatro nudos."),
    ("it", "Il traghetto attraversa lo stretto a nove nodi e porta quaranta automobili.",
     "Il traghetto attraversa lo stretto a 9 nodi.",
     "Il traghetto attraversa lo stretto a quattro nodi."),
    ("ru", "Паром идёт через пролив со скоростью девять узлов и берёт сорок машин.",
     "Паром идёт через пролив со скоростью 9 узлов.",
     "Паром идёт через пролив со скоростью четыре узла."),
    ("zh", "渡轮以九节的速度穿过海峡，可以载四十辆汽车。",
     "渡轮以9节的速度穿过海峡。",
     "渡轮以四节的速度穿过海峡。"),
]  # fmt: skip


def supported(language: str, source: str, sentence: str) -> bool:
    hit = Hit("c", "d", "t", "s", None, 0, len(source), source, 1.0)
    supports = Evidence("", [hit], [hit], SNOWBALL[language], 0.6).supports(sentence)
    return bool(supports) and all(one.supported for one in supports)


def test_the_check_takes_the_true_statement_and_refuses_the_changed_one() -> None:
    for language, source, true, changed in CHECKED:
        assert language_of(source) == language
        assert supported(language, source, true), true
        assert not supported(language, source, changed), changed


def test_the_library_is_never_given_a_long_run_as_it_takes_the_square_of_its_length(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given: list[int] = []

    def counted(text: str, language: str, **more: Any) -> str:
        given.append(len(text))
        return text

    monkeypatch.setattr(numbers, "alpha2digit", counted)
    for language in ("en", "de", "fr", "es", "it"):
        in_digits("nine " * 5000, language)
        in_digits("neun" * 5000, language)
    assert 0 < max(given) <= 1001


def test_stop_words_are_of_the_language() -> None:
    assert {"der", "nicht"} <= stop_words("german")
    assert "les" in stop_words("french")
    assert "the" in stop_words("english")
    assert "nine" not in stop_words("english")
    assert stop_words("porter") == frozenset()


ABSTAINING = [
    "I could not find anything about this in the documents.", "The documents do not say.",
    "Das steht nicht in den Dokumenten.", "Dazu konnte ich nichts finden.", "Das weiß ich nicht.",
    "Die Dokumente enthalten keine Angaben dazu.", "Je ne sais pas.",
    "Les documents ne le mentionnent pas.", "Aucune information n'est disponible.", "No lo sé.",
    "Los documentos no mencionan eso.", "No se encontró información.", "Non lo so.",
    "I documenti non contengono informazioni.", "Я не знаю.", "В документах не указано.",
    "Нет данных.", "文件中没有提到。", "我不知道。", "无法找到答案。",
]  # fmt: skip
ANSWERING = [
    "The ferry does not sail on Sunday.", "Die Fähre fährt nicht am Sonntag.",
    "Le bac ne part pas le dimanche.", "El barco no sale el domingo.",
    "Il traghetto non parte la domenica.", "Паром не ходит в воскресенье.", "渡轮星期天不开。",
]  # fmt: skip


def test_an_abstention_is_known_in_each_language_and_a_plain_denial_is_none() -> None:
    assert [sentence for sentence in ABSTAINING if not abstains(sentence)] == []
    assert [sentence for sentence in ANSWERING if abstains(sentence)] == []
