"""What every service has in common: errors, request ids, health, keys, logs."""

import json
import logging
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest
from fastapi import APIRouter, FastAPI
from pydantic import BaseModel
from starlette.responses import StreamingResponse
from starlette.testclient import TestClient

from bulkhead.app import create_app
from bulkhead.auth import KeyRing, Principal, Role, key_digest
from bulkhead.errors import (
    Conflict,
    Forbidden,
    InvalidValue,
    MalformedRequest,
    NotFound,
    RateLimited,
    TooLarge,
    Unauthenticated,
    Unavailable,
    UnsupportedMediaType,
)
from bulkhead.health import Part, Readiness
from bulkhead.logs import JsonFormatter
from bulkhead.settings import ServiceSettings, make_secret, read_secret

SECRET = "/etc/secret: the database password is hunter2"


class Body(BaseModel):
    number: int


def app(status: Literal["ready", "degraded", "unavailable"] = "ready") -> FastAPI:
    router = APIRouter()

    @router.get("/raise/{name}")
    async def fail(name: str) -> None:
        raise {
            "rate": RateLimited("slow down", 7),
            "part": Unavailable("qdrant", "gone"),
            "bug": RuntimeError(SECRET),
        }[name]

    @router.post("/body")
    async def body(body: Body) -> int:
        return body.number

    @router.get("/stream")
    async def stream() -> StreamingResponse:
        def words() -> Iterator[str]:
            yield "one"
            raise RuntimeError(SECRET)

        return StreamingResponse(words())

    async def ready() -> Readiness:
        return Readiness(status=status, parts={"x": Part(state="up")})

    return create_app(
        name="test",
        title="Test",
        description="",
        version="0",
        settings=ServiceSettings(port=0, max_body_bytes=100),
        routers=[router],
        ready=ready,
    )


@pytest.fixture
def client() -> TestClient:
    return TestClient(app(), raise_server_exceptions=False)


def test_a_bug_is_a_500_that_tells_nothing(client: TestClient) -> None:
    reply = client.get("/raise/bug")
    assert reply.status_code == 500
    assert reply.json()["error"]["type"] == "internal"
    assert "hunter2" not in reply.text
    assert reply.json()["error"]["request_id"] == reply.headers["X-Request-ID"]


def test_a_part_that_is_down_is_named(client: TestClient) -> None:
    reply = client.get("/raise/part")
    assert (reply.status_code, reply.json()["error"]["part"]) == (503, "qdrant")


def test_a_limit_says_when_to_come_back(client: TestClient) -> None:
    reply = client.get("/raise/rate")
    assert (reply.status_code, reply.headers["Retry-After"]) == (429, "7")


@pytest.mark.parametrize(
    ("content", "status", "kind"),
    [
        (b"{", 400, "malformed_request"),
        (b'{"number": "hunter2"}', 422, "invalid_value"),
        (b"{}", 422, "invalid_value"),
        (b'{"number": 1}' + b" " * 200, 413, "too_large"),
    ],
)
def test_a_bad_body_is_a_clear_error(
    client: TestClient, content: bytes, status: int, kind: str
) -> None:
    reply = client.post("/body", content=content, headers={"Content-Type": "application/json"})
    assert (reply.status_code, reply.json()["error"]["type"]) == (status, kind)
    assert "hunter2" not in reply.text


def test_what_is_not_there_has_the_same_shape(client: TestClient) -> None:
    assert client.get("/nowhere").json()["error"]["type"] == "not_found"
    assert client.put("/body").json()["error"]["type"] == "method_not_allowed"


@pytest.mark.parametrize(
    ("status", "code"), [("ready", 200), ("degraded", 200), ("unavailable", 503)]
)
def test_readiness_decides_the_status(
    status: Literal["ready", "degraded", "unavailable"], code: int
) -> None:
    with TestClient(app(status)) as client:
        assert client.get("/readyz").status_code == code
        assert client.get("/healthz").status_code == 200


def test_every_error_has_the_status_of_the_contract() -> None:
    errors = {
        MalformedRequest: 400, Unauthenticated: 401, Forbidden: 403, NotFound: 404, Conflict: 409,
        TooLarge: 413, UnsupportedMediaType: 415, InvalidValue: 422,
    }  # fmt: skip
    assert {kind.status for kind in errors} == set(errors.values())
    for kind, status in errors.items():
        assert kind("why").status == status
        assert kind("why").body("r") == {
            "error": {"type": kind.type, "message": "why", "request_id": "r"}
        }


def test_a_role_may_do_what_those_below_it_may() -> None:
    writer = Principal("k", "t", frozenset(), Role.WRITER)
    writer.require(Role.READER)
    writer.require(Role.WRITER)
    with pytest.raises(Forbidden, match="admin"):
        writer.require(Role.ADMIN)


def test_a_key_is_known_by_its_digest_alone() -> None:
    principal = Principal("k", "t", frozenset(), Role.READER)
    ring = KeyRing({key_digest("secret"): principal})
    assert ring.principal("secret") is principal
    for wrong in ("", "Secret", "secret ", key_digest("secret")):
        with pytest.raises(Unauthenticated):
            ring.principal(wrong)
    assert "secret" not in repr(vars(ring))


def test_a_secret_whose_making_is_cut_off_is_not_there_and_the_first_of_two_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*_: object) -> None:
        raise OSError("the power goes")

    path = tmp_path / "made" / "key"
    for step in ("fsync", "link"):
        with monkeypatch.context() as dying:
            dying.setattr(os, step, gone)
            with pytest.raises(OSError, match="power"):
                make_secret(path, "half")
        assert list(path.parent.iterdir()) == []
    make_secret(path, "first")
    with pytest.raises(FileExistsError):
        make_secret(path, "second")
    assert [one.name for one in path.parent.iterdir()] == ["key"]
    assert path.read_text() == "first" and path.stat().st_mode & 0o777 == 0o600


def test_a_secret_file_that_cannot_be_used_is_named_and_not_shown(tmp_path: Path) -> None:
    path = tmp_path / "key"
    with pytest.raises(ValueError, match="key"):
        read_secret(path)
    path.write_text(" \n")
    with pytest.raises(ValueError, match="empty"):
        read_secret(path)
    path.write_text("  value\n")
    assert read_secret(path) == "value"


def test_a_log_line_is_one_json_object() -> None:
    record = logging.LogRecord("n", logging.INFO, "p", 1, "a\n%s", ("b",), None)
    record.status = 200
    line = JsonFormatter().format(record)
    assert "\n" not in line
    assert {"level": "info", "message": "a\nb", "status": 200}.items() <= json.loads(line).items()


def test_the_documentation_page_needs_no_other_host() -> None:
    with TestClient(app()) as client:
        page = client.get("/docs").text
        addresses = re.findall(r"""(?:src|href)="([^"]*)\"""", page) + re.findall(
            r"url: '(.*)'", page
        )
        assert len(addresses) == 4  # style, icon, script, the OpenAPI document
        for address in addresses:
            assert address.startswith("/"), address
            assert client.get(address).status_code == 200, address
        assert "://" not in page
