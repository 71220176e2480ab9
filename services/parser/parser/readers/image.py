"""Pictures: the text that OCR finds in them."""

import io
import warnings
from itertools import islice

from PIL import Image, ImageOps, ImageSequence, UnidentifiedImageError

from parser import ocr
from parser.model import Extracted, Metadata, ParseError, Reading

_DPI = 150
_MOST_PIXELS = 100_000_000
_MOST_FRAMES = 100
_FORMATS = ("PNG", "JPEG", "TIFF", "GIF", "BMP", "WEBP")


def extract(data: bytes, reading: Reading) -> Extracted:
    """Read a picture's text; a TIFF's pages are the document's.

    Raises ParseError `empty` where there is none, `invalid` or `too_large`.
    """
    document, count = _as_pdf(data, reading)
    metadata: Metadata = {}
    found = ocr.pages(document, dict.fromkeys(range(1, count + 1), ""), reading, metadata)
    if not found:
        told = next((one.message for one in reading.warnings if one.code == "no_text"), "")
        if reading.ocr.folder is None:
            raise ParseError("unsupported", f"The file is an image. {told.partition('. ')[2]}")
        raise ParseError("empty", "No text was found in the image.")
    texts = [found.get(number, "") for number in range(1, count + 1)]
    starts, length = [], 0
    for text in texts:
        starts.append(length)
        length += len(text) + 2
    return Extracted("\n\n".join(texts), None, tuple(starts) if count > 1 else (), metadata)


def _as_pdf(data: bytes, reading: Reading) -> tuple[bytes, int]:
    """The picture's frames as the pages of a PDF, which is what OCR takes, and how many."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            image = Image.open(io.BytesIO(data), formats=_FORMATS)
            if image.width * image.height > _MOST_PIXELS:
                raise ParseError(
                    "too_large", f"The image has more than {_MOST_PIXELS // 1_000_000} megapixels."
                )
            count = _frames(image, reading)
            frames = [_page(frame) for frame in islice(ImageSequence.Iterator(image), count)]
    except ParseError:
        raise
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, EOFError) as error:
        raise ParseError("invalid", "The image is damaged or cut short.") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ParseError("too_large", "The image has too many pixels.") from error
    out = io.BytesIO()
    frames[0].save(out, "PDF", resolution=_DPI, save_all=True, append_images=frames[1:])
    return out.getvalue(), len(frames)


def _frames(image: Image.Image, reading: Reading) -> int:
    """How many of its frames are pages: a moving picture's first alone."""
    if image.format != "TIFF":
        return 1
    count = int(getattr(image, "n_frames", 1))
    most = min(_MOST_FRAMES, reading.limits.max_pages)
    if count > most:
        reading.warn("cut_short", f"Of the image's {count:,} pages {most:,} are read.")
    return min(count, most)


def _page(frame: Image.Image) -> Image.Image:
    """A frame upright, on white where it is transparent, without colours."""
    upright = ImageOps.exif_transpose(frame)
    if upright.mode in ("RGBA", "LA", "PA") or "transparency" in upright.info:
        upright = upright.convert("RGBA")
        white = Image.new("RGBA", upright.size, "white")
        upright = Image.alpha_composite(white, upright)
    return upright.convert("L")
