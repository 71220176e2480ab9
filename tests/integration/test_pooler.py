"""Retrievers and workers behind PgBouncer in transaction mode, reached by TLS."""

import asyncio
import gc
import signal
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
from certificates import self_signed
from fleet import Fleet
from pgbouncer import Pooler, pooling
from qdrant_client import QdrantClient
from qdrant_server import KEY as QDRANT_KEY
from qdrant_server import serving_qdrant
from serving import until
from sqlalchemy import URL, text
from state import execute, rows, server

from backing_up.archive import Backup, Lock
from backing_up.create import create
from bulkhead.errors import Unavailable
from retriever.database import Database, database_url
from retriever.settings import RetrieverSettings
from retriever.state.schema import HEAD

pytestmark = pytest.mark.timeout(1800)
SESSIONS = 16
"""Of PostgreSQL, for all members together: each has up to 24 connections of three kinds."""


@pytest.fixture
def pooler(tmp_path: Path) -> Iterator[Pooler]:
    with pooling(tmp_path, SESSIONS) as made:
        yield made


def texts(version: int) -> list[dict[str, str]]:
    return [
        {"text": f"Canary {n} in version {version}. " * (1 + n % 9), "source": f"s{n}"}
        for n in range(40)
    ]


def test_a_fleet_behind_it_loses_nothing_doubles_nothing_and_refuses_a_revoked_key(
    settings: RetrieverSettings, pooler: Pooler, tmp_path: Path
) -> None:
    held = QdrantClient(":memory:", force_disable_check_same_thread=True)
    (tmp_path / "qdrant-key").write_text(QDRANT_KEY)
    name = database_url(settings.database_url, None).database or ""
    execute(settings.database_url, "DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    told = {
        "database_url": pooler.url(name),
        "database_password_file": pooler.password_file,
        "qdrant_api_key_file": tmp_path / "qdrant-key",
    }
    with serving_qdrant(held) as standin:
        told["qdrant_url"] = f"http://127.0.0.1:{standin.port}"
        variables = {f"RETRIEVER_{key.upper()}": str(value) for key, value in told.items()}
        # All start at once, on an empty database.
        fleet = Fleet(settings, retrievers=2, workers=2, **variables)
        with fleet.running():
            one, other = (member.api for member in fleet.retrievers)
            assert rows(settings.database_url, "SELECT version_num FROM alembic_version") == [
                (HEAD,)
            ]
            key = one.post("/v1/keys", json={"tenant": "acme", "role": "reader"}).json()
            headers = {"Authorization": f"Bearer {key['key']}"}
            assert other.get("/v1/documents", headers=headers).status_code == 200
            jobs = []
            for version in range(2):
                reply = one.post("/v1/documents", json={"documents": texts(version)})
                jobs.append(reply.json()["id"])
            fleet.workers[0].end(signal.SIGKILL)
            one.delete(f"/v1/keys/{key['id']}")
            until(lambda: other.get("/v1/documents", headers=headers).status_code == 401)
            for job in jobs:
                done = other.finished(job)
                assert (done["state"], done["errors"]) == ("succeeded", []), done
            there = one.get("/v1/documents?limit=1000").json()["data"]
            assert sorted(document["source"] for document in there) == sorted(
                f"s{n}" for n in range(40)
            )
            assert all("version 1" in one.text(document["id"]) for document in there[:5])
            assert other.delete(f"/v1/documents/{there[0]['id']}").status_code in (202, 204)
            sessions = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            ((count,),) = rows(settings.database_url, sessions)
            assert int(str(count)) <= SESSIONS + 1  # this one's
            lock = Lock("a passphrase of a test")
            asking = RetrieverSettings.model_validate(settings.model_dump() | told)
            asyncio.run(create(tmp_path / "backup", lock, asking))
            manifest = Backup(tmp_path / "backup", lock).manifest
            assert manifest["tenants"]["default"]["documents"] == 39
            assert manifest["revoked"] == [key["id"]]


async def test_a_server_with_another_certificate_is_not_talked_to(
    pooler: Pooler, tmp_path: Path
) -> None:
    _, other = self_signed()
    (tmp_path / "other.pem").write_bytes(other)
    with server().database() as name:
        for certificate in (pooler.certificate, tmp_path / "other.pem"):
            url = database_url(pooler.url(name, certificate), pooler.password_file)
            database = Database(url)
            try:
                if certificate == pooler.certificate:
                    await database.check()
                    continue
                with pytest.raises(Unavailable) as refused:
                    await database.check()
                assert refused.value.message == "the document store's TLS is not as it has to be"
            finally:
                await database.close()


async def test_news_that_a_session_hears_for_another_client_are_not_kept(state_url: URL) -> None:
    """Behind a pooler a session that somebody listened on goes round among all."""
    gc.collect()
    before = _news()
    async with Database.open(state_url) as database:
        async with database.transaction() as connection:
            await connection.execute(text("LISTEN news"))
        for _ in range(5):
            with closing(psycopg.connect(_words(state_url), autocommit=True)) as telling:
                telling.execute("NOTIFY news")
            await database.probe()
        assert _news() == before


def _news() -> int:
    return sum(isinstance(one, psycopg.Notify) for one in gc.get_objects())


def _words(url: URL) -> str:
    return url.set(drivername="postgresql").render_as_string(hide_password=False)
