"""The secrets as objects of a cluster, against an API server that knows what Kubernetes' says."""

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from secrets_maker.cluster import Api, ClusterError, Object, fill
from secrets_maker.plan import PLAN

Objects = dict[str, dict[str, Any]]
SERVICES = sorted({copy.service for secret in PLAN for copy in secret.copies})
TOKEN = "the-jobs-own"


@contextmanager
def api_server(objects: Objects) -> Iterator[str]:
    """Serves these Secret objects to whoever has the token: reads, and merge patches."""

    class Handler(BaseHTTPRequestHandler):
        def _answer(self, status: int, body: Any) -> None:
            sent = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(sent)))
            self.end_headers()
            self.wfile.write(sent)

        def _object(self) -> dict[str, Any] | None:
            if self.headers["Authorization"] != f"Bearer {TOKEN}":
                self._answer(403, {})
                return None
            prefix, _, name = self.path.rpartition("/")
            if prefix != "/api/v1/namespaces/rag/secrets" or name not in objects:
                self._answer(404, {})
                return None
            return objects[name]

        def do_GET(self) -> None:
            if (found := self._object()) is not None:
                self._answer(200, found)

        def do_PATCH(self) -> None:
            patch = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if (found := self._object()) is None:
                return
            version = found["metadata"]["resourceVersion"]
            if self.headers["Content-Type"] != "application/merge-patch+json":
                self._answer(415, {})
            elif patch["metadata"]["resourceVersion"] != version:
                self._answer(409, {})
            else:
                found["data"] = {**(found.get("data") or {}), **patch["data"]}
                found["metadata"]["resourceVersion"] = str(int(version) + 1)
                self._answer(200, found)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(60)


def empty(*names: str) -> Objects:
    return {name: {"metadata": {"name": name, "resourceVersion": "1"}} for name in names}


def text(objects: Objects, name: str) -> dict[str, str]:
    data = objects[name].get("data") or {}
    return {key: base64.b64decode(value).decode() for key, value in data.items()}


def keep(objects: Objects, name: str, **data: str) -> None:
    objects[name]["data"] = {
        key.replace("_", "-"): base64.b64encode(value.encode()).decode()
        for key, value in data.items()
    }


def ours(*but: str) -> dict[str, Object]:
    return {service: Object(f"r-{service}", service not in but) for service in SERVICES}


def test_empty_objects_are_filled_as_volumes_are_and_a_second_time_changes_nothing() -> None:
    objects = empty("r-masters", *(f"r-{service}" for service in SERVICES))
    with api_server(objects) as url:
        made = fill(PLAN, Api(url, "rag", TOKEN, None), "r-masters", ours())
        assert sorted(made) == sorted(secret.name for secret in PLAN)
        masters = text(objects, "r-masters")
        for secret in PLAN:
            for copy in secret.copies:
                told = copy.template.format(secret=masters[secret.name], all=masters)
                assert text(objects, f"r-{copy.service}")[copy.file] == told
        before = json.dumps(objects)
        assert fill(PLAN, Api(url, "rag", TOKEN, None), "r-masters", ours()) == []
        assert json.dumps(objects) == before

        # One that was taken out of the masters is made anew everywhere, and the others stay.
        del objects["r-masters"]["data"]["api-key"]
        assert fill(PLAN, Api(url, "rag", TOKEN, None), "r-masters", ours()) == ["api-key"]
        assert text(objects, "r-examples")["api-key"] == text(objects, "r-retriever")["api-key"]
        assert text(objects, "r-masters")["postgres"] == masters["postgres"]
        assert text(objects, "r-masters")["api-key"] != masters["api-key"]


def test_what_somebody_else_keeps_is_read_and_never_written() -> None:
    objects = empty("r-masters", *(f"r-{service}" for service in SERVICES))
    keep(objects, "r-examples", api_key="bh_theirs\n")
    with api_server(objects) as url:
        fill(PLAN, Api(url, "rag", TOKEN, None), "r-masters", ours("examples"))
        assert text(objects, "r-retriever")["api-key"] == "bh_theirs\n"
        assert objects["r-examples"]["metadata"]["resourceVersion"] == "1"
        assert "api-key" not in text(objects, "r-masters")


def test_an_object_of_somebody_elses_that_lacks_a_key_or_holds_another_is_told() -> None:
    objects = empty("r-masters", *(f"r-{service}" for service in SERVICES))
    with api_server(objects) as url:
        with pytest.raises(ClusterError, match="r-examples lacks api-key"):
            fill(PLAN, Api(url, "rag", TOKEN, None), "r-masters", ours("examples"))
        keep(objects, "r-quality", prober_key="bh_one", token="one")
        keep(objects, "r-retriever", prober_key="bh_other")
        with pytest.raises(ClusterError, match="secret prober-key were given different ones"):
            fill(PLAN, Api(url, "rag", TOKEN, None), "r-masters", ours("quality", "retriever"))


def test_two_at_once_cannot_both_write() -> None:
    objects = empty("r-masters", *(f"r-{service}" for service in SERVICES))
    with api_server(objects) as url:
        late = Api(url, "rag", TOKEN, None)
        late.read("r-masters")
        fill(PLAN, Api(url, "rag", TOKEN, None), "r-masters", ours())
        with pytest.raises(ClusterError, match="409 to PATCH r-masters"):
            late.add("r-masters", {"api-key": "another"})


def test_a_server_that_refuses_or_is_away_is_told_without_a_secret() -> None:
    objects = empty("r-masters")
    with api_server(objects) as url:
        with pytest.raises(ClusterError, match="403 to GET r-masters"):
            fill(PLAN, Api(url, "rag", "another", None), "r-masters", {})
        with pytest.raises(ClusterError, match="404 to GET r-none"):
            fill(PLAN, Api(url, "rag", TOKEN, None), "r-none", {})
    with pytest.raises(ClusterError, match="does not answer"):
        fill(PLAN, Api(url, "rag", TOKEN, None), "r-masters", {})
