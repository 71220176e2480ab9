"""PostgreSQL as the store: brought up once, told of in words, and found again."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import URL, create_engine, func, select, text
from state import server, told
from telemetry import Recorded

from bulkhead.auth import Principal, Role
from bulkhead.errors import InvalidValue, Unavailable
from retriever.database import Database, database_url
from retriever.feedback import Feedback
from retriever.state.schema import HEAD, answers, metadata

READER = Principal("k1", "acme", frozenset(), Role.READER)


async def test_starts_at_once_bring_the_schema_up_once() -> None:
    with server().database(template=None) as name:
        url = database_url(server().url(name), None)

        async def start() -> bool:
            database = Database(url)
            try:
                return await database.migrate()
            finally:
                await database.close()

        assert sorted(await asyncio.gather(*(start() for _ in range(4)))) == [False] * 3 + [True]
        assert not await start()


def test_the_migrations_make_the_tables_that_the_code_knows(state_url: URL) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    engine = create_engine(state_url)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection)
        assert context.get_current_revision() == HEAD
        assert compare_metadata(context, metadata) == []
    engine.dispose()


async def test_a_first_start_that_is_cut_off_leaves_nothing_for_the_next_to_fall_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from alembic import op

    with server().database(template=None) as name:
        url = database_url(server().url(name), None)
        database = Database(url)
        with monkeypatch.context() as dying:
            dying.setattr(op, "execute", lambda _: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                await database.migrate()
        assert (
            server().rows("SELECT tablename FROM pg_tables WHERE schemaname = 'public'", name) == []
        )
        assert await database.migrate()
        await database.close()


async def test_a_schema_of_a_later_release_is_refused(state_url: URL) -> None:
    server().execute("UPDATE alembic_version SET version_num = '9999'", str(state_url.database))
    with pytest.raises(ValueError, match="not this release's"):
        async with Database.open(state_url):
            pass


def test_the_command_brings_the_schema_up_and_ends(tmp_path: Path) -> None:
    with server().database(template=None) as name:
        told_by = {**os.environ, "RETRIEVER_DATABASE_URL": server().url(name)}
        words = []
        for _ in range(2):
            ended = subprocess.run(
                [sys.executable, "-m", "retriever", "migrate"],
                env=told_by, cwd=tmp_path, capture_output=True, text=True, check=True,
            )  # fmt: skip
            words.append(ended.stdout)
        assert words == ["the schema was brought up\n", "the schema is up to date\n"]


async def test_sessions_that_the_server_ended_are_replaced_without_a_failed_call(
    state_url: URL,
) -> None:
    async with Database.open(state_url) as database:
        for _ in range(3):
            await database.probe()
            await database.check()
            server().execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                f" WHERE datname = '{state_url.database}'"
            )


async def test_what_takes_no_writes_is_told_and_answers_go_on(state_url: URL) -> None:
    recorded = Recorded()
    name = state_url.database
    async with Database.open(state_url) as database:
        end = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
        server().execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
        server().execute(end)
        with pytest.raises(Unavailable) as refused:
            await database.probe()
        assert refused.value.part == "database"
        assert database.refusal == "the document store takes no writes"
        assert recorded.total("rag.index.refuses", db_system_name="postgresql") == 1
        # An answer is given all the same, and cannot be voted on.
        await Feedback(database).note_answer(READER, "a1")
        server().execute(f"ALTER DATABASE {name} SET default_transaction_read_only = off")
        server().execute(end)
        await database.probe()
        assert database.refusal is None
        assert recorded.total("rag.index.refuses", db_system_name="postgresql") == 0
        await Feedback(database).note_answer(READER, "a2")
        assert [row.id for row in await database.rows(select(answers.c.id))] == ["a2"]


async def test_a_server_that_is_not_there_is_told_of_without_its_address(tmp_path: Path) -> None:
    url = database_url(f"postgresql://me@/name?host={tmp_path}", None)
    with pytest.raises(Unavailable) as away:
        async with Database.open(url):
            pass
    assert away.value.message == "the document store does not answer"


async def test_a_text_that_cannot_be_kept_is_the_callers_fault(state_url: URL) -> None:
    async with Database.open(state_url) as database:
        for strange in ("a\0b", "a\ud800b"):
            with pytest.raises(InvalidValue):
                await Feedback(database).note_answer(READER, strange)


@pytest.mark.parametrize(
    "url",
    ["mysql://u@h/d", "nonsense", "postgresql://u:secret@h/d"],
)
def test_an_address_that_is_none_is_refused_in_words(url: str) -> None:
    with pytest.raises(ValueError, match="RETRIEVER_DATABASE_URL") as refused:
        database_url(url, None)
    assert "secret" not in str(refused.value)


def test_the_password_comes_from_its_file_and_tls_from_the_address(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("p@ss/word\n")
    url = database_url(
        "postgresql://u@h:6432/d?sslmode=verify-full&sslrootcert=/ca.pem", tmp_path / "password"
    )
    assert (url.password, url.query["sslmode"]) == ("p@ss/word", "verify-full")
    assert told(url).startswith("postgresql://u:***@h:6432/d")


async def test_locks_of_sources_are_had_by_one_at_a_time_and_end_with_their_process(
    state_url: URL,
) -> None:
    async with Database.open(state_url) as one, Database.open(state_url) as other:
        async with one.locked([1, 2]):
            async with other.if_free(2) as free:
                assert free is None
            with pytest.raises(Unavailable):
                async with other.locked([2, 3], seconds=1):
                    pass
        with pytest.raises(Unavailable):
            async with one.locked([1]) as held:
                (pid,) = (await held.execute(select(func.pg_backend_pid()))).one()
                server().execute(f"SELECT pg_terminate_backend({pid})")
                async with other.locked([1]) as taken:
                    await taken.execute(text("SELECT 1"))
                await held.execute(text("SELECT 1"))
