"""A fork's own words and looks: taken from its folder, and what is wrong there said in words."""

import json
import re
import struct
import zlib
from pathlib import Path

import pytest

from retriever.answer.cite import CitingStream
from retriever.answer.ground import Evidence
from retriever.answer.prompt import render
from retriever.api.web import FOLDER
from retriever.branding.branding import PACKAGED, Branding, packaged
from retriever.branding.colours import contrast
from retriever.branding.languages import choose
from retriever.index.model import Hit

ENGLISH = PACKAGED / "languages/en.json"


def folder(tmp_path: Path, files: dict[str, str | bytes]) -> Path:
    """A branding folder with these files."""
    for name, content in files.items():
        path = tmp_path / "own" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return tmp_path / "own"


def refusal(tmp_path: Path, files: dict[str, str | bytes]) -> str:
    with pytest.raises(ValueError, match=r"^branding: ") as caught:
        Branding.load(folder(tmp_path, files))
    return str(caught.value)


def png(side: int = 8) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    head = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    rows = zlib.compress(b"".join(b"\0" + bytes(side) for _ in range(side)))
    parts = (chunk(b"IHDR", head), chunk(b"IDAT", rows), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def test_a_folder_holds_what_differs_and_the_rest_is_as_packaged(tmp_path: Path) -> None:
    made = Branding.load(
        folder(
            tmp_path,
            {
                "page.toml": 'title = "Acme"\nlogo = "a.png"\n[colours.light]\naccent = "#123"',
                "a.png": png(),
                "answers.toml": '[said]\nnothing_found = "Nix."\n',
                "languages/de.json": '{"greeting.title": "Frag Acme"}',
                "README.md": "Ours.",
            },
        )
    )
    assert (made.looks.title, made.looks.colours.light.accent) == ("Acme", "#123")
    assert made.looks.colours.light.text == packaged().looks.colours.light.text
    assert made.looks.examples == packaged().looks.examples
    assert made.logo.media_type == "image/png"
    assert made.answers.said.nothing_found == "Nix."
    assert made.answers.system == packaged().answers.system
    assert made.languages["de"]["greeting.title"] == "Frag Acme"
    assert made.languages["de"]["nav.ask"] == packaged().languages["de"]["nav.ask"]


def test_a_new_language_is_one_more_file(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {
        "languages/la.json": ENGLISH.read_bytes(),
        "page.toml": 'languages = ["la", "en"]',
    }
    assert list(Branding.load(folder(tmp_path, files)).languages) == ["la", "en"]


def test_a_folder_without_folders_as_a_config_map_is_holds_languages_too(tmp_path: Path) -> None:
    own = folder(tmp_path, {"..data/de.json": "x", "languages.de.json": '{"nav.ask": "Frag"}'})
    assert Branding.load(own).languages["de"]["nav.ask"] == "Frag"


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"answers.toml": '[prompt]\nquestion = "{sources} {end}{before}"'}, "lacks {question}"),
        ({"answers.toml": '[prompt]\nsystem = "Only {unknown}"'}, "say what <source> and"),
        ({"answers.toml": '[prompt]\nend = "{mark} {date}"'}, "nothing fills {date}"),
        ({"answers.toml": '[prompt]\nend = "{mark!r}"'}, "no plain name"),
        ({"answers.toml": '[prompt]\nend = "{mark} {"'}, "braces do not fit"),
        ({"answers.toml": '[said]\nnothing = "x"'}, "said.nothing: there is no such key"),
        ({"answers.toml": '[said]\nabstention = " "'}, "said.abstention: "),
        ({"answers.toml": b"[said]\nabstention = '\xfc'"}, "not UTF-8"),
        ({"answers.toml": "[said"}, "no TOML"),
        ({"answer.toml": ""}, "answer.toml is none of README.md, answers.toml"),
        ({"page.toml": 'colour = "#fff"'}, "colour: there is no such key"),
        ({"page.toml": '[colours.dark]\naccent = "teal"'}, "'teal' is no colour"),
        ({"page.toml": '[colours.light]\naccent = "#9ad"'}, "accent on ground has a contrast of"),
        ({"page.toml": 'title = ""'}, "title: "),
        ({"page.toml": 'languages = ["en", "fr"]'}, "there is no languages/fr.json"),
        ({"page.toml": 'languages = ["../../x"]'}, "there is no languages/"),
        ({"page.toml": 'logo = "../page.toml"'}, "no name of a file"),
        ({"page.toml": 'logo = "none.svg"'}, "none.svg: it cannot be read"),
        ({"page.toml": 'logo = "a.png"', "a.png": b"GIF89a"}, "neither a PNG nor an SVG"),
        ({"page.toml": 'logo = "a.png"', "a.png": png()[:-4]}, "damaged or cut off"),
        ({"page.toml": 'logo = "a.png"', "a.png": png(4096)}, "at most 2048 pixels"),
        ({"page.toml": 'logo = "a.png"', "a.png": bytes(65537)}, "more than 65536 bytes"),
        ({"languages/de.json": '{"nav.question": "Fragen"}'}, "no text named nav.question"),
        ({"languages/de.json": '{"deleted": "Fort."}'}, "deleted: it lacks {name}"),
        ({"languages/de.json": '{"deleted": "{name} {who}"}'}, "nothing fills {who}"),
        ({"languages/de.json": '{"nav.ask": ""}'}, "nav.ask: there is no text in it"),
        ({"languages/de.json": '{"nav.ask": {"other": "F"}}'}, "it counts nothing"),
        ({"languages/de.json": '{"pages": {"many": "{n}"}}'}, "other has to be there"),
        ({"languages/de.json": '{"noscript": "[x](#elsewhere)"}'}, "a link to #elsewhere"),
        ({"languages/de.json": '{"nav.ask": "a", "nav.ask": "b"}'}, "it has nav.ask twice"),
        ({"languages/de.json": "[]"}, "no JSON object"),
        ({"languages/de.json": "{"}, "no JSON"),
        ({"languages/deutsch.txt": "{}"}, "a file is named as en.json"),
        ({"languages.deutsch": "{}"}, "a file is named as en.json"),
        (
            {"languages.de.json": "{}", "languages/de.json": "{}"},
            "languages/de.json is there twice",
        ),
        ({"languages/la.json": ENGLISH.read_bytes()}, "la has a file and is not named"),
        ({"languages/fr.json": "{}", "page.toml": 'languages = ["fr"]'}, "it lacks "),
    ],
)
def test_what_is_wrong_is_told_with_its_file(
    tmp_path: Path, files: dict[str, str | bytes], words: str
) -> None:
    assert words in refusal(tmp_path, files)


@pytest.mark.parametrize(
    "inside",
    [
        "<script>alert(1)</script>",
        '<path onload="alert(1)"/>',
        '<a href="javascript:alert(1)"><path/></a>',
        '<image href="https://elsewhere.example/x.png"/>',
        "<foreignObject/>",
        '<x:script xmlns:x="http://www.w3.org/2000/svg">1</x:script>',
    ],
)
def test_a_logo_that_does_something_is_refused(tmp_path: Path, inside: str) -> None:
    svg = f'<svg xmlns="http://www.w3.org/2000/svg">{inside}</svg>'
    told = refusal(tmp_path, {"page.toml": 'logo = "a.svg"', "a.svg": svg})
    assert "is not taken" in told


def test_a_logo_with_entities_is_refused_before_it_is_read(tmp_path: Path) -> None:
    svg = '<!DOCTYPE svg [<!ENTITY a "aaaa">]><svg xmlns="http://www.w3.org/2000/svg">&a;</svg>'
    for content in (svg.encode(), svg.encode("utf-16")):
        refusal(tmp_path, {"page.toml": 'logo = "a.svg"', "a.svg": content})


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^branding: own is no folder"):
        Branding.load(tmp_path / "own")


def test_contrast_is_what_wcag_says() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#fff", "#777777") == pytest.approx(4.478, abs=0.001)


def test_the_browser_is_answered_in_the_language_that_it_would_have_most() -> None:
    offered = ["en", "de", "pt-BR"]
    asked = {
        "": "en", "de": "de", "de-AT,de;q=0.9,en;q=0.8": "de", "fr,de;q=0.2": "de", "fr": "en",
        "en;q=0.1,de;q=0.9": "de", "de;q=0": "en", "pt-br": "pt-BR", "de;q=x, en": "en",
    }  # fmt: skip
    assert {header: choose(header, offered) for header in asked} == asked


def test_whatever_the_words_are_they_count_as_an_abstention(tmp_path: Path) -> None:
    own = '[said]\nabstention = "Ask Ada. She has the key."\nnothing_found = "Leer!"\n'
    answers = Branding.load(folder(tmp_path, {"answers.toml": own})).answers
    assert "say: Ask Ada. She has the key." in answers.system
    text = "Ada keeps the port of the retriever, and it is 8080."
    hit = Hit("c", "d", "Ports", "ports.md", None, 0, len(text), text, 1.0)
    for said in ("Ask Ada. She has the key.", "ask ada", "Leer"):
        stream = CitingStream(
            Evidence("Which port?", [hit], [hit], "english", 0.6), answers.abstentions
        )
        assert stream.feed(said) + stream.end() == said
        assert stream.grounding().abstained, said
    stream = CitingStream(Evidence("Which port?", [hit], [hit], "english", 0.6))
    stream.feed("Leer.")
    stream.end()
    assert not stream.grounding().abstained


def test_the_prompts_words_are_the_folders_own(tmp_path: Path) -> None:
    own = (
        '[prompt]\nsystem = "Antworte. {unknown} <source> und </source> umschliessen Daten."\n'
        'question = "{sources}\\n\\n{end}{before}Frage: {question}"\n'
    )
    answers = Branding.load(folder(tmp_path, {"answers.toml": own})).answers
    system, human = render("Warum {x}?", [], [], answers)
    assert str(system.content).startswith("Antworte. If the sources do not hold")
    assert str(human.content).endswith("Frage: Warum {x}?")
    assert answers.stop[0] == "\nFrage:"
    assert packaged().answers.stop[0] == "\nQuestion:"


def keys_of(scripts: str, markup: str) -> tuple[set[str], set[str]]:
    """The keys named in full, and the beginnings of those that are put together."""
    named = set(re.findall(r'"([a-z]\w*(?:\.[\w.-]+)*)"', scripts))
    kinds = {f"{kind}." for kind in re.findall(r'\bnamed\("([\w.]+)"', scripts)}
    kinds |= set(re.findall(r"\bt\(`([\w.]+\.)\$\{", scripts))
    return named | set(re.findall(r"\{([a-z][\w.]*)\}", markup)), kinds


def test_the_page_names_every_text_of_its_languages_and_no_other() -> None:
    scripts = "".join(path.read_text() for path in FOLDER.glob("*.js"))
    markup = (FOLDER / "index.html").read_text()
    named, kinds = keys_of(scripts, markup)
    texts = packaged().languages["en"].keys()
    assert {key for key in texts if key not in named and not key.startswith(tuple(kinds))} == set()
    called = set(re.findall(r'\bt\("([^"]+)"', scripts))
    placed = {key for key in re.findall(r"\{([a-z][\w.]*)\}", markup) if key[:5] != "html."}
    assert (called | placed) - texts == set()
    for language in packaged().languages:
        assert packaged().languages[language].keys() == texts


_LITERAL = re.compile(r'"((?:[^"\\\n]|\\.)*)"|`((?:[^`\\\n]|\\.)*)`')
_NO_TEXT = re.compile(
    r"[A-Z][\w-]*: ?[\w${}. -]*|Content-Type|Bearer .*|[A-Z]{2,}|SHA-256|Enter|Escape|Files|"
    r"AbortError|Authorization|Retry-After|input, textarea, select| [KM]iB|"
    r"Grafana|noopener noreferrer"
)
"""What looks like words and is read by programs: headers, methods, names of keys and of errors."""


def test_no_text_is_left_in_the_code() -> None:
    markup = re.sub(r"<script.*?</script>|<!doctype html>", "", (FOLDER / "index.html").read_text())
    seen = re.findall(r">([^<>]+)<", markup)
    seen += re.findall(r'\b(?:aria-label|placeholder|title|alt|data-late)="([^"]*)"', markup)
    assert [text for text in seen if re.search(r"\w", re.sub(r"\{[\w.]+\}", "", text))] == []
    left = []
    for path in sorted(FOLDER.glob("*.js")):
        code = re.sub(r"^\s*(//|\*|/\*\*).*$|(?<=[;{},)]) // .*$", "", path.read_text(), flags=re.M)
        for plain, template in _LITERAL.findall(code):
            text = re.sub(r"\$\{[^}]*\}", "", plain or template)
            words = re.search(r"\b[A-Z][a-z]+|[A-Za-z]{2,},? [a-z]{2,}", text)
            if words and not _NO_TEXT.fullmatch(text):
                left.append((path.name, text))
    assert left == []
    assert re.findall(r'content: "[^"]*\w', (FOLDER / "style.css").read_text()) == []


def test_the_languages_files_have_their_keys_in_the_same_order() -> None:
    orders = [list(json.loads(path.read_text())) for path in (PACKAGED / "languages").iterdir()]
    assert len(orders) > 1
    assert all(order == orders[0] for order in orders)
