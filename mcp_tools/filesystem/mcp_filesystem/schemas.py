"""What the five tools take and give."""

from typing import Literal

from pydantic import BaseModel, Field

from bulkhead.mcp.tools import Arguments
from mcp_filesystem.walk import Kind

FolderPath = Field(".", description="Folder, relative to the root; '.' is the root itself.")
FilePath = Field(description="File, relative to the root, like 'guides/start.md'.")


class ListDirectory(Arguments):
    """Arguments of list_directory."""

    path: str = FolderPath
    offset: int = Field(0, ge=0, description="Entries to leave out before the first.")
    limit: int = Field(200, ge=1, le=1000, description="Most entries in the reply.")


class Listed(BaseModel):
    """One name in a folder."""

    name: str
    type: Kind
    size: int | None = Field(description="Bytes, of a file.")


class Listing(BaseModel):
    """Result of list_directory."""

    path: str
    entries: list[Listed]
    total: int = Field(description="Entries in the folder.")
    next_offset: int | None = Field(description="Offset of the next page; null at the end.")
    incomplete: str | None = Field(description="Which limit ended the listing early; null: none.")


class ReadText(Arguments):
    """Arguments of read_text."""

    path: str = FilePath
    unit: Literal["lines", "bytes"] = Field(
        "lines", description="What offset, limit and total count. 'bytes' fits files of any size."
    )
    offset: int = Field(0, ge=0, description="Lines or bytes to leave out before the first.")
    limit: int | None = Field(
        None, ge=1, description="Most lines or bytes to read; null: as many as fit in a reply."
    )


class Text(BaseModel):
    """Result of read_text."""

    path: str
    text: str
    unit: Literal["lines", "bytes"]
    offset: int
    count: int = Field(description="Lines or bytes in this reply.")
    total: int = Field(description="Lines or bytes in the whole file.")
    next_offset: int | None = Field(description="Offset to go on with; null at the end.")
    replaced_bytes: int = Field(
        description="Bytes that are not UTF-8; each run of them shows as U+FFFD in the text."
    )


class SearchText(Arguments):
    """Arguments of search_text."""

    pattern: str = Field(min_length=1, max_length=1000, description="Text to look for.")
    path: str = Field(".", description="File or folder to search, relative to the root.")
    glob: str = Field(
        "*", min_length=1, max_length=1000, description="Which files, like '*.md' or 'src/**/*.py'."
    )
    regex: bool = Field(False, description="Whether the pattern is an RE2 regular expression.")
    ignore_case: bool = Field(False, description="Whether case does not matter.")
    context: int = Field(0, ge=0, le=5, description="Lines to show before and after a match.")
    limit: int = Field(50, ge=1, le=200, description="Most matching lines in the reply.")


class Match(BaseModel):
    """One matching line."""

    path: str
    line: int = Field(description="Its number, from 1; offset line-1 of read_text begins with it.")
    text: str
    before: list[str]
    after: list[str]


class Matches(BaseModel):
    """Result of search_text."""

    matches: list[Match]
    files_searched: int
    files_skipped: int = Field(description="Binary, too large, or not to be read.")
    incomplete: str | None = Field(description="Which limit ended the search early; null: none.")


class FindFiles(Arguments):
    """Arguments of find_files."""

    glob: str = Field(
        min_length=1,
        max_length=1000,
        description="Which files: '*.md' by name at any depth, 'a/**/*.py' by path.",
    )
    path: str = FolderPath
    limit: int = Field(200, ge=1, le=1000, description="Most files in the reply.")


class FoundFile(BaseModel):
    """One file."""

    path: str
    size: int = Field(description="Bytes.")


class FoundFiles(BaseModel):
    """Result of find_files."""

    files: list[FoundFile]
    count: int = Field(description="Files in this result.")
    incomplete: str | None = Field(description="Which limit ended the search early; null: none.")


class GetFileInfo(Arguments):
    """Arguments of get_file_info."""

    path: str = Field(description="File or folder, relative to the root.")


class FileInfo(BaseModel):
    """Result of get_file_info."""

    path: str
    type: Kind
    size: int | None = Field(description="Bytes, of a file.")
    modified: str = Field(description="Time of the last change, ISO 8601, UTC.")
    readable: bool = Field(description="Whether read_text would open it.")
    reason: str | None = Field(description="Why it is not readable; null where it is.")
