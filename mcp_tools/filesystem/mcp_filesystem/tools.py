"""The five tools: what each does with a caller's folder."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TypeVar

from pydantic import BaseModel

from bulkhead.auth import Principal
from bulkhead.mcp.tools import AnyTool, Arguments, Tool
from mcp_filesystem import schemas
from mcp_filesystem.folder import Folder, Folders, unreadable
from mcp_filesystem.paths import parse, show
from mcp_filesystem.patterns import compile_glob, compile_search
from mcp_filesystem.search import Search
from mcp_filesystem.settings import FilesystemSettings
from mcp_filesystem.text import read_bytes, read_lines
from mcp_filesystem.threads import Threads
from mcp_filesystem.walk import Budget, entries, kind, walk

A = TypeVar("A", bound=Arguments)
R = TypeVar("R", bound=BaseModel)


class FileTools:
    """The tools over the tenants' folders. Each call works in a thread, on its caller's folder."""

    def __init__(self, folders: Folders, settings: FilesystemSettings) -> None:
        self._folders = folders
        self._settings = settings
        self._threads = Threads()

    def close(self) -> None:
        """End the threads."""
        self._threads.close()

    def all(self) -> list[AnyTool]:
        """Every tool of this server."""
        return [
            self._tool(
                self.list_directory,
                schemas.ListDirectory,
                schemas.Listing,
                "List a folder",
                "Lists the files and folders in one folder, by name, a page at a time."
                " find_files finds and counts those of one kind.",
            ),
            self._tool(
                self.read_text,
                schemas.ReadText,
                schemas.Text,
                "Read a text file",
                "Reads lines or bytes of a text file. Says how long the file is and, in"
                " next_offset, where to go on.",
            ),
            self._tool(
                self.search_text,
                schemas.SearchText,
                schemas.Matches,
                "Search in files",
                "Finds lines that hold a text or match an RE2 regular expression, in a file or in"
                " all files below a folder, with the lines around them.",
            ),
            self._tool(
                self.find_files,
                schemas.FindFiles,
                schemas.FoundFiles,
                "Find files by name",
                "Finds and counts files below a folder whose name or path matches a glob"
                " pattern, like '*.pdf'.",
            ),
            self._tool(
                self.get_file_info,
                schemas.GetFileInfo,
                schemas.FileInfo,
                "Describe a file",
                "Says what a path is, how large it is, when it changed and whether it can be read.",
            ),
        ]

    def _tool(
        self,
        work: Callable[[Folder, A], R],
        arguments: type[A],
        result: type[R],
        title: str,
        description: str,
    ) -> AnyTool:
        def in_folder(principal: Principal, given: A) -> R:
            with self._folders.of(principal) as folder:
                return work(folder, given)

        async def run(principal: Principal, given: A) -> R:
            return await self._threads.run(principal.key_id, lambda: in_folder(principal, given))

        return Tool(
            name=work.__name__,
            title=title,
            description=description,
            arguments=arguments,
            result=result,
            run=run,
        )

    def list_directory(self, folder: Folder, given: schemas.ListDirectory) -> schemas.Listing:
        """One page of a folder."""
        budget = self._budget()
        with folder.open_folder(given.path) as descriptor:
            found = [
                schemas.Listed(
                    name=entry.names[-1],
                    type=entry.kind,
                    size=entry.status.st_size if entry.kind == "file" else None,
                )
                for entry in entries(descriptor, budget)
            ]
        end = given.offset + given.limit
        return schemas.Listing(
            path=show(parse(given.path)),
            entries=found[given.offset : end],
            total=len(found),
            next_offset=end if end < len(found) else None,
            incomplete=budget.incomplete,
        )

    def read_text(self, folder: Folder, given: schemas.ReadText) -> schemas.Text:
        """Lines or bytes of a file."""
        most = self._settings.max_text_bytes
        limit = most if given.limit is None else given.limit
        with folder.open_file(given.path) as descriptor:
            if given.unit == "bytes":
                excerpt = read_bytes(descriptor, given.offset, min(limit, most))
            else:
                whole = self._settings.max_file_bytes
                excerpt = read_lines(descriptor, given.offset, limit, most, whole)
        return schemas.Text(
            path=show(parse(given.path)),
            text=excerpt.text,
            unit=given.unit,
            offset=given.offset,
            count=excerpt.count,
            total=excerpt.total,
            next_offset=excerpt.next_offset,
            replaced_bytes=excerpt.replaced_bytes,
        )

    def search_text(self, folder: Folder, given: schemas.SearchText) -> schemas.Matches:
        """Lines that match, in a file or below a folder."""
        base = parse(given.path)
        glob = compile_glob(given.glob)
        search = Search(
            compile_search(given.pattern, regex=given.regex, ignore_case=given.ignore_case),
            given.context,
            given.limit,
            self._settings.max_file_bytes,
            self._budget(),
        )
        with folder.open_either(given.path) as descriptor:
            search.run(descriptor, glob)
        return schemas.Matches(
            matches=[
                schemas.Match(
                    path=show(base + found.names),
                    line=found.line,
                    text=found.text,
                    before=found.before,
                    after=found.after,
                )
                for found in search.matches
            ],
            files_searched=search.searched,
            files_skipped=search.skipped,
            incomplete=search.stopped or None,
        )

    def find_files(self, folder: Folder, given: schemas.FindFiles) -> schemas.FoundFiles:
        """Files whose path matches, below a folder."""
        base = parse(given.path)
        glob = compile_glob(given.glob)
        budget = self._budget()
        found: list[schemas.FoundFile] = []
        with folder.open_folder(given.path) as descriptor:
            for entry in walk(descriptor, budget):
                if entry.kind == "file" and glob.fullmatch("/".join(entry.names)):
                    if len(found) == given.limit:
                        budget.spent = f"more than {given.limit} files; narrow the pattern"
                        break
                    path = show(base + entry.names)
                    found.append(schemas.FoundFile(path=path, size=entry.status.st_size))
        return schemas.FoundFiles(files=found, count=len(found), incomplete=budget.incomplete)

    def get_file_info(self, folder: Folder, given: schemas.GetFileInfo) -> schemas.FileInfo:
        """What a path is; of a link no more than that it is one."""
        status = folder.status(given.path)
        reason = unreadable(status)
        return schemas.FileInfo(
            path=show(parse(given.path)),
            type=kind(status),
            size=status.st_size if kind(status) == "file" else None,
            modified=datetime.fromtimestamp(status.st_mtime, UTC).isoformat(timespec="seconds"),
            readable=not reason,
            reason=reason or None,
        )

    def _budget(self) -> Budget:
        return Budget(
            entries=self._settings.max_entries,
            depth=self._settings.max_depth,
            seconds=self._settings.walk_seconds,
            bytes_=self._settings.max_search_bytes,
        )
