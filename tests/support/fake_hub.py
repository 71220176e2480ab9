"""A hub on loopback, as small as the fetcher's needs: a listing, files, byte ranges, refusals."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class FakeHub:
    """What the hub has, and how it misbehaves."""

    files: dict[str, bytes]
    gated: bool = False
    missing: bool = False
    status: int = 0
    cut_after: int = 0
    """Break off the next large answer after so many bytes."""
    lie_about: str = ""
    """The file whose checksum in the listing is another's."""
    size_of: dict[str, int] = field(default_factory=dict)
    ranges: list[str] = field(default_factory=list)
    """The byte ranges that were asked for."""
    tokens: set[str] = field(default_factory=set)
    fetched: list[str] = field(default_factory=list)
    address: str = ""

    def listing(self) -> dict[str, Any]:
        """`GET /api/models/NAME/revision/COMMIT?blobs=true`."""
        siblings = []
        for name, content in self.files.items():
            shown = b"another" if name == self.lie_about else content
            size = self.size_of.get(name, len(content))
            blob = hashlib.sha1(b"blob %d\0" % len(shown) + shown).hexdigest()
            one: dict[str, Any] = {"rfilename": name, "size": size, "blobId": blob}
            if name.endswith(".safetensors"):
                sha = hashlib.sha256(shown).hexdigest()
                one["lfs"] = {"sha256": sha, "size": size, "pointerSize": 134}
            siblings.append(one)
        return {"id": "some/model", "sha": COMMIT, "siblings": siblings}


@contextmanager
def serving(hub: FakeHub, host: str = "127.0.0.1") -> Iterator[FakeHub]:
    """The hub on a free port; `hub.address` says where."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: Any) -> None:
            pass

        def do_HEAD(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            hub.tokens.add(self.headers.get("Authorization", ""))
            if hub.status:
                return self._refuse(hub.status, "", "")
            if hub.gated:
                return self._refuse(403, "GatedRepo", "Access to model some/model is restricted")
            if hub.missing:
                return self._refuse(404, "RevisionNotFound", "Invalid rev id")
            if self.path.startswith("/api/models/"):
                return self._answer(json.dumps(hub.listing()).encode(), "application/json", "l")
            return self._file(self.path.split(f"/resolve/{COMMIT}/", 1)[1])

        def _refuse(self, status: int, code: str, message: str) -> None:
            self.send_response(status)
            self.send_header("X-Error-Code", code)
            self.send_header("X-Error-Message", message)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def _file(self, name: str) -> None:
            content = hub.files[name]
            if self.command == "GET":
                hub.fetched.append(name)
            self._answer(content, "application/octet-stream", hashlib.sha256(content).hexdigest())

        def _answer(self, content: bytes, kind: str, etag: str) -> None:
            asked = self.headers.get("Range", "")
            start = 0
            if asked and self.command == "GET":
                hub.ranges.append(asked)
                start = int(asked.removeprefix("bytes=").split("-")[0])
            self.send_response(206 if start else 200)
            self.send_header("Content-Type", kind)
            self.send_header("ETag", f'"{etag}"')
            self.send_header("X-Repo-Commit", COMMIT)
            self.send_header("Accept-Ranges", "bytes")
            if start:
                total = len(content)
                self.send_header("Content-Range", f"bytes {start}-{total - 1}/{total}")
            self.send_header("Content-Length", str(len(content) - start))
            self.end_headers()
            if self.command == "HEAD":
                return
            rest = content[start:]
            if hub.cut_after and len(rest) > hub.cut_after:
                self.wfile.write(rest[: hub.cut_after])
                self.wfile.flush()
                hub.cut_after = 0
                self.close_connection = True
                return
            self.wfile.write(rest)

    server = ThreadingHTTPServer((host, 0), Handler)
    server.daemon_threads = True
    hub.address = f"http://{host}:{server.server_address[1]}"
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
