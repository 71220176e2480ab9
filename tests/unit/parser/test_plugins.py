"""Another package reads another kind of document, within the walls of our own readers."""

from pathlib import Path

import orjson
import pytest
from packages import install

from parser.main import create
from parser.model import MIB, ParseError, ParseLimits
from parser.parse import parse, version
from parser.plugins import GROUP, Plugin, load
from parser.pool import ParserPool
from parser.settings import ParserSettings

SUBTITLES = """
import os, re, time
from parser.model import Extracted, ParseError
from parser.plugins import Plugin

def extract(data, reading):
    text = data.decode("utf-8")
    if text == "hang":
        time.sleep(3600)
    if text == "eat":
        bytearray(4 * 2**30)
    if text == "die":
        os._exit(9)
    if text == "raise":
        raise KeyError("secret words of the document")
    if text == "page":
        return Extracted("some text", pages=(0, 900))
    if text == "back":
        return Extracted("some text", pages=(5, 2))
    if text == "half":
        return Extracted("\\ud800")
    if text == "none":
        return None
    if text == "title":
        return Extracted("some text", title=7)
    if text == "metadata":
        return Extracted("some text", metadata={"a key": object()})
    if "-->" not in text:
        raise ParseError("invalid", "No subtitles are in it.")
    said = [block.split("\\n", 2)[2] for block in text.strip().split("\\n\\n")]
    return Extracted("\\n".join(said), title="Subtitles")

SRT = Plugin("application/x-subrip", extract, "7", (".srt",))
SHOUT = Plugin("text/plain", lambda data, reading: Extracted(data.decode().upper()), "1")
TWICE = Plugin("text/x-other", extract, "1", (".srt",))
NO_PLUGIN = extract
"""
NAMES = {"srt": "SRT", "shout": "SHOUT", "twice": "TWICE", "function": "NO_PLUGIN", "gone": "GONE"}
FILM = b"1\n00:01 --> 00:02\nAhoy!\n\n2\n00:03 --> 00:04\nThe pier is free.\n"


@pytest.fixture(autouse=True)
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path / "site", "subtitles", SUBTITLES, GROUP, NAMES)
    install(tmp_path / "site", "broken_reader", "import not_there", GROUP, {"broken": "X"})
    monkeypatch.syspath_prepend(str(tmp_path / "site"))


def test_an_installed_package_alone_changes_nothing() -> None:
    parsed = parse(FILM, "film.srt", None, ParseLimits())
    assert (parsed.media_type, "-->" in parsed.text) == ("text/plain", True)


def test_a_new_kind_is_known_by_its_extension_or_its_media_type() -> None:
    plugins = load("srt")
    by_type = parse(FILM, "film", "Application/X-Subrip; a=b", ParseLimits(), plugins=plugins)
    by_name = parse(FILM, "x/FILM.SRT", "text/plain", ParseLimits(), plugins=plugins)
    for parsed in (by_type, by_name):
        assert parsed.text == "Ahoy!\nThe pier is free."
        assert (parsed.title, parsed.media_type) == ("Subtitles", "application/x-subrip")
        assert not parsed.markdown
    other = parse(b"# Pier", "pier.md", "application/x-subrip", ParseLimits(), plugins=plugins)
    assert other.media_type == "text/markdown"


def test_a_known_kind_is_read_in_place_of_our_reader_in_mails_too() -> None:
    plugins = load("shout, srt,shout")
    assert len(plugins) == 2
    assert parse(b"ahoy", "a.txt", None, ParseLimits(), plugins=plugins).text == "AHOY"
    mail = (
        b"From: a@example.org\nSubject: x\nMIME-Version: 1.0\n"
        b'Content-Type: multipart/mixed; boundary="b"\n\n--b\nContent-Type: text/plain\n\nhello\n'
        b"--b\nContent-Type: application/octet-stream\nContent-Disposition: attachment;"
        b' filename="film.srt"\n\n' + FILM + b"\n--b--\n"
    )
    read = parse(mail, "a.eml", None, ParseLimits(), plugins=plugins)
    assert "The pier is free." in read.text
    assert "-->" not in read.text


def test_the_version_says_which_plug_ins_read() -> None:
    told = ParserSettings().ocr()
    assert version(told, load("srt")) == f"{version(told)}+application/x-subrip=7"


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("vtt", "no installed package has 'vtt' in .*parsers; there is broken, function, gone"),
        ("broken", "cannot be loaded: ModuleNotFoundError: No module named 'not_there'"),
        ("gone", "cannot be loaded: AttributeError"),
        ("function", "is no Plugin"),
        ("srt,twice", "two plug-ins read .srt"),
    ],
)
def test_what_cannot_be_used_is_told_at_start(setting: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        create(ParserSettings(plugins=setting))


def test_a_plug_in_says_in_small_letters_what_it_reads() -> None:
    for given, words in (("Text/SRT", "media type"), ("text", "media type")):
        with pytest.raises(ValueError, match=words):
            Plugin(given, lambda *_: None, "1")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="extension"):
        Plugin("a/b", lambda *_: None, "1", ("srt",))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        ("raise", "plugin", r"broke off \(KeyError\)"),
        ("page", "plugin", "a page outside its text of 9 characters"),
        ("back", "plugin", "pages out of order"),
        ("half", "plugin", "half a character"),
        ("none", "plugin", "gave no text"),
        ("title", "plugin", "a title that is no text"),
        ("metadata", "plugin", "metadata that is none"),
        ("prose", "invalid", "No subtitles"),
    ],
)
def test_nonsense_is_refused_in_words_without_the_documents_own(
    text: str, code: str, words: str
) -> None:
    with pytest.raises(ParseError, match=words) as caught:
        parse(text.encode(), "film.srt", None, ParseLimits(), plugins=load("srt"))
    assert caught.value.code == code
    assert "secret" not in caught.value.message


async def test_a_plug_in_works_in_the_killable_process_under_the_limits(tmp_path: Path) -> None:
    pool = ParserPool(ParseLimits(), plugins="srt", seconds=5, memory_bytes=512 * MIB)
    try:
        for text, code in (("hang", "timeout"), ("eat", "too_large"), ("die", "crashed")):
            (tmp_path / "film").write_text(text)
            with pytest.raises(ParseError) as caught:
                await pool.parse(tmp_path / "film", "film.srt", None)
            assert caught.value.code == code
        (tmp_path / "film").write_bytes(FILM)
        read = orjson.loads(await pool.parse(tmp_path / "film", "film.srt", None))
        assert read["text"] == "Ahoy!\nThe pier is free."
        assert read["parser"].endswith("application/x-subrip=7")
    finally:
        pool.close()
