# ruff: noqa: RUF001, E501 - words of other languages, on a line each
"""Texts in the encodings and with the flaws that people's files have; Markdown's extras."""

import pytest
from making import codes, read

from parser.model import ParseError

SAID = {
    "gbk": "港口的北门每天早上六点开放。夜间需要通行证。",
    "shift_jis": "港の北門は毎朝六時に開きます。夜間は通行証が必要です。",
    "euc_kr": "항구의 북문은 매일 아침 여섯 시에 열립니다. 밤에는 통행증이 필요합니다.",
    "big5": "港口的北門每天早上六點開放。夜間需要通行證。",
    "cp1251": "Северные ворота порта открываются каждый день в шесть утра. Ночью нужен пропуск.",
    "koi8_r": "Северные ворота порта открываются каждый день в шесть утра. Ночью нужен пропуск.",
    "iso8859_2": "Północna brama portu jest otwierana codziennie o szóstej rano. W nocy potrzebna jest przepustka. Żółć.",
    "cp1250": "Severní brána přístavu se otevírá každý den v šest hodin ráno. V noci je nutná propustka. Příliš žluťoučký kůň.",
    "cp1253": "Η βόρεια πύλη του λιμανιού ανοίγει κάθε μέρα στις έξι το πρωί.",
    "cp1254": "Limanın kuzey kapısı her sabah altıda açılır. Gece geçiş kartı gerekir. Şişli, ığdır.",
    "mac_roman": "Le café de la gare est fermé à Noël. Réservé aux élèves. Où êtes-vous? Ça va très bien, merci.",
    "cp1252": "Der nördliche Hafen öffnet früh. Größe und Maß prüfen; Gebühr 12 €. “Quoted” – dash. Ärger, Öl, Übung, süß, müde, schön.",
    "cp1256": "تفتح البوابة الشمالية للميناء كل يوم في الساعة السادسة صباحا.",
    "cp1255": "השער הצפוני של הנמל נפתח כל יום בשעה שש בבוקר.",
}


@pytest.mark.parametrize("times", [1, 30])
@pytest.mark.parametrize("encoding", SAID)
def test_an_encoding_that_nobody_declared_is_guessed_right_and_the_guess_is_told(
    encoding: str, times: int
) -> None:
    text = "\n".join([SAID[encoding]] * times)
    parsed = read(text.encode(encoding), "a.txt")
    assert (parsed.text, codes(parsed)) == (text, ["charset_guessed"])


@pytest.mark.parametrize("encoding", SAID)
def test_an_encoding_that_the_sender_declares_is_taken(encoding: str) -> None:
    parsed = read(SAID[encoding].encode(encoding), "a.txt", f"text/plain; charset={encoding}")
    assert (parsed.text, codes(parsed)) == (SAID[encoding], [])


LONG = "Café Zürich öffnet täglich um 07:30. Größe: 12 m².\n" * 10


@pytest.mark.parametrize(
    ("data", "expected", "place"),
    [
        (LONG.encode() + b"it\x92s fine", LONG + "it\ufffds fine", len(LONG.encode()) + 2),
        (LONG.encode() + "Größe".encode()[:3], LONG + "Gr\ufffd", len(LONG.encode()) + 2),
        (b"\xe4\xf6" + LONG.encode(), "\ufffd\ufffd" + LONG, 0),
        (LONG.encode() * 9 + b"\0 \xff", LONG * 9 + "\0 \ufffd", len(LONG.encode()) * 9 + 2),
    ],
)
def test_a_few_bad_bytes_cost_themselves_and_their_place_is_told(
    data: bytes, expected: str, place: int
) -> None:
    parsed = read(data, "a.txt")
    assert (parsed.text, codes(parsed)) == (expected, ["bad_bytes"])
    assert f"byte {place:,}." in parsed.warnings[0].message


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf_16_without_a_mark_is_read(encoding: str) -> None:
    parsed = read("Port 8080 is open. Größe.".encode(encoding), "a.txt")
    assert (parsed.text, codes(parsed)) == ("Port 8080 is open. Größe.", ["charset_guessed"])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"![d](data:image/png;base64,{'A' * 9000})", "![d](data:image/png)"),
        (
            f"![d][p]\n\n[p]: data:image/gif;base64,{'B/+' * 3000}\n",
            "![d][p]\n\n[p]: data:image/gif\n",
        ),
        (
            f"<img src='data:image/svg+xml;charset=utf-8,{'%3Csvg' * 90}'>",
            "<img src='data:image/svg+xml'>",
        ),
        (
            "a data:image/png;base64,AAAA that is short",
            "a data:image/png;base64,AAAA that is short",
        ),
    ],
)
def test_pictures_in_data_uris_are_no_text(text: str, expected: str) -> None:
    assert read(text.encode(), "a.md").text == expected


@pytest.mark.parametrize(
    ("text", "title", "metadata", "rest"),
    [
        ("---\ntitle: Pilot boarding\nauthor: Ann\ntags: [pilot, boarding]\n---\nWords.\n", "Pilot boarding",
         {"author": "Ann", "tags": "pilot, boarding"}, "Words.\n"),
        ('+++\ntitle = "Tides"\nweight = 3\n+++\n# Head\n', "Tides", {"weight": 3}, "# Head\n"),
        ("---\ndate: 2031-05-02\nnested: {a: 1}\n---\n# Head\n", "Head", {"date": "2031-05-02"}, "# Head\n"),
        ("---\nnot: [valid\n---\nWords.\n", "a", {}, "---\nnot: [valid\n---\nWords.\n"),
        ("---\n\nA rule.\n\n---\n\nWords.\n", "a", {}, "---\n\nA rule.\n\n---\n\nWords.\n"),
    ],
)  # fmt: skip
def test_front_matter_gives_title_and_metadata(
    text: str, title: str, metadata: dict[str, object], rest: str
) -> None:
    parsed = read(text.encode(), "a.md")
    assert (parsed.title, parsed.metadata, parsed.text) == (title, metadata, rest)


def test_what_is_no_text_is_refused_in_words() -> None:
    with pytest.raises(ParseError, match="RTF"):
        read(b"{\\rtf1\\ansi Hello}", "a.txt")
