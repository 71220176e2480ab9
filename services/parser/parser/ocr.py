"""Text in pictures, by Tesseract, which liteparse holds; its language data comes from outside."""

import os
import re
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import liteparse

from bulkhead.workers import allow
from parser.model import Metadata, Ocr, Reading
from parser.words import plain, unligated

_FOLDERS = (  # Debian's, others', Homebrew's
    *("/usr/share/tesseract-ocr/5/tessdata", "/usr/share/tessdata", "/usr/local/share/tessdata"),
    "/opt/homebrew/share/tessdata",
)
_DPI = 300
_WORD = re.compile(r"\w+")
_BATCH = 4
_GRACE_SECONDS = 30.0


def set_up(folder: Path | None, languages: str, seconds: float, max_pages: int) -> Ocr:
    """What is there of the languages, as `eng+deu`, in the folder or else in the usual ones."""
    asked = tuple(filter(None, languages.split("+")))
    for place in [folder] if folder is not None else _usual_folders():
        there = tuple(one for one in asked if (place / f"{one}.traineddata").is_file())
        if there:
            missing = tuple(one for one in asked if one not in there)
            return Ocr(place, there, missing, seconds, max_pages)
    return Ocr(None, (), asked, seconds, max_pages)


def _usual_folders() -> list[Path]:
    told = os.environ.get("TESSDATA_PREFIX")
    return [Path(place) for place in (*([told] if told else []), *_FOLDERS)]


def pages(
    data: bytes, known: Mapping[int, str], reading: Reading, metadata: Metadata
) -> dict[int, str]:
    """The text of a PDF's pages, read from their pictures.

    `known`: the pages by their numbers, each with the words that it has as text; where the pictures
    hold no other, they hold none. What could not be read is warned of; pages and seconds a page are
    noted in `metadata`.
    """
    own, numbers = reading.ocr, list(known)
    if own.folder is None:
        wanted = ", ".join(own.missing) or "any language"
        reading.warn(
            "no_text",
            f"{named(numbers)} hold pictures and no text. OCR is not set up here: Tesseract's data"
            f" for {wanted} is missing.",
            numbers,
        )
        return {}
    started = time.monotonic()
    allow(own.seconds + _GRACE_SECONDS)
    found: dict[int, str] = {}
    tried: list[int] = []
    for first in range(0, min(len(numbers), own.max_pages), _BATCH):
        if time.monotonic() - started > own.seconds:
            break
        batch = numbers[first : first + _BATCH][: own.max_pages - first]
        for number, text in _read(data, batch, own).items():
            if set(_WORD.findall(text)) - set(_WORD.findall(known[number])):
                found[number] = text
        tried += batch
    seconds = time.monotonic() - started
    allow(_GRACE_SECONDS)
    _tell(numbers, tried, found, reading)
    if found:
        metadata["ocr_pages"] = _short(sorted(found))
        metadata["ocr_seconds_per_page"] = round(seconds / len(tried), 2)
        metadata["ocr_languages"] = str(own)
    return found


def _read(data: bytes, numbers: Sequence[int], own: Ocr) -> dict[int, str]:
    parser = liteparse.LiteParse(
        ocr_enabled=True,
        ocr_language=str(own),
        tessdata_path=str(own.folder),
        output_format="text",  # its Markdown reorders skewed scans
        target_pages=",".join(map(str, numbers)),
        continue_on_page_error=True,
        dpi=_DPI,
        num_workers=1,
        quiet=True,
    )
    try:
        seen = parser.parse(data).pages
    except liteparse.ParseError:
        return {}
    texts = {page.page_num: _tidy(page.text) for page in seen}
    return {number: text for number, text in texts.items() if any(map(str.isalnum, text))}


def _tidy(text: str) -> str:
    """Lines without the spaces that only place them on the page."""
    lines = [" ".join(line.split()) for line in plain(unligated(text)).splitlines()]
    return "\n".join(lines).strip()


def _tell(
    numbers: Sequence[int], tried: Sequence[int], found: dict[int, str], reading: Reading
) -> None:
    read = sorted(found)
    if read:
        reading.warn("ocr", f"The text of {named(read)} was recognized in pictures.", read)
    empty = [one for one in tried if one not in found]
    if empty:
        reading.warn("no_text", f"{named(empty)} hold pictures in which no text was found.", empty)
    left = [one for one in numbers if one not in tried]
    if left:
        reading.warn("cut_short", f"{named(left)} hold pictures that were not read any more.", left)


def named(numbers: Sequence[int]) -> str:
    """Pages in words: "Page 2", "Pages 2, 3 and 7"."""
    return ("Page " if len(numbers) == 1 else "Pages ") + _short(numbers)


def _short(numbers: Sequence[int]) -> str:
    """Numbers with runs drawn together: 1-3, 7."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and runs[-1][-1] == number - 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)
