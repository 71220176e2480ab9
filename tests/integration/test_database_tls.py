"""A PostgreSQL that takes TLS alone, whose certificate is checked."""

from pathlib import Path

import pytest
from certificates import self_signed
from rig import PORTS, running
from sqlalchemy import text
from tls_postgres import serving_tls

from bulkhead.errors import Unavailable
from retriever.database import Database, database_url
from retriever.settings import RetrieverSettings


async def _refusal(url: str, password: Path) -> str | None:
    """What is told of a connection; none where there is one, which is encrypted then."""
    database = Database(database_url(url, password))
    try:
        told = await database.rows(text("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"))
        assert told[0].ssl is True
        return None
    except Unavailable as error:
        return error.message
    finally:
        await database.close()


async def test_the_servers_certificate_is_checked_and_its_name_too(tmp_path: Path) -> None:
    with serving_tls(tmp_path) as (url, certificate):
        password = tmp_path / "server-password"
        (tmp_path / "other.pem").write_bytes(self_signed()[1])
        wrong = "the document store's TLS is not as it has to be"
        trusted = f"sslmode=verify-full&sslrootcert={certificate}"
        for asked, told in (
            (f"{url}?{trusted}", None),
            (f"{url}?sslmode=verify-full&sslrootcert={tmp_path / 'other.pem'}", wrong),
            (f"{url}?sslmode=verify-full&sslrootcert={tmp_path / 'none.pem'}", wrong),
            # Another name than the certificate's, at the same address.
            (f"{url.replace('127.0.0.1', 'elsewhere')}?{trusted}&hostaddr=127.0.0.1", wrong),
        ):
            assert await _refusal(asked, password) == told, asked
        assert await _refusal(f"{url}?sslmode=disable", password) is not None


@pytest.mark.timeout(600)
def test_a_retriever_keeps_its_documents_there(settings: RetrieverSettings, tmp_path: Path) -> None:
    with serving_tls(tmp_path) as (url, certificate):
        told = {
            "database_url": f"{url}?sslmode=verify-full&sslrootcert={certificate}",
            "database_password_file": tmp_path / "server-password",
        }
        with running(settings.model_copy(update=told)) as api:
            job = api.ingest({"text": PORTS, "title": "Ports", "source": "ports.md"})
            assert job["counts"]["added"] == 1, job
            found = api.post("/v1/search", json={"query": "8080", "mode": "sparse"}).json()
            assert [one["source"] for one in found["results"]][:1] == ["ports.md"]
