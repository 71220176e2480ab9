"""What the parser can be told from outside; every name starts with PARSER_."""

from pathlib import Path

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from bulkhead.settings import CommonSettings
from parser.model import MIB, Ocr, ParseLimits
from parser.ocr import set_up


class ParserSettings(CommonSettings):
    """The settings; the limits hold for one document."""

    model_config = SettingsConfigDict(env_prefix="PARSER_", extra="ignore")

    sockets: Path = Field(
        Path(".data/parser"),
        description="Folder for the Unix socket to listen on; replicas share it, with one each.",
    )
    host: str | None = Field(
        None,
        description="Address to listen on instead of a socket. Whoever reaches it can hand in "
        "documents: let the network hold the others off.",
    )
    port: int = Field(8083, ge=0, le=65535, description="Port to listen on, with a host.")
    processes: int = Field(
        1, ge=1, le=32, description="Documents that are read at once, each in its own process."
    )
    timeout: float = Field(
        60.0, gt=0, description="Longest time for one document without OCR, in seconds."
    )
    memory_mib: int = Field(
        1024,
        ge=256,
        description="Most memory of a process that reads, in MiB (its address space).",
    )
    max_document_bytes: int = Field(50 * MIB, gt=0, description="Largest document, in bytes.")
    max_pages: int = Field(2_000, ge=1, description="Most pages of a PDF.")
    max_characters: int = Field(
        20_000_000, ge=1, description="Most characters of text of a document."
    )

    ocr_languages: str = Field(
        "deu+eng",
        pattern=r"^([A-Za-z_]+(\+[A-Za-z_]+)*)?$",
        description="Languages in which pictures are read, by Tesseract's names, joined by `+`, "
        "the one with the most letters first; empty: pictures are not read.",
    )
    tessdata: Path | None = Field(
        None,
        description="Folder of Tesseract's language data; none: where Debian's packages put it, or "
        "`TESSDATA_PREFIX`.",
    )
    ocr_seconds: float = Field(
        120.0, gt=0, description="Longest time for OCR in one document, in seconds."
    )
    ocr_max_pages: int = Field(
        500, ge=1, description="Most pages of one document that are read by OCR."
    )

    plugins: str = Field(
        "",
        description="Names of installed packages' entry points in `bulkhead.parsers`, with commas "
        "between: readers of further kinds of documents.",
    )

    def ocr(self) -> Ocr:
        """How pictures are read, with the language data that is there."""
        return set_up(self.tessdata, self.ocr_languages, self.ocr_seconds, self.ocr_max_pages)

    def limits(self) -> ParseLimits:
        """The limits that the readers themselves keep."""
        return ParseLimits(self.max_document_bytes, self.max_pages, self.max_characters)
