"""A corpus in a bucket, by S3's own protocol, and behind a web server."""

import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from bulk.corpus import Corpus, CorpusError
from bulk.model import Failed, Found
from bulk.read import documents
from bulk.rows import Columns, Taking

OBJECTS = {
    "corpus/a.jsonl": b'{"text": "one", "source": "1"}\n{"text": "two", "source": "2"}\n',
    "corpus/sub/b.md": b"# Three",
    "corpus/.hidden/c.md": b"no",
    "other/d.md": b"no",
}


class Server(BaseHTTPRequestHandler):
    """The calls of S3 that reading a corpus makes; `/plain/…` sends all of a file, as some do."""

    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._object(body=False)

    def do_GET(self) -> None:
        query = parse_qs(urlsplit(self.path).query)
        if "list-type" in query:
            self._listed(query.get("prefix", [""])[0], query.get("delimiter", [""])[0])
        else:
            self._object(body=True)

    def _object(self, body: bool) -> None:
        path = unquote(urlsplit(self.path).path)
        data = OBJECTS.get(re.sub(r"^/(bucket|plain)/", "", path))
        if data is None:
            self._send(404, b"")
            return
        status, total = 200, len(data)
        told = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        extra = {}
        if told and path.startswith("/bucket/"):
            first, last = int(told[1]), min(int(told[2]), total - 1)
            data, status = data[first : last + 1], 206
            extra["Content-Range"] = f"bytes {first}-{last}/{total}"
        self._send(status, data, body, **extra)

    def _listed(self, prefix: str, delimiter: str) -> None:
        keys = [key for key in OBJECTS if key.startswith(prefix)]
        deep = [key for key in keys if delimiter and delimiter in key[len(prefix) :]]
        folders = {prefix + key[len(prefix) :].split(delimiter)[0] + delimiter for key in deep}
        contents = "".join(
            f"<Contents><Key>{key}</Key><Size>{len(OBJECTS[key])}</Size>"
            "<LastModified>2026-01-01T00:00:00.000Z</LastModified><ETag>x</ETag></Contents>"
            for key in keys
            if key not in deep
        )
        common = "".join(
            f"<CommonPrefixes><Prefix>{one}</Prefix></CommonPrefixes>" for one in sorted(folders)
        )
        namespace = "http://s3.amazonaws.com/doc/2006-03-01/"
        xml = f'<ListBucketResult xmlns="{namespace}">{contents}{common}</ListBucketResult>'
        self._send(200, xml.encode())

    def _send(self, status: int, data: bytes, body: bool = True, **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if body:
            self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=httpd.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{httpd.server_port}"
    for name, value in {
        "AWS_ENDPOINT_URL": url,
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "eu-west-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }.items():
        monkeypatch.setenv(name, value)
    yield url
    httpd.shutdown()
    httpd.server_close()


def taken(source: str) -> list[Found | Failed]:
    corpus = Corpus(source)
    taking = Taking((), Columns(), 1000)
    return [one for piece in corpus.plan().pieces for one in documents(corpus, piece, taking)]


def test_a_bucket_is_read_by_its_keys(server: str) -> None:
    ones = taken("s3://bucket/corpus")
    assert [one.new.source if isinstance(one, Found) else one for one in ones] == [
        "1", "2", "sub/b.md",
    ]  # fmt: skip
    with pytest.raises(CorpusError, match="no such"):
        taken("s3://bucket/nowhere")


def test_a_file_behind_a_web_server_is_read_though_it_sends_all_of_it(
    server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bulk.corpus._PIECE_BYTES", 20)
    ones = taken(f"{server}/plain/corpus/a.jsonl")
    assert [one.data for one in ones if isinstance(one, Found)] == [b"one", b"two"]
