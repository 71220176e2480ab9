"""Pictures and scanned pages, read by Tesseract with English and German data."""

import io
import os
from pathlib import Path

import pytest
import reportlab
from making import codes, drawn, read
from PIL import Image, ImageDraw, ImageFont
from reportlab.lib.utils import ImageReader

from parser.model import Ocr, ParseError
from parser.ocr import set_up

OCR = set_up(None, "deu+eng", seconds=60, max_pages=20)
# CI installs the data and says so: there the tests must run.
pytestmark = pytest.mark.skipif(
    not OCR.languages and not os.environ.get("OCR_REQUIRED"),
    reason="Tesseract's data is not installed: tesseract-ocr-eng, tesseract-ocr-deu",
)

FONT = Path(reportlab.__file__).parent / "fonts" / "Vera.ttf"
ENGLISH = ("The crane lifts forty tonnes.", "Berth 7 is closed on Monday.")
GERMAN = ("Die Größe des Liegeplatzes", "beträgt 140 Meter am Südkai.")


def picture(*lines: str, size: tuple[int, int] = (1240, 500)) -> Image.Image:
    image = Image.new("L", size, 255)
    draw, font = ImageDraw.Draw(image), ImageFont.truetype(FONT, 44)
    for n, line in enumerate(lines):
        draw.text((80, 80 + 90 * n), line, font=font, fill=0)
    return image


def words(text: str) -> tuple[str, ...]:
    """Its lines that hold some."""
    return tuple(line for line in text.split("\n") if line)


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "GIF", "BMP", "WEBP"])
def test_a_picture_of_any_kind_is_read(kind: str) -> None:
    parsed = read(saved(picture(*ENGLISH), kind), f"a.{kind.lower()}", ocr=OCR)
    assert words(parsed.text) == ENGLISH
    assert codes(parsed) == ["ocr"]
    assert parsed.metadata["ocr_pages"] == "1"
    assert parsed.metadata["ocr_languages"] == "deu+eng"
    assert float(parsed.metadata["ocr_seconds_per_page"]) >= 0


def test_german_is_read_with_its_own_letters() -> None:
    assert words(read(saved(picture(*GERMAN), "PNG"), "a.png", ocr=OCR).text) == GERMAN


def test_scanned_pages_of_a_pdf_are_read_and_named_and_the_others_keep_their_text() -> None:
    def scan(*lines: str):  # type: ignore[no-untyped-def]
        image = ImageReader(io.BytesIO(saved(picture(*lines, size=(1240, 1754)), "PNG")))
        return lambda page: page.drawImage(image, 0, 0, 595, 842)

    data = drawn(
        lambda page: page.drawString(72, 770, "Crane inspection report of the port, 2031."),
        scan(*ENGLISH),
        lambda page: None,
        scan(*GERMAN),
    )
    parsed = read(data, "a.pdf", ocr=OCR)
    assert [parsed.text[start:].split("\n")[0] for start in parsed.pages] == [
        "Crane inspection report of the port, 2031.", ENGLISH[0], "", GERMAN[0],
    ]  # fmt: skip
    (warned,) = parsed.warnings
    assert (warned.code, warned.pages) == ("ocr", (2, 4))
    assert parsed.metadata["ocr_pages"] == "2, 4"


def test_pictures_turned_by_their_camera_transparent_or_of_several_pages_are_read() -> None:
    turned = picture(*ENGLISH).rotate(90, expand=True)
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held upright
    assert words(read(saved(turned, "JPEG", exif=exif), "a.jpg", ocr=OCR).text) == ENGLISH
    clear = Image.new("RGBA", (1240, 500), (0, 0, 0, 0))
    clear.paste((0, 0, 0, 255), mask=picture(*ENGLISH).point(lambda value: 255 - value))
    assert words(read(saved(clear, "PNG"), "a.png", ocr=OCR).text) == ENGLISH
    both = saved(picture(*ENGLISH), "TIFF", save_all=True, append_images=[picture(*GERMAN)])
    parsed = read(both, "a.tiff", ocr=OCR)
    assert len(parsed.pages) == 2 and words(parsed.text) == ENGLISH + GERMAN


def test_a_picture_without_text_is_empty_and_a_damaged_one_invalid() -> None:
    blank = Image.new("L", (600, 400), 200)
    for data, code in (
        (saved(blank, "PNG"), "empty"),
        (saved(blank, "PNG")[:60], "invalid"),
        (saved(Image.new("1", (12_000, 12_000)), "PNG"), "too_large"),
    ):
        with pytest.raises(ParseError) as caught:
            read(data, "a.png", ocr=OCR)
        assert caught.value.code == code


def test_without_language_data_the_missing_is_named() -> None:
    nothing = set_up(None, "xyz", 60, 20)
    assert nothing == Ocr(None, (), ("xyz",), 60, 20)
    with pytest.raises(ParseError, match="data for xyz is missing") as caught:
        read(saved(picture(*ENGLISH), "PNG"), "a.png", ocr=nothing)
    assert caught.value.code == "unsupported"
    assert set_up(OCR.folder, "eng+xyz", 1, 1).missing == ("xyz",)
